"""`atp prove`: the offline proof of one event, verified before it is handed on."""

from dataclasses import dataclass
from pathlib import Path

import click

from atp.cli.files import write_file
from atp.cli.output import fields
from atp.cli.server import Server, connected, tenant_option
from atp.cli.trust import watch
from atp.client import tenant_path
from atp.errors import TamperedError
from atp.log.event import read_event
from atp.merkle.checkpoints import Checkpoint
from atp.merkle.hashes import leaf_hash
from atp.merkle.tlogproof import TlogProof, check_tlog_proof, parse_tlog_proof
from atp.ops.record.watch import Watched
from atp.verify.trust import claimed_checkpoint


@dataclass(frozen=True, slots=True)
class Proven:
    """An event's entry, and the proof, which holds, that the log has it under a signed checkpoint."""

    event_id: str
    entry: bytes
    proof: TlogProof
    checkpoint: Checkpoint


@click.command()
@click.argument("event_id")
@tenant_option
@click.option("-o", "--output", "proof_file", type=click.Path(path_type=Path), help="Write the proof to this file.")
@click.option("--entry", "entry_file", type=click.Path(path_type=Path), help="Write the entry's bytes to this file.")
@connected
def command(server: Server, event_id: str, tenant: str, proof_file: Path | None, entry_file: Path | None) -> None:
    """Fetch the proof (c2sp.org/tlog-proof@v1) of the event EVENT_ID, or of @INDEX, and verify it.

    Whoever has the proof, the entry and the log's verifier key can check it without us: see `atp verify`.

    \b
    Examples:
      atp prove inv-7-approved -o inv-7.tlog-proof --entry inv-7.json
      atp prove @0
    """
    proven = fetch_proof(server, event_id, tenant)
    watch(server, tenant, note=proven.proof.checkpoint)
    text = proven.proof.encode()
    for file, data in ((proof_file, text), (entry_file, proven.entry)):
        if file is not None:
            write_file(file, data)
    document = {
        "id": proven.event_id,
        "index": proven.proof.index,
        "leaf_hash": leaf_hash(proven.entry).hex(),
        "origin": proven.checkpoint.origin,
        "size": proven.checkpoint.size,
        "root": proven.checkpoint.root.hex(),
        "proof": text.decode(),
        "proof_file": proof_file and str(proof_file),
        "entry_file": entry_file and str(entry_file),
    }
    shown = [pair for pair in document.items() if pair[0] != "proof"]
    server.output.answer(document, fields(shown) if proof_file else text.decode().rstrip("\n"))


def fetch_proof(server: Server, event_id: str, tenant: str) -> Proven:
    """The entry and proof of an event. TamperedError unless they belong together, and to what was asked for."""
    with server.client() as client:
        entry = client.get(tenant_path(tenant, "events", event_id, "entry")).body
        proof = parse_tlog_proof(client.get(tenant_path(tenant, "events", event_id, "proof")).body)
        keys = Watched(client, tenant).keys()
    origin = claimed_checkpoint(proof.checkpoint).origin
    opened = check_tlog_proof(proof, leaf_hash=leaf_hash(entry), origin=origin, log_keys=keys)
    found = read_event(entry)[1].id or ""
    if event_id not in (found, f"@{proof.index}"):
        raise TamperedError(f"could not prove {event_id!r}: the server proved {found!r} at index {proof.index} instead")
    return Proven(found, entry, proof, opened.checkpoint)
