"""2/8 append: events -> durable indexes, many requests of many tenants in one write.

Each request is all or nothing; a request that is refused takes nothing from the others of its group.
"""

from collections.abc import Callable, Container, Mapping, Sequence
from dataclasses import dataclass, field

import msgspec

from atp import limits
from atp.errors import AtpError, ConflictError, FieldError, TooLargeError
from atp.log.event import (
    Prepared,
    entry_bytes,
    entry_head,
    format_instant,
    is_same_content,
    parse_instant,
    read_entry,
    read_event,
)
from atp.log.reader import LogReader
from atp.merkle.hashes import leaf_hash, leaf_hashes_held
from atp.ports.clock import Clock
from atp.ports.event_store import Batch, EventStore, Parked

_ID_BYTES = 16
_SCAN_ENTRIES = 4_096


@dataclass(frozen=True, slots=True)
class Request:
    """What one caller wants recorded in one log.

    With `is_parking`, an event that conflicts or is too large is parked instead of refusing the request; `parked` are
    records that the door found unfit already. `expect` maps a resource id to the index of its newest entry that the
    caller knows (-1: none): if the log has a newer one, the request is refused.
    """

    tenant: str
    by: str
    events: Sequence[Prepared]
    is_parking: bool = False
    parked: Sequence[Parked] = ()
    expect: Mapping[str, int] = field(default_factory=dict)


class Receipt(msgspec.Struct, gc=False, frozen=True):
    """Where an event stands: with `leaf_hash` (hex) and a tlog-proof anyone can check it."""

    id: str
    index: int
    leaf_hash: str
    duplicate: bool


class Outcome(msgspec.Struct, gc=False, frozen=True):
    """What became of a request; `receipts` in request order, without the parked ones, which `faults` names."""

    accepted: int
    duplicates: int
    receipts: list[Receipt]
    parked: int = 0
    faults: list[FieldError] = []


class _Tail:
    """One log while a group is being made: what the group adds to it."""

    def __init__(self, reader: LogReader, store: EventStore, clock: Clock, head: "Heads") -> None:
        self.reader = reader
        self.first_index = store.size(reader.tenant)
        self.received_at = head.next_instant(reader, self.first_index, clock)
        self.entries: list[bytes] = []
        self.leaves: list[bytes] = []
        self.ids: list[str] = []
        self.recorded: dict[str, int] = {}
        self.parked: list[Parked] = []

    def batch(self) -> Batch:
        """What the group adds, to be made durable."""
        return Batch(self.reader.tenant, self.first_index, self.entries, self.leaves, self.ids)

    def entry(self, index: int) -> bytes:
        """An entry of the log or of the group."""
        if index >= self.first_index:
            return self.entries[index - self.first_index]
        return self.reader.durable_entry(index)


class Heads:
    """The newest `received_at` of each log, so that it never goes back when the clock does."""

    def __init__(self) -> None:
        self._newest: dict[str, int] = {}

    def next_instant(self, reader: LogReader, size: int, clock: Clock) -> int:
        """Microseconds since 1970 for the next entries: the clock, or the newest entry's when that is later."""
        newest = self._newest.get(reader.tenant)
        if newest is None and size:
            newest = parse_instant(read_entry(reader.durable(size - 1, size)[0]).received_at)
        now = int(clock.now().timestamp() * 1_000_000)
        instant = max(now, newest or 0)
        self._newest[reader.tenant] = instant
        return instant


def append(
    requests: Sequence[Request],
    *,
    event_store: EventStore,
    reader_of: Callable[[str], LogReader],
    clock: Clock,
    heads: Heads,
) -> list[Outcome | AtpError]:
    """Record all requests in one durable write and say what became of each, in order.

    A refused request's error stands in its place. Raises what `EventStore.append` raises: then nothing is known of any
    request, and each caller may repeat its own (events are told apart by their ids). About 3 µs an event, and a sync.
    """
    tails: dict[str, _Tail] = {}
    outcomes: list[Outcome | AtpError] = []
    for request in requests:
        try:
            tail = tails.get(request.tenant)
            if tail is None:
                tail = tails[request.tenant] = _Tail(reader_of(request.tenant), event_store, clock, heads)
            outcomes.append(_take(request, tail, event_store, clock))
        except AtpError as error:
            outcomes.append(error)
    batches = [tail.batch() for tail in tails.values() if tail.entries]
    parked = {name: tail.parked for name, tail in tails.items() if tail.parked}
    if batches or parked:
        event_store.append(batches, parked)
    return outcomes


def _take(request: Request, tail: _Tail, store: EventStore, clock: Clock) -> Outcome:
    """Add one request to its log's tail, or raise and leave the tail as it was."""
    _check_expected(request, tail)
    found = store.find(request.tenant, [event.id for event in request.events if event.id])
    head = entry_head(received_at=format_instant(tail.received_at), by=request.by)
    mark = len(tail.entries)
    if not found and not request.parked and (recorded := _record_new(request.events, head, tail)):
        return Outcome(len(recorded), 0, recorded)
    receipts: list[Receipt] = []
    faults: list[FieldError] = []
    parked = list(request.parked)
    for position, event in enumerate(request.events):
        try:
            receipts.append(_record(event, head, tail, found, clock))
        except (ConflictError, TooLargeError) as error:
            faults.append(FieldError(position, error.errors[0].field, error.errors[0].reason))
            parked.append(parked_record(event.body, str(error), parked_at=format_instant(tail.received_at)))
        except AtpError:  # an older entry cannot be read: nobody can say whether this event is a duplicate
            _undo(tail, mark)
            raise
    if faults and not request.is_parking:
        _undo(tail, mark)
        raise _refusal(faults, len(request.events))
    tail.parked += parked
    accepted = len(tail.entries) - mark
    return Outcome(accepted, len(receipts) - accepted, receipts, len(parked), faults)


