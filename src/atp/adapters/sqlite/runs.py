"""Immutable files of sorted id hashes with their positions, and how several become one.

A run `AFTER-THROUGH.ids` holds the ids of the batches with AFTER < seq <= THROUGH, so the names alone tell whether
one is lost. Layout, little endian: a header of 64 bytes (magic, after, through, count, three CRC-32), `count` hashes
(u64, ascending), `count` positions (u64), and a filter of 2^k >= 8 x `count` bits, of which bit `hash >> 64 - k` is set
for each hash (bit 0 of a byte is its lowest).
"""

import contextlib
import io
import mmap
import os
import struct
import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from atp.durable import disk_move, sync_directory
from atp.errors import UnavailableError

Words = npt.NDArray[np.uint64]
Filter = npt.NDArray[np.uint8]

_MAGIC = b"ATPIDS1\n"
_HEADER = struct.Struct("<8sQQQIII20x")
_HEADER_BYTES = _HEADER.size
_PIECE_IDS = 1 << 18  # merged at a time: 10 MB of working memory, whatever the runs hold
_READ_BYTES = 1 << 20
_THREE, _SEVEN = np.uint64(3), np.uint64(7)


@dataclass(frozen=True, slots=True, eq=False)
class Run:
    """A run that is open: its arrays are mapped, not read."""

    path: Path
    after: int
    through: int
    hashes: Words
    positions: Words
    filter: Filter

    def find(self, needles: Words) -> list[tuple[int, int]]:
        """(needle, position) of every needle that stands in the run. `needles` are ascending.

        The filter spares nine of ten absent needles their binary search: about 0.05 µs a needle instead of 0.5.
        """
        slots = _slots(needles, self.filter)
        needles = needles[np.flatnonzero(self.filter[slots >> _THREE] & _bits(slots))]
        if not len(needles):
            return []
        count = len(self.hashes)
        at = np.searchsorted(self.hashes, needles)
        at[at == count] = 0
        found = []
        for hit in np.flatnonzero(self.hashes[at] == needles).tolist():
            place, needle = int(at[hit]), int(needles[hit])
            while place < count and self.hashes[place] == needle:
                found.append((needle, int(self.positions[place])))
                place += 1
        return found


def open_runs(directory: Path) -> list[Run]:
    """Every whole run of the directory, in order of seq; a damaged file is left out.

    What a crash left behind is deleted: unfinished files, and runs that stand in a merged one.
    """
    for leftover in directory.glob("*.tmp"):
        leftover.unlink()
    opened = [run for path in directory.glob("*.ids") if (run := _open_run(path)) is not None]
    opened.sort(key=lambda run: (run.after, -run.through))
    runs: list[Run] = []
    for run in opened:
        if not runs or run.through > runs[-1].through:
            runs.append(run)
        else:
            run.path.unlink()
    return runs


def is_unbroken(runs: Sequence[Run], *, needed_through: int) -> bool:
    """Whether the runs cover every seq from 1 to the last one's end, and at least to `needed_through`."""
    ends = [0, *(run.through for run in runs)]
    return all(run.after == end for run, end in zip(runs, ends, strict=False)) and ends[-1] >= needed_through


def write_run(directory: Path, pieces: Iterable[tuple[Words, Words]], *, after: int, through: int, count: int) -> Run:
    """Write ascending pieces of (hashes, positions), `count` in all, as one run; synced when it returns.

    UnavailableError when the disk refuses; nothing is left behind then.
    """
    path = directory / f"{_stem(after, through)}.ids"
    aside = path.with_suffix(".tmp")
    try:
        _write(aside, pieces, after=after, through=through, count=count)
        os.replace(aside, path)
        sync_directory(directory)
    except OSError as error:
        with contextlib.suppress(OSError):
            aside.unlink()
        hint = disk_move(error, path, otherwise="check its owner and its mode")
        raise UnavailableError(f"could not write {path}: {error.strerror}", hint=hint) from None
    run = _open_run(path)
    if run is None:
        raise UnavailableError(f"could not read back {path}: it is not what was written", hint="check the disk")
    return run


