"""The records inside a source's envelope, each as the bytes that stand there."""

from collections.abc import Iterator, Sequence

import msgspec

from atp.formats.documents import Piece, decode
from atp.formats.paths import Path

_decode_members = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_decode_elements = msgspec.json.Decoder(list[msgspec.Raw]).decode


def split_list(piece: Piece, elements: Sequence[msgspec.Raw]) -> Iterator[Piece]:
    """The elements of a list as pieces with their own lines. Costs one search over the piece."""
    at, line = 0, piece.line
    for element in elements:
        raw = bytes(element)
        begin = piece.raw.index(raw, at)
        line += piece.raw.count(b"\n", at, begin)
        yield _element(line, raw)
        at = begin + len(raw)
        line += raw.count(b"\n")


def find_list(raw: bytes, paths: Sequence[Path]) -> list[msgspec.Raw] | None:
    """The elements of the first list that stands at one of the paths in a JSON object, or None."""
    for path in paths:
        try:
            inner: bytes | msgspec.Raw = raw
            for name in path:
                inner = _decode_members(inner)[str(name)]
            return _decode_elements(inner)
        except (KeyError, msgspec.MsgspecError, RecursionError):
            continue
    return None


def _element(line: int, raw: bytes) -> Piece:
    if raw[:1] != b"{":
        return Piece(line, raw, reason="it is not a JSON object")
    value, reason = decode(raw)
    return Piece(line, raw, value, reason)