def _record_new(events: Sequence[Prepared], head: bytes, tail: _Tail) -> list[Receipt]:
    """The receipts of events that nothing has to be compared with, all at once; none, and nothing done, for others."""
    ids = [event.id for event in events]
    distinct = set(ids)
    if len(distinct) != len(ids) or "" in distinct or not tail.recorded.keys().isdisjoint(distinct):
        return []
    entries = [b"%b%b}" % (head, event.body) for event in events]
    if max(map(len, entries), default=0) > limits.ENTRY_BYTES_MAX:
        return []
    leaves, first = leaf_hashes_held(entries), tail.first_index + len(tail.entries)
    tail.entries += entries
    tail.leaves += leaves
    tail.ids += ids
    tail.recorded.update(zip(ids, range(first, first + len(ids)), strict=True))
    return [
        Receipt(event_id, index, leaf.hex(), False)
        for index, (event_id, leaf) in enumerate(zip(ids, leaves, strict=True), first)
    ]


def _record(event: Prepared, head: bytes, tail: _Tail, found: Mapping[str, Sequence[int]], clock: Clock) -> Receipt:
    if event.id:
        for index in (tail.recorded.get(event.id), *found.get(event.id, ())):
            if index is not None and (receipt := _duplicate(event, index, tail)):
                return receipt
    else:
        event_id = clock.random_bytes(_ID_BYTES).hex()
        event = Prepared(event_id, b'{"id":"%b",%b' % (event_id.encode(), event.body[1:]))
    entry = entry_bytes(head, event)
    index = tail.first_index + len(tail.entries)
    leaf = leaf_hash(entry)
    tail.entries.append(entry)
    tail.leaves.append(leaf)
    tail.ids.append(event.id)
    tail.recorded[event.id] = index
    return Receipt(event.id, index, leaf.hex(), False)


def _duplicate(event: Prepared, index: int, tail: _Tail) -> Receipt | None:
    """The receipt of the entry at `index` if it is this event; None if it only shares a hash with it."""
    entry = tail.entry(index)
    read, recorded = read_event(entry)
    if recorded.id != event.id:
        return None
    if read.sealed is None and not is_same_content(bytes(read.event), event.body):
        reason = f"{event.id!r} was recorded at index {index} with other content"
        raise ConflictError(f"could not record the event: id {reason}", errors=[FieldError(0, "id", reason)])
    return Receipt(event.id, index, leaf_hash(entry).hex(), True)


def _undo(tail: _Tail, mark: int) -> None:
    for event_id in tail.ids[mark:]:
        del tail.recorded[event_id]
    del tail.entries[mark:], tail.leaves[mark:], tail.ids[mark:]


def _refusal(faults: Sequence[FieldError], count: int) -> AtpError:
    first = faults[0]
    kind = ConflictError if any(fault.field == "id" for fault in faults) else TooLargeError
    return kind(
        f"could not record {len(faults)} of {count} events: event {first.position}: {first.field} {first.reason}",
        hint="nothing was recorded; correct them, or send ?invalid=park",
        errors=faults,
    )


def parked_record(body: bytes, reason: str, *, parked_at: str) -> Parked:
    """A record for the dead letters, its key made of its content, so that parking it again changes nothing."""
    return Parked(key=leaf_hash(body).hex(), reason=reason, body=body, parked_at=parked_at)


def _check_expected(request: Request, tail: _Tail) -> None:
    """ConflictError when a resource has a newer entry, but for the request's own events, which it may send again.

    Costs a scan of the entries after the expected index.
    """
    own = {event.id for event in request.events if event.id}
    for resource, known in request.expect.items():
        newest = _newest(resource, known, own, tail)
        if newest > known:
            raise ConflictError(
                f"could not record the act: {resource} has a newer entry, index {newest}",
                hint="read it, decide again, and expect that index",
            )


def _newest(resource: str, known: int, own: Container[str], tail: _Tail) -> int:
    mark = b'"resource":{"id":%b' % msgspec.json.encode(resource)
    newest = known
    for start in range(known + 1, tail.first_index, _SCAN_ENTRIES):
        stop = min(start + _SCAN_ENTRIES, tail.first_index)
        for offset, entry in enumerate(tail.reader.durable(start, stop)):
            if mark in entry and _is_news(entry, resource, own):
                newest = start + offset
    for offset, entry in enumerate(tail.entries):
        if mark in entry and _is_news(entry, resource, own):
            newest = tail.first_index + offset
    return newest


def _is_news(entry: bytes, resource: str, own: Container[str]) -> bool:
    event = read_event(entry)[1]
    return event.resource is not None and event.resource.id == resource and event.id not in own