def merge_runs(directory: Path, runs: Sequence[Run], *, after: int, through: int) -> Run:
    """One run in place of several, whose files are deleted. About 0.1 µs an id; 10 MB of memory, however many ids."""
    count = sum(len(run.hashes) for run in runs)
    merged = write_run(directory, _merged_pieces(runs, count), after=after, through=through, count=count)
    for run in runs:
        if run.path != merged.path:
            run.path.unlink(missing_ok=True)
    return merged


def sorted_piece(hashes: Words, positions: Words) -> tuple[Words, Words]:
    """Both arrays in the order of the hashes."""
    order = np.argsort(hashes)
    return hashes[order], positions[order]


def _merged_pieces(runs: Sequence[Run], count: int) -> Iterator[tuple[Words, Words]]:
    # Hashes are uniform, so equal parts of their range are pieces of about equal length.
    parts = -(-count // _PIECE_IDS)
    bounds = np.array([part * (1 << 64) // parts for part in range(1, parts)], np.uint64)
    cuts = [[0, *np.searchsorted(run.hashes, bounds).tolist(), len(run.hashes)] for run in runs]
    for part in range(parts):
        slices = [(run, slice(cut[part], cut[part + 1])) for run, cut in zip(runs, cuts, strict=True)]
        hashes = np.concatenate([run.hashes[where] for run, where in slices])
        yield sorted_piece(hashes, np.concatenate([run.positions[where] for run, where in slices]))


def _write(path: Path, pieces: Iterable[tuple[Words, Words]], *, after: int, through: int, count: int) -> None:
    done = hashes_crc = positions_crc = 0
    bits = np.zeros(_filter_bytes(count), np.uint8)
    with open(path, "wb") as file:
        for hashes, positions in pieces:
            slots = _slots(hashes, bits)
            np.bitwise_or.at(bits, slots >> _THREE, _bits(slots))
            hashes_crc = zlib.crc32(hashes.data, hashes_crc)
            positions_crc = zlib.crc32(positions.data, positions_crc)
            file.seek(_HEADER_BYTES + 8 * done)
            file.write(hashes.data)
            file.seek(_HEADER_BYTES + 8 * (count + done))
            file.write(positions.data)
            done += len(hashes)
        file.write(bits.data)
        file.seek(0)
        file.write(_HEADER.pack(_MAGIC, after, through, count, hashes_crc, positions_crc, zlib.crc32(bits.data)))
        file.flush()
        os.fsync(file.fileno())


def _open_run(path: Path) -> Run | None:
    """The run, or None when a byte of it is not what was written. Reads the file once."""
    with open(path, "rb", buffering=0) as file:
        header = file.read(_HEADER_BYTES)
        if len(header) < _HEADER_BYTES or not header.startswith(_MAGIC):
            return None
        _, after, through, count, *crcs = _HEADER.unpack(header)
        lengths = (8 * count, 8 * count, _filter_bytes(count))
        is_whole = os.fstat(file.fileno()).st_size == _HEADER_BYTES + sum(lengths)
        if not is_whole or path.stem != _stem(after, through) or [_crc(file, length) for length in lengths] != crcs:
            return None
        mapped = mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ)
    words = np.frombuffer(mapped, "<u8", 2 * count, _HEADER_BYTES)
    bits = np.frombuffer(mapped, np.uint8, lengths[2], _HEADER_BYTES + 16 * count)
    return Run(path, after, through, words[:count], words[count:], bits)


def _stem(after: int, through: int) -> str:
    return f"{after:020}-{through:020}"


def _filter_bytes(count: int) -> int:
    return 1 << max(count - 1, 1).bit_length()


def _slots(hashes: Words, bits: Filter) -> Words:
    return hashes >> np.uint64(64 - (8 * len(bits)).bit_length() + 1)


def _bits(slots: Words) -> Filter:
    return np.uint8(1) << (slots & _SEVEN).astype(np.uint8)


def _crc(file: io.FileIO, byte_count: int) -> int:
    crc = 0
    while byte_count and (piece := file.read(min(byte_count, _READ_BYTES))):
        crc = zlib.crc32(piece, crc)
        byte_count -= len(piece)
    return crc
