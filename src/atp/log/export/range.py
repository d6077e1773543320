"""Exports consecutive entries, by index or by received_at, with one proof that they are all of them."""

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from typing import BinaryIO

from atp.errors import MissingError
from atp.limits import TILE_WIDTH
from atp.log.event import format_instant, read_entry
from atp.log.export.archive import Archive, Sealed, check_count
from atp.log.reader import LogReader, read_checkpoint
from atp.merkle.encodings import format_base64
from atp.merkle.hashes import HASH_BYTES
from atp.merkle.ranges import prove_range
from atp.merkle.tiles import Tile, tile_width

FORMAT = "atp.bundle/1"
PROOF_FORMAT = "atp.range-proof/1"


def seal_range(place: BinaryIO, *, first: int, stop: int, reader: LogReader, vkeys: Sequence[str]) -> Sealed:
    """Write the bundle of the entries [first, stop). Costs 5 µs an entry, and no memory that grows with them.

    MissingError when the log has no such entries, or nothing is published yet.
    """
    note = reader.checkpoint()
    size = read_checkpoint(note).size
    if not 0 <= first < stop <= size:
        raise MissingError(f"could not export [{first}, {stop}) of {reader.tenant}: the log has {size} entries")
    neighbours = {"before": False, "after": False}
    return _seal(place, note=note, first=first, stop=stop, asked={}, neighbours=neighbours, reader=reader, vkeys=vkeys)


def seal_time(
    place: BinaryIO, *, received_since: int | None, received_until: int | None, reader: LogReader, vkeys: Sequence[str]
) -> Sealed:
    """Write the bundle of the entries with received_since <= received_at < received_until, in microseconds since 1970.

    The entries before and after them come along, where there are such: so it is proven that none is missing.
    MissingError when nothing is published yet. Costs as `seal_range`, and 2 * log2(size) entries to find the ends.
    """
    note = reader.checkpoint()
    size = read_checkpoint(note).size
    since = None if received_since is None else format_instant(received_since)
    until = None if received_until is None else format_instant(received_until)
    start = 0 if since is None else _first_since(since, size=size, reader=reader)
    end = size if until is None else max(start, _first_since(until, size=size, reader=reader))
    neighbours = {"before": start > 0, "after": end < size}
    asked = {"received_since": since, "received_until": until}
    return _seal(
        place,
        note=note,
        first=start - neighbours["before"],
        stop=end + neighbours["after"],
        asked={name: instant for name, instant in asked.items() if instant is not None},
        neighbours=neighbours,
        reader=reader,
        vkeys=vkeys,
    )


def _seal(
    place: BinaryIO,
    *,
    note: bytes,
    first: int,
    stop: int,
    asked: dict[str, str],
    neighbours: dict[str, bool],
    reader: LogReader,
    vkeys: Sequence[str],
) -> Sealed:
    check_count(stop - first, reader.tenant)
    checkpoint, archive = read_checkpoint(note), Archive(place)
    size, count = checkpoint.size, stop - first - sum(neighbours.values())
    archive.add("entries.ndjson", _lines(first, stop, reader))
    if stop > first:
        proof = prove_range(start=first, end=stop, size=size, read_tiles=reader.tiles)
        head = [PROOF_FORMAT, f"range {first} {stop}", f"size {size}"]
        archive.add("leaves", _leaves(first, stop, size=size, reader=reader))
        archive.add("range.proof", (f"{line}\n".encode() for line in [*head, *map(format_base64, proof)]))
    manifest = {
        "format": FORMAT,
        "kind": "range",
        "origin": checkpoint.origin,
        "tenant": reader.tenant,
        "size": size,
        "first": first,
        "stop": stop,
        "count": count,
        "asked": asked,
        "neighbours": neighbours,
        "completeness": "proven",
    }
    archive.finish(manifest, note=note, vkeys=vkeys)
    return Sealed(first, stop, count, size)


def _first_since(instant: str, *, size: int, reader: LogReader) -> int:
    """The first index whose received_at is not before the instant: it never goes back, so bisection finds it."""
    return bisect_left(range(size), instant, key=lambda index: read_entry(reader.entry(index)).received_at)


def _lines(first: int, stop: int, reader: LogReader) -> Iterator[bytes]:
    for start in range(first, stop, TILE_WIDTH):
        yield b"".join(entry + b"\n" for entry in reader.entries(start, min(start + TILE_WIDTH, stop)))


def _leaves(first: int, stop: int, *, size: int, reader: LogReader) -> Iterator[bytes]:
    for index in range(first // TILE_WIDTH, -(-stop // TILE_WIDTH)):
        (hashes,) = reader.tiles([Tile(0, index, tile_width(level=0, index=index, size=size))])
        start = index * TILE_WIDTH
        yield hashes[max(first - start, 0) * HASH_BYTES : (min(stop - start, TILE_WIDTH)) * HASH_BYTES]
