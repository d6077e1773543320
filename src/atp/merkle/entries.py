"""Entry bundles (C2SP tlog-tiles): up to 256 entries in one file, each behind its length as a big-endian u16."""

from collections.abc import Iterable

from atp.errors import MalformedError
from atp.limits import ENTRY_BYTES_MAX, TILE_WIDTH

_LENGTH_BYTES = 2


def encode_entries(entries: Iterable[bytes]) -> bytes:
    """The bytes of an entry bundle, or of a piece of one: bundles of neighbours join by concatenation.

    An entry over 65,535 bytes is the caller's mistake: whoever accepts entries refuses it at the door.
    """
    parts = list[bytes]()
    for entry in entries:
        assert len(entry) <= ENTRY_BYTES_MAX, "an entry's length fits a u16"
        parts += len(entry).to_bytes(_LENGTH_BYTES, "big"), entry
    return b"".join(parts)


def decode_entries(bundle: bytes) -> list[bytes]:
    """The entries of a bundle, in order; raises MalformedError if it is cut off or holds more than 256."""
    entries, at, end = list[bytes](), 0, len(bundle)
    while at < end:
        start = at + _LENGTH_BYTES
        at = start + int.from_bytes(bundle[at:start], "big")  # also beyond the end if the length itself is cut off
        if at > end:
            raise MalformedError(f"could not read entry {len(entries)} of the bundle: it is cut off after {end} bytes")
        entries.append(bundle[start:at])
    if len(entries) > TILE_WIDTH:
        raise MalformedError(f"could not read the bundle: it holds {len(entries)} entries, more than {TILE_WIDTH}")
    return entries
