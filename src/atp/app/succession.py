"""A restored directory goes on under new origins: what was recovered stays where it stands, the loss is written down.

What the old origins signed after the copy was made nobody here knows, so they never sign again. Each log keeps its
entries, and so its indexes, proofs and receipts; its next entry, `atp.log.succeeded`, says what it goes on from. Until
the one commit point, at which origins and checkpoints of all logs change together, everything may be repeated.
"""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass

import msgspec

from atp.app.pipeline import Stores
from atp.errors import AtpError, MalformedError, MissingError, TamperedError, UnavailableError
from atp.log.append import Heads, Request, append
from atp.log.event import Actor, Event, Prepared, Resource, prepare_event, read_event
from atp.log.integrate import integrate_once, load_edge
from atp.log.reader import Cache, LogReader, log_key, read_checkpoint
from atp.merkle.checkpoints import Checkpoint, sign_checkpoint
from atp.merkle.edge import Edge
from atp.merkle.keys import SigningKey, VerifierKey, parse_signing_key, parse_vkey
from atp.merkle.proofs import check_consistency, prove_consistency
from atp.ports.clock import Clock
from atp.ports.event_store import Log, Succession, Swap
from atp.tenants.access import PLATFORM
from atp.tenants.names import generation_of, origin_of
from atp.tenants.restored import CopiedLog, Restored

SUCCEEDED = "atp.log.succeeded"
_SEED_BYTES = 32
_DAMAGE = (TamperedError, MalformedError, MissingError)


class Former(msgspec.Struct, frozen=True):
    """The log before: its origin, the keys that signed it, its newest checkpoint here, and how many entries it has."""

    origin: str
    vkeys: list[str]
    checkpoint: str | None
    size: int


class Lost(msgspec.Struct, frozen=True):
    """The indexes of the former log that are lost: from `first` on, up to `stop` at least where that is known."""

    first: int
    stop: int | None


class Succeeded(msgspec.Struct, frozen=True):
    """What the entry says, as its data. `known`: newer or other checkpoints that are known elsewhere; `superseded`:
    origins of earlier restores that are given up."""

    origin: str
    former: Former
    known: list[str]
    lost: Lost
    superseded: list[str]
    remark: str
    backup: str
    copied_at: str
    restored_at: str
    reason: str


@dataclass(slots=True)
class _Heir:
    """A log that is to go on as `origin`; `told` when its entry is durable already."""

    log: Log
    origin: str
    copied: CopiedLog
    reader: LogReader
    size: int
    told: bool


@dataclass(frozen=True, slots=True)
class Gone:
    """What became of the logs: the loss of each that went on, in a sentence, and why the others could not."""

    losses: Mapping[str, str]
    failed: Mapping[str, str]


def generation(logs: Sequence[Log], restored: Restored | None, *, installation: str) -> int:
    """Which generation of logs a directory is in, or is about to be."""
    found = (generation_of(log.origin, tenant=log.tenant, installation=installation) for log in logs)
    return max([1, *found, *([restored.generation] if restored else [])])


def completed(stores: Stores, restored: Restored, *, installation: str) -> Restored:
    """What a copy says of itself, with the sizes of all logs that are to go on: written down before they do, so that a
    repetition knows which have."""
    sizes = {
        log.tenant: CopiedLog(stores.events.size(log.tenant))
        for log in stores.events.logs()
        if generation_of(log.origin, tenant=log.tenant, installation=installation) < restored.generation
    }
    return msgspec.structs.replace(restored, logs=sizes | restored.logs)


