"""One event: what it says, its bytes, its proof, and a check of that proof by the functions that strangers use."""

from collections.abc import Sequence
from dataclasses import dataclass

import msgspec
from starlette.responses import Response
from starlette.routing import Route

from atp.app.platform import Record
from atp.errors import MalformedError, TamperedError
from atp.log.event import Context, Event
from atp.merkle.checkpoints import Checkpoint, open_checkpoint
from atp.merkle.hashes import leaf_hash
from atp.merkle.keys import VerifierKey, parse_vkey
from atp.merkle.proofs import check_inclusion
from atp.merkle.tlogproof import TlogProof, parse_tlog_proof
from atp.verify.trust import claimed_checkpoint
from atp.web.display import HEX_BYTES_MAX
from atp.web.site import Site, Visit
from atp.web.timeline import Filters, read_row

_CONTEXT = {
    "ip": "IP address",
    "request_id": "Request",
    "trace_id": "Trace",
    "session_id": "Session",
    "user_agent": "User agent",
}
_PATH = "/events/{tenant}/{index:int}"


@dataclass(frozen=True, slots=True)
class Step:
    """One step of a verification: what was done, with its numbers, and whether it holds."""

    title: str
    detail: str
    is_ok: bool


def routes(site: Site) -> list[Route]:
    """The pages of this noun."""
    return [
        Route(_PATH, site.page(show_event), methods=["GET"]),
        Route(_PATH + "/verify", site.page(verify_event), methods=["POST"]),
        Route(_PATH + "/entry", site.page(download_entry), methods=["GET"]),
        Route(_PATH + "/proof", site.page(download_proof), methods=["GET"]),
    ]


def show_event(site: Site, visit: Visit) -> Response:
    """An event with its bytes and its proof."""
    return _page(site, visit, _find(site, visit, "event.read"), steps=())


def verify_event(site: Site, visit: Visit) -> Response:
    """The same page, with the proof checked step by step."""
    record = _find(site, visit, "event.prove")
    proof = site.platform.prove(f"@{record.index}", by=visit.caller, tenant=_tenant(visit))
    vkeys = site.platform.vkeys(_tenant(visit), by=visit.caller)
    return _page(site, visit, record, steps=verify_steps(record.entry, proof.encode(), vkeys))


def download_entry(site: Site, visit: Visit) -> Response:
    """The entry's bytes."""
    return _download(visit, _find(site, visit, "event.read").entry, "json", "application/json")


def download_proof(site: Site, visit: Visit) -> Response:
    """The proof (c2sp.org/tlog-proof@v1)."""
    record = _find(site, visit, "event.prove")
    proof = site.platform.prove(f"@{record.index}", by=visit.caller, tenant=_tenant(visit))
    return _download(visit, proof.encode(), "tlog-proof", "text/plain")


def verify_steps(entry: bytes, proof_file: bytes, vkeys: Sequence[str]) -> list[Step]:
    """What a stranger does with the downloaded files, up to the first step that fails."""
    leaf = leaf_hash(entry)
    steps = [Step("Hash the entry", f"SHA-256 of 0x00 and its {len(entry):,} bytes is {leaf.hex()}", True)]
    try:
        proof = parse_tlog_proof(proof_file)
        origin = claimed_checkpoint(proof.checkpoint).origin
        keys = [parse_vkey(vkey) for vkey in vkeys]
        checkpoint = open_checkpoint(proof.checkpoint, origin=origin, log_keys=keys).checkpoint
    except (MalformedError, TamperedError) as error:
        return [*steps, Step("Check the signature", str(error), False)]
    return [*steps, _signature_step(checkpoint, keys), _inclusion_step(proof, checkpoint, leaf)]


def _signature_step(checkpoint: Checkpoint, keys: Sequence[VerifierKey]) -> Step:
    signers = " or ".join(key.key_id.hex() for key in keys)
    detail = f"Ed25519 key {signers} signed that {checkpoint.origin} has {checkpoint.size:,} entries"
    return Step("Check the signature", f"{detail} under root {checkpoint.root.hex()}", True)


def _inclusion_step(proof: TlogProof, checkpoint: Checkpoint, leaf: bytes) -> Step:
    title, size, root = "Climb to the root", checkpoint.size, checkpoint.root
    try:
        check_inclusion(leaf_hash=leaf, index=proof.index, size=size, proof=proof.hashes, root=root)
    except (MalformedError, TamperedError) as error:
        return Step(title, str(error), False)
    detail = f"leaf {proof.index:,} and {len(proof.hashes)} hashes give {root.hex()}, the root that was signed"
    return Step(title, detail, True)


def _page(site: Site, visit: Visit, record: Record, *, steps: Sequence[Step]) -> Response:
    tenant = _tenant(visit)
    row = read_row(record.index, record.entry)
    reader = site.platform.reader(tenant, by=visit.caller)
    return site.render(
        "event.html",
        visit=visit,
        row=row,
        filters=Filters(tenant, {}),
        text=record.entry.decode(errors="replace"),
        context=_context(row.event),
        data=_data(row.event),
        hex_bytes_max=HEX_BYTES_MAX,
        entry_bytes=record.entry,
        leaf_hash=leaf_hash(record.entry).hex(),
        checkpoint=claimed_checkpoint(reader.checkpoint()),
        note=reader.checkpoint().decode(),
        vkeys=site.platform.vkeys(tenant, by=visit.caller),
        steps=steps,
    )


def _data(event: Event | None) -> str | None:
    """The JSON text of `data`, None without."""
    data = event.data if event is not None else msgspec.UNSET
    return bytes(data).decode(errors="replace") if isinstance(data, msgspec.Raw) else None


def _context(event: Event | None) -> dict[str, str]:
    """What the sender knew of where the act came from, by its name on the page."""
    context = event.context if event is not None and event.context is not None else Context()
    named = {_CONTEXT[field]: getattr(context, field) for field in _CONTEXT}
    return {name: value for name, value in named.items() if value is not None}


def _find(site: Site, visit: Visit, action: str) -> Record:
    reference = f"@{visit.request.path_params['index']}"
    record = site.platform.find(reference, by=visit.caller, tenant=_tenant(visit))
    site.read(action, visit, tenant=_tenant(visit), question={"event": reference})
    return record


def _tenant(visit: Visit) -> str:
    return str(visit.request.path_params["tenant"])


def _download(visit: Visit, body: bytes, ending: str, media_type: str) -> Response:
    name = f"{_tenant(visit)}-{visit.request.path_params['index']}.{ending}"
    return Response(body, headers={"Content-Disposition": f'attachment; filename="{name}"'}, media_type=media_type)
