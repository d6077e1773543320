"""Finds the one bit that was flipped, from a CRC-32 alone (zlib's: polynomial 0xEDB88320, reflected).

A CRC is linear: what a flipped bit does to it depends on the bit's distance to the end and on nothing else, and no two
distances within 2**32 - 1 bits do the same. So the difference between the stored and the computed value is walked back
byte by byte until it is what a flip in that byte does.
"""

import zlib

SEARCH_BYTES_MAX = 8_000_000
"""Beyond this distance from the end the search is given up: it costs 0.1 µs a byte."""

_POLYNOMIAL = 0xEDB88320


def _table_entry(byte: int) -> int:
    for _ in range(8):
        byte = byte >> 1 ^ (_POLYNOMIAL if byte & 1 else 0)
    return byte


_TABLE = tuple(_table_entry(byte) for byte in range(256))
_BY_TOP = {value >> 24: (value, byte) for byte, value in enumerate(_TABLE)}
_FLIPS = {_TABLE[1 << bit]: 1 << bit for bit in range(8)}


def locate_flipped_bit(data: bytes, *, crc: int) -> tuple[int, int] | None:
    """(offset, bit mask) of the single bit of `data` without whose flip its CRC-32 would be `crc`; None if none is."""
    difference = zlib.crc32(data) ^ crc
    for offset in range(len(data) - 1, max(-1, len(data) - 1 - SEARCH_BYTES_MAX), -1):
        if mask := _FLIPS.get(difference):
            return offset, mask
        value, byte = _BY_TOP[difference >> 24]
        difference = (difference ^ value) << 8 & 0xFFFFFFFF | byte
    return None