def succeed(stores: Stores, restored: Restored, *, stopped: Mapping[str, str], installation: str, clock: Clock) -> Gone:
    """Let all logs of a restored directory go on that have not yet. May be repeated after any failure or crash.

    A log that is stopped, damaged, or contradicts a checkpoint that is known stays as it is, and must not be signed.
    `restored` is `completed`. Costs about six synced files a log. UnavailableError: nothing has gone on, or all.
    MalformedError when a log is of that generation already, by another restore: it may have signed what nobody knows.
    """
    heirs, failed = list[_Heir](), dict[str, str]()
    for log in stores.events.logs():
        if generation_of(log.origin, tenant=log.tenant, installation=installation) >= restored.generation:
            _check_gone(log, restored, stores, installation)
            continue
        origin = origin_of(log.tenant, installation=installation, generation=restored.generation)
        try:
            if log.tenant in stopped:
                raise TamperedError(stopped[log.tenant])
            heirs.append(_heir(log, origin, restored, stores))
        except _DAMAGE as error:
            failed[log.tenant] = f"it could not go on as {origin}: {error}"
    keys = {heir.log.tenant: _key(heir, stores, clock) for heir in heirs}
    events = {heir.log.tenant: _event(heir, restored, stores) for heir in heirs if not heir.told}
    _record(events, stores, clock)
    successions = [_signed(heir, keys[heir.log.tenant], stores) for heir in heirs]
    if successions:
        stores.events.succeed(successions)
    return Gone({heir.log.tenant: _loss(heir) for heir in heirs}, failed)


def _check_gone(log: Log, restored: Restored, stores: Stores, installation: str) -> None:
    """MalformedError unless a log went on by this restore, or was created after it."""
    origin = origin_of(log.tenant, installation=installation, generation=restored.generation)
    copied = restored.logs.get(log.tenant)
    if copied is None and restored.logs and log.origin == origin:
        return
    if copied is not None and log.origin == origin and stores.events.size(log.tenant) > copied.size:
        reader = LogReader(log.tenant, event_store=stores.events, object_store=stores.objects, cache=Cache())
        try:
            if _is_told(reader.durable_entry(copied.size), origin):
                return
        except _DAMAGE:  # whoever reads it next stops it
            return
    raise MalformedError(
        f"could not let {log.tenant} go on as {origin}: it is {log.origin} already",
        hint="RESTORED needs a generation above that of all origins",
    )


def _heir(log: Log, origin: str, restored: Restored, stores: Stores) -> _Heir:
    """A log that can go on. TamperedError when it is not what was copied, or contradicts what is known of it."""
    reader = LogReader(log.tenant, event_store=stores.events, object_store=stores.objects, cache=Cache())
    size = stores.events.size(log.tenant)
    told = size > 0 and _is_told(reader.durable(size - 1, size)[0], origin)
    copied = restored.logs[log.tenant]
    if size - told != copied.size:
        raise TamperedError(
            f"could not open the log of {log.tenant}: it has {size - told} entries, {copied.size} were copied",
            hint="restore the directory again",
        )
    edge = load_edge(reader, event_store=stores.events)
    for note in copied.known:
        checkpoint = read_checkpoint(note.encode())
        if checkpoint.origin == log.origin and checkpoint.size <= copied.size:
            _check_known(checkpoint, edge, reader, stores)
    return _Heir(log, origin, copied, reader, copied.size, told)


def _check_known(known: Checkpoint, edge: Edge, reader: LogReader, stores: Stores) -> None:
    """TamperedError unless the log begins with a checkpoint that is known, which may reach beyond what was published
    when the copy was made."""
    if known.size > edge.size:
        leaves = stores.events.leaves(reader.tenant, start=edge.size, stop=known.size)
        if edge.extended(leaves)[0].root != known.root:
            raise TamperedError(f"its first {known.size} entries are not those that it signed elsewhere")
    elif known.size:
        proof = prove_consistency(old_size=known.size, size=edge.size, read_tiles=reader.tiles)
        check_consistency(old_size=known.size, size=edge.size, old_root=known.root, proof=proof, root=edge.root)


def _key(heir: _Heir, stores: Stores, clock: Clock) -> SigningKey:
    """A new key of the new origin, once. Its public half is shown beside the old ones first, so that the directory
    verifies at each moment."""
    with suppress(MissingError):
        for secret in stores.keys.log_keys(heir.log.tenant):
            if (key := parse_signing_key(secret)).name == heir.origin:
                return key
    key = SigningKey.from_seed(clock.random_bytes(_SEED_BYTES), name=heir.origin)
    shown = "".join(f"{one.vkey}\n" for one in (key.public(), *_former_keys(heir, stores)))
    stores.objects.replace(log_key(heir.log.tenant, "vkey"), shown.encode())
    stores.keys.put_log_keys(heir.log.tenant, [key.secret()])
    return key


