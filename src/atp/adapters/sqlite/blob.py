"""A batch as one row: entries packed as bundles store them, their leaf hashes, their ids' hashes, one checksum."""

import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from atp import limits
from atp.errors import TooLargeError
from atp.limits import FRAME_ENTRIES, TILE_WIDTH
from atp.log.bundles import pack_bundle, pack_frames, split_frames, unpack_entries
from atp.merkle.hashes import HASH_BYTES

_FRAMES = TILE_WIDTH // FRAME_ENTRIES


@dataclass(frozen=True, slots=True)
class Row:
    """`packed`: zstd frames, cut where the log's frames are. `leaves`: 32 bytes an entry. `ids`: 8 bytes an entry."""

    first: int
    count: int
    packed: bytes
    leaves: bytes
    ids: bytes
    crc: int

    @property
    def stop(self) -> int:
        """The index behind its last entry."""
        return self.first + self.count

    @property
    def is_whole(self) -> bool:
        """Whether it is what was written, as far as its checksum tells."""
        return checksum(self.packed, self.leaves, self.ids) == self.crc and len(self.leaves) == self.count * HASH_BYTES

    def entries(self, *, start: int, stop: int) -> list[bytes]:
        """Those of its entries that are in [start, stop). Unpacks the frames that hold them. TamperedError."""
        found: list[bytes] = []
        at = self.first
        for frame in split_frames(self.packed):
            beyond = _frame_stop(at)
            if beyond > start and at < stop:
                found += unpack_entries(frame)[max(start - at, 0) : stop - at]
            at = beyond
        return found

    def full_frames(self) -> Iterator[tuple[int, bytes]]:
        """The frames of the log that lie in this batch alone, with their numbers, as they are stored."""
        at = self.first
        for frame in split_frames(self.packed):
            if at % FRAME_ENTRIES == 0 and at + FRAME_ENTRIES <= self.stop:
                yield at // FRAME_ENTRIES, frame
            at = _frame_stop(at)


def make_row(first: int, entries: Sequence[bytes], *, leaves: Sequence[bytes], ids: bytes) -> Row:
    """The row of some entries. TooLargeError when one is over 65,535 bytes. About 1.5 µs an entry of 2.4 KB."""
    if (longest := max(map(len, entries), default=0)) > limits.ENTRY_BYTES_MAX:
        raise TooLargeError(f"could not append an entry of {longest:,} bytes: the limit is {limits.ENTRY_BYTES_MAX:,}")
    packed, hashes = b"".join(pack_frames(entries, first=first)), b"".join(leaves)
    return Row(first, len(entries), packed, hashes, ids, checksum(packed, hashes, ids))


def make_bundles(rows: Sequence[Row], *, start: int, stop: int) -> list[bytes]:
    """The full bundles numbered [start, stop) out of consecutive rows that hold them. Frames that lie in one row are
    taken as they are, the others packed anew, to the same bytes. TamperedError."""
    frames = dict(frame for row in rows for frame in row.full_frames())
    bundles = []
    for number in range(start, stop):
        numbers = range(number * _FRAMES, (number + 1) * _FRAMES)
        if all(frame in frames for frame in numbers):
            bundles.append(b"".join(frames[frame] for frame in numbers))
        else:
            bundles.append(pack_bundle(_entries(rows, number * TILE_WIDTH, (number + 1) * TILE_WIDTH)))
    return bundles


def checksum(packed: bytes, leaves: bytes, ids: bytes) -> int:
    """CRC-32 of the three, one after the other."""
    return zlib.crc32(ids, zlib.crc32(leaves, zlib.crc32(packed)))


def _entries(rows: Sequence[Row], start: int, stop: int) -> list[bytes]:
    return [
        entry for row in rows if row.first < stop and row.stop > start for entry in row.entries(start=start, stop=stop)
    ]


def _frame_stop(index: int) -> int:
    return index - index % FRAME_ENTRIES + FRAME_ENTRIES
