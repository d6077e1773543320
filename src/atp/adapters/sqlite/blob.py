"""A batch's two blobs: entries as a C2SP entry bundle has them, and the id hashes; one checksum over both."""

import struct
import zlib
from collections.abc import Sequence

from atp import limits
from atp.errors import TooLargeError


def encode_entries(entries: Sequence[bytes]) -> bytes:
    """For each entry its length, a big-endian u16, and its bytes (C2SP tlog-tiles). TooLargeError over 65,535 bytes."""
    lengths = [len(entry) for entry in entries]
    if max(lengths, default=0) > limits.ENTRY_BYTES_MAX:
        raise TooLargeError(
            f"could not append an entry of {max(lengths):,} bytes: the limit is {limits.ENTRY_BYTES_MAX:,}"
        )
    parts = [b""] * (2 * len(lengths))
    parts[0::2] = map(struct.Struct(">H").pack, lengths)
    parts[1::2] = entries
    return b"".join(parts)


def decode_batch(entries: bytes, ids: bytes, crc: int) -> list[bytes] | None:
    """The entries again, None when the blobs are not what `checksum` saw."""
    if checksum(entries, ids) != crc:
        return None
    decoded, start, end = [], 0, len(entries)
    while start < end:
        stop = start + 2 + int.from_bytes(entries[start : start + 2], "big")
        decoded.append(entries[start + 2 : stop])
        start = stop
    return decoded


def checksum(entries: bytes, ids: bytes) -> int:
    """CRC-32 of both blobs, one after the other."""
    return zlib.crc32(ids, zlib.crc32(entries))