def _former_keys(heir: _Heir, stores: Stores) -> list[VerifierKey]:
    """The keys that are shown, but for one of the new origin that an earlier try drew and lost."""
    try:
        lines = stores.objects.get(log_key(heir.log.tenant, "vkey")).decode(errors="replace").splitlines()
    except MissingError:
        return []
    return [key for key in map(parse_vkey, lines) if key.name != heir.origin]


def _event(heir: _Heir, restored: Restored, stores: Stores) -> Prepared:
    note = stores.events.checkpoint(heir.log.tenant)
    others = {read_checkpoint(known.encode()).origin for known in heir.copied.known} - {heir.log.origin}
    data = Succeeded(
        origin=heir.origin,
        former=Former(
            heir.log.origin,
            [key.vkey for key in _former_keys(heir, stores)],
            note.decode() if note else None,
            heir.size,
        ),
        known=list(heir.copied.known),
        lost=Lost(heir.size, _stop(heir)),
        superseded=sorted(others),
        remark=_remark(heir),
        backup=restored.backup,
        copied_at=restored.copied_at,
        restored_at=restored.restored_at,
        reason=restored.reason,
    )
    event = Event(
        actor=Actor(restored.by or PLATFORM),
        action=SUCCEEDED,
        resource=Resource(heir.log.tenant, type="log"),
        data=msgspec.Raw(msgspec.json.encode(data)),
    )
    return prepare_event(event, reserved=True)


def _stop(heir: _Heir) -> int | None:
    """Behind the last index that is known to be lost; None when nothing is known of a loss."""
    known = [read_checkpoint(note.encode()) for note in heir.copied.known]
    stop = max((one.size for one in known if one.origin == heir.log.origin), default=0)
    return stop if stop > heir.size else None


def _remark(heir: _Heir) -> str:
    if (stop := _stop(heir)) is not None:
        return f"entries {heir.size} to {stop - 1} of {heir.log.origin} are lost; later ones cannot be ruled out"
    return "no newer checkpoint is known; a newer one cannot be ruled out"


def _loss(heir: _Heir) -> str:
    return f"{heir.log.tenant} goes on as {heir.origin} with {heir.size} entries: {_remark(heir)}"


def _record(events: Mapping[str, Prepared], stores: Stores, clock: Clock) -> None:
    """Make all entries durable in one write. UnavailableError when that fails."""
    requests = [Request(tenant, PLATFORM, [event]) for tenant, event in events.items()]

    def reader_of(tenant: str) -> LogReader:
        return LogReader(tenant, event_store=stores.events, object_store=stores.objects, cache=Cache())

    for outcome in append(requests, event_store=stores.events, reader_of=reader_of, clock=clock, heads=Heads()):
        if isinstance(outcome, AtpError):
            raise UnavailableError(f"could not let the logs go on: {outcome}", hint="start the server again")


def _signed(heir: _Heir, key: SigningKey, stores: Stores) -> Succession:
    """The change of a log: the tree over all its entries is stored and signed, and nobody has seen it yet."""
    tenant, events, objects = heir.log.tenant, stores.events, stores.objects
    edge = load_edge(heir.reader, event_store=events)
    while edge.size <= heir.size:
        edge = integrate_once(edge, tenant=tenant, event_store=events, object_store=objects)
    note = sign_checkpoint(Checkpoint(heir.origin, edge.size, edge.root), key)
    return Succession(heir.log.origin, heir.origin, Swap(tenant, events.checkpoint(tenant), note, edge.size))


def _is_told(entry: bytes, origin: str) -> bool:
    """Whether an entry says that its log goes on as this origin."""
    if SUCCEEDED.encode() not in entry:
        return False
    read, event = read_event(entry)
    if read.by != PLATFORM or event.action != SUCCEEDED or not isinstance(event.data, msgspec.Raw):
        return False
    return msgspec.json.decode(event.data, type=Succeeded).origin == origin
