"""The end of a log, which lies in `order.db` and not yet in files; what is in both has to be the same."""

from collections.abc import Iterator
from dataclasses import dataclass, field

from atp.errors import MissingError, RefusedError, TamperedError
from atp.limits import TILE_WIDTH
from atp.merkle.entries import decode_entries, encode_entries
from atp.merkle.hashes import HASH_BYTES, complete_root, leaf_hash
from atp.merkle.tiles import EntryBundle, Tile
from atp.verify.order import OrderedBatch
from atp.verify.report import Finding, Level
from atp.verify.source import Source

PLACE = "order.db"


@dataclass(slots=True)
class Tail:
    """What the order holds from the last full bundle on: `plain` is the last, partial bundle under the checkpoint.

    `plain` is None when an entry of it is not there. `leaves` has the leaf hash of every entry from the last full
    bundle on, those beyond the checkpoint included.
    """

    plain: bytes | None = None
    leaves: dict[int, bytes] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)


def read_tail(batches: Iterator[OrderedBatch], *, size: int, source: Source) -> Tail:
    """Reads every batch of a log's order once; keeps fewer than 256 entries, and 32 bytes for each of those beyond."""
    tail, entries = Tail(), dict[int, bytes]()
    boundary = size - size % TILE_WIDTH
    reach, is_first = 0, True
    try:
        for batch in batches:
            tail.findings += _faults(batch, reach=reach, is_first=is_first)
            reach, is_first = max(reach, batch.first + batch.count), False
            _take(batch, boundary=boundary, size=size, tail=tail, entries=entries, source=source)
    except TamperedError as error:
        tail.findings.append(Finding("payload", PLACE, str(error)))
    missing = [index for index in range(boundary, size) if index not in entries]
    if missing:
        if not any(finding.index == missing[0] for finding in tail.findings):
            tail.findings.append(Finding("payload", PLACE, "the order does not hold it", missing[0], missing[-1] + 1))
    elif size > boundary:
        tail.plain = encode_entries(entries[index] for index in range(boundary, size))
    return tail


def _faults(batch: OrderedBatch, *, reach: int, is_first: bool) -> Iterator[Finding]:
    if batch.wrong_index is not None:
        yield Finding("payload", PLACE, batch.fault, batch.wrong_index)
    elif batch.fault:
        yield Finding("payload", PLACE, batch.fault, batch.first, batch.first + batch.count)
    if not is_first and batch.first != reach:
        reason = "the order holds it twice" if batch.first < reach else "the order has a gap"
        yield Finding("payload", PLACE, reason, min(batch.first, reach), max(batch.first, reach))


def _take(
    batch: OrderedBatch, *, boundary: int, size: int, tail: Tail, entries: dict[int, bytes], source: Source
) -> None:
    stored = (-1, b"")
    for index, entry in enumerate(batch.entries or (), batch.first):
        if index >= boundary:
            tail.leaves.setdefault(index, leaf_hash(entry))
            if index < size:
                entries.setdefault(index, entry)
            continue
        # What lingers in the order after its bundle became full has to be the same entry.
        number, at = divmod(index, TILE_WIDTH)
        if stored[0] != number:
            stored = (number, _leaf_tile(number, source))
        expected = stored[1][at * HASH_BYTES : (at + 1) * HASH_BYTES]
        if expected and leaf_hash(entry) != expected and not _is_in_bundle(entry, number=number, at=at, source=source):
            tail.findings.append(Finding("payload", PLACE, "the entry is not the one that was signed", index))


def _leaf_tile(number: int, source: Source) -> bytes:
    try:
        return source.tile(Tile(0, number))
    except (MissingError, TamperedError):
        return b""


def _is_in_bundle(entry: bytes, *, number: int, at: int, source: Source) -> bool:
    """Whether the stored bundle has the same entry: then it is the tile that differs, and is blamed for it."""
    try:
        entries = decode_entries(source.bundle(EntryBundle(number)))
    except (MissingError, TamperedError, RefusedError):
        return False
    return at < len(entries) and entries[at] == entry


def check_beyond(place: Tile | EntryBundle, *, name: str, tail: Tail, source: Source) -> Finding | None:
    """What is wrong with a stored tile or bundle that reaches beyond the checkpoint; None when it is the order's.

    A crash between the tiles and the checkpoint leaves such files; they must hold what the order holds.
    """
    level = place.level if isinstance(place, Tile) else 0
    try:
        if isinstance(place, EntryBundle):
            stored = [leaf_hash(entry) for entry in decode_entries(source.bundle(place))]
        else:
            data = source.tile(place)
            stored = [data[at : at + HASH_BYTES] for at in range(0, len(data), HASH_BYTES)]
        first = place.index * TILE_WIDTH
        if level == 0:
            expected = [tail.leaves.get(index) for index in range(first, first + TILE_WIDTH)]
        else:
            below = (Tile(level - 1, index) for index in range(first, first + TILE_WIDTH))
            expected = [complete_root(source.tile(tile)) for tile in below]
    except (MissingError, TamperedError, RefusedError) as error:
        return Finding("structure", name, f"it reaches beyond the checkpoint, and {error}")
    if stored == expected:
        return None
    kind: Level = "payload" if isinstance(place, EntryBundle) else "structure"
    return Finding(kind, name, "it reaches beyond the checkpoint and does not hold what the order holds")
