"""Entry bundles (C2SP tlog-tiles): up to 256 entries in one file, each behind its length as a big-endian u16."""

from collections.abc import Iterable
from struct import Struct

from atp.errors import MalformedError
from atp.limits import ENTRY_BYTES_MAX, TILE_WIDTH

_LENGTH = Struct(">H")
_LENGTH_BYTES = _LENGTH.size


def encode_entries(entries: Iterable[bytes]) -> bytes:
    """The bytes of an entry bundle, or of a piece of one: bundles of neighbours join by concatenation.

    An entry over 65,535 bytes is the caller's mistake: whoever accepts entries refuses it at the door.
    """
    parts = [b"", *entries]
    lengths = [*map(len, parts)]
    assert max(lengths) <= ENTRY_BYTES_MAX, "an entry's length fits a u16"
    pairs = [b""] * (2 * len(parts))
    pairs[0::2] = map(_LENGTH.pack, lengths)
    pairs[1::2] = parts
    return b"".join(pairs[2:])


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
