"""Bytes in chunks of any size -> numbered lines, unpacked when they are gzip; bounded memory."""

import zlib
from collections.abc import Iterable, Iterator
from itertools import chain
from typing import NamedTuple

from atp import limits

LINE_BYTES_MAX = limits.BODY_UNPACKED_BYTES_MAX  # an envelope may stand on one line
_GZIP_MAGIC = b"\x1f\x8b"
_PACKED_BYTES = 4 * 1024
_UNPACKED_BYTES = 1024 * 1024


class Line(NamedTuple):
    """A line without its line break; `reason` says why it is unusable."""

    number: int
    raw: bytes
    reason: str | None = None


class _BrokenOffError(ValueError):
    """The packed stream ends or fails inside."""


def read_lines(chunks: Iterable[bytes]) -> Iterator[Line]:
    """The lines that are not blank, numbered from 1. Raises nothing for bad content.

    Holds one line of at most LINE_BYTES_MAX at a time. A longer one is cut to `limits.ENTRY_BYTES_MAX` and has a
    reason, as has a last line that says where a gzip stream broke off.
    """
    number = 0
    held: list[bytes] = []
    held_bytes = 0
    try:
        for chunk in unpack(chunks):
            *whole, rest = chunk.split(b"\n")
            for piece in whole:
                number += 1
                if held:
                    held.append(piece)
                    piece, held, held_bytes = b"".join(held), [], 0
                yield from _line(number, piece)
            if held_bytes <= LINE_BYTES_MAX:
                held.append(rest)
                held_bytes += len(rest)
        yield from _line(number + 1, b"".join(held))
    except _BrokenOffError as error:
        yield from _line(number + 1, b"".join(held))
        yield Line(number + 1, b"", f"the gzip stream breaks off here: {error}")


def unpack(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """The chunks, unpacked when the first bytes are those of gzip (RFC 1952, several members too), piece by piece."""
    source = iter(chunks)
    head = b""
    while len(head) < len(_GZIP_MAGIC):
        chunk = next(source, None)
        if chunk is None:
            break
        head += chunk
    if not head.startswith(_GZIP_MAGIC):
        yield head
        yield from source
        return
    yield from _gunzip(head, source)


def _gunzip(head: bytes, source: Iterator[bytes]) -> Iterator[bytes]:
    member = zlib.decompressobj(wbits=31)
    for packed in _slices(chain([head], source)):
        rest = packed
        try:
            while rest:
                if member.eof:
                    rest = rest.lstrip(b"\0")  # members may be padded
                    member = zlib.decompressobj(wbits=31) if rest else member
                yield member.decompress(rest, _UNPACKED_BYTES)
                rest = member.unused_data if member.eof else member.unconsumed_tail
        except zlib.error as error:
            raise _BrokenOffError(str(error)) from None
    if not member.eof:
        yield member.flush()  # what the bound on a piece held back
    if not member.eof:
        raise _BrokenOffError("the end is missing")


def _slices(chunks: Iterable[bytes]) -> Iterator[bytes]:
    # A fault loses what its own slice would have given: keep slices small.
    for chunk in chunks:
        yield from (chunk[at : at + _PACKED_BYTES] for at in range(0, len(chunk), _PACKED_BYTES))


def _line(number: int, raw: bytes) -> Iterator[Line]:
    if number == 1:
        raw = raw.removeprefix(b"\xef\xbb\xbf")
    raw = raw.removesuffix(b"\r")
    if not raw or raw.isspace():
        return
    if len(raw) > LINE_BYTES_MAX:
        reason = f"the line is longer than {LINE_BYTES_MAX:,} bytes (hint: write one JSON value a line)"
        yield Line(number, raw[: limits.ENTRY_BYTES_MAX], reason)
    else:
        yield Line(number, raw)
