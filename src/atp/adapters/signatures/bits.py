"""The mathematics of signatures: terms to bits, rows to blocks, and the frames that hold some bits. Arrays only."""

import zlib
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from atp.limits import FRAME_ENTRIES, SEGMENT_ENTRIES
from atp.log.terms import TERMS_FORMAT
from atp.ports.read_models import Frame, Terms

Records = npt.NDArray[Any]
"""An array of `ROW` or of `BLOCK`."""
Numbers = npt.NDArray[np.intp]

BITS = 3 << 14
FRAMES = SEGMENT_ENTRIES // FRAME_ENTRIES
SLICE_BYTES = FRAMES // 8

_TIMES = [("time_min", "<i8"), ("time_max", "<i8")]
_TAIL = [("number", "<u8"), ("checksum", "<u8")]
_CHECKSUM_BYTES = 8
_ROWS_MIN = 8
ROW = np.dtype([("bits", "u1", BITS // 8), *_TIMES, *_TAIL])
BLOCK = np.dtype([("bits", "u1", (BITS, SLICE_BYTES)), *((*column, FRAMES) for column in _TIMES), *_TAIL])

_SEED = zlib.crc32(f"atp-signatures/1 {BITS} {FRAMES} {TERMS_FORMAT}".encode())
_MULTIPLIERS = (
    0xA0761D6478BD642F,
    0xE7037ED1A0B428DB,
    0x8EBC6AF09C88C6E3,
    0x589965CC75374CC3,
    0x1D8E4E27C47D124F,
    0xEB44ACCAB455D165,
)
_HALF = np.uint64(32)
# 8 x 8 bits in 64: swap within pairs, then pairs, then fours (Warren: "Hacker's Delight", section 7-3).
_SWAPS = ((7, 0x00AA00AA00AA00AA), (14, 0x0000CCCC0000CCCC), (28, 0x00000000F0F0F0F0))


def positions_of(terms: Terms) -> Numbers:
    """The bits of a signature that some terms set: the upper half of odd products (Dietzfelbinger et al.: "A reliable
    randomized algorithm for the closest-pair problem", 1997), scaled down to `BITS`."""
    products = terms[:, np.newaxis] * np.array(_MULTIPLIERS, np.uint64)
    return ((products >> _HALF) * np.uint64(BITS) >> _HALF).astype(np.intp).ravel()


def rows_of(frames: Sequence[Frame]) -> Records:
    """The rows of some frames. About 40 µs a frame."""
    rows = np.zeros(len(frames), ROW)
    for row, frame in zip(rows, frames, strict=True):
        bits = np.zeros(BITS, np.bool_)
        bits[positions_of(frame.terms)] = True
        row["bits"] = np.packbits(bits, bitorder="little")
        row["time_min"], row["time_max"], row["number"] = frame.time_min, frame.time_max, frame.number
    for position in range(len(rows)):
        rows["checksum"][position] = _checksum(rows[position : position + 1])
    return rows


def grown(rows: Records, more: Records) -> Records:
    """Some rows of one segment and more behind them. Copies only when the memory behind them is used up.

    Whoever holds `rows` sees no change; `rows` grow only once.
    """
    size = len(rows) + len(more)
    room = rows.base if isinstance(rows.base, np.ndarray) and rows.base.dtype == ROW else rows
    if len(room) < size or room.ctypes.data != rows.ctypes.data or not room.flags.writeable:
        room = np.empty(min(max(2 * size, _ROWS_MIN), FRAMES), ROW)
        room[: len(rows)] = rows
    room[len(rows) : size] = more
    return room[:size]


def whole(records: Records, *, number: int) -> Records:
    """The records from the first one on that are undamaged and numbered without a gap, beginning with `number`."""
    for position in range(len(records)):
        record = records[position : position + 1]
        if record["number"][0] != number + position or record["checksum"][0] != _checksum(record):
            return records[:position]
    return records


def block_of(rows: Records) -> Records:
    """The block of a segment's `FRAMES` rows. About 25 ms."""
    block = np.zeros(1, BLOCK)
    groups = rows["bits"].reshape(FRAMES // 8, 8, BITS // 8).transpose(2, 0, 1)
    squares = np.ascontiguousarray(groups).view("<u8")[..., 0]
    for shift, mask in _SWAPS:
        swapped = (squares ^ squares >> np.uint64(shift)) & np.uint64(mask)
        squares = squares ^ swapped ^ swapped << np.uint64(shift)
    slices = squares[..., np.newaxis].view(np.uint8).transpose(0, 2, 1)
    block["bits"] = slices.reshape(BITS, SLICE_BYTES)
    block["time_min"], block["time_max"] = rows["time_min"], rows["time_max"]
    block["number"] = rows["number"][0] // FRAMES
    block["checksum"] = _checksum(block)
    return block


def rows_in(block: Records) -> Records:
    """The rows that a block was made of. About 0.2 s: for verification."""
    rows = np.zeros(FRAMES, ROW)
    columns = np.unpackbits(block["bits"][0], axis=1, bitorder="little")
    rows["bits"] = np.packbits(columns.T, axis=1, bitorder="little")
    rows["time_min"], rows["time_max"] = block["time_min"], block["time_max"]
    rows["number"] = block["number"][0] * FRAMES + np.arange(FRAMES, dtype=np.uint64)
    for position in range(FRAMES):
        rows["checksum"][position] = _checksum(rows[position : position + 1])
    return rows


def rows_with(rows: Records, positions: Numbers) -> Numbers:
    """Which rows have all bits at `positions` set."""
    held = rows["bits"][:, positions >> 3] >> (positions & 7).astype(np.uint8) & 1
    return np.flatnonzero(held.all(axis=1))


def frames_in(common: int) -> Numbers:
    """Which frames of a block a slice, read as a little-endian number, has."""
    bits = np.frombuffer(common.to_bytes(SLICE_BYTES, "little"), np.uint8)
    return np.flatnonzero(np.unpackbits(bits, bitorder="little"))


def _checksum(record: Records) -> int:
    return zlib.crc32(record.view(np.uint8)[:-_CHECKSUM_BYTES].data, _SEED)
