"""Lines -> JSON values: one value a line, or values written over several lines, told apart as they come."""

import json
import re
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import msgspec

from atp import limits
from atp.formats.lines import Line

DOCUMENT_BYTES_MAX = limits.BODY_UNPACKED_BYTES_MAX

_INCOMPLETE = "it begins a JSON value that is not completed"
_TOO_LARGE = f"it begins a JSON value of more than {DOCUMENT_BYTES_MAX:,} bytes (hint: write one record a line)"
_decode_value = msgspec.json.Decoder().decode
_decode_members = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_decode_elements = msgspec.json.Decoder(list[msgspec.Raw]).decode
_BRACKETS = re.compile(rb'"(?:[^"\\]|\\.)*(?P<close>"?)|[\[\]{}]')
_CONTINUES = re.compile(rb'\s*(?:["{}\[\],:\-\d]|true|false|null)')


class Piece(NamedTuple):
    """A JSON value with its bytes and the line that it begins on; or a line that is none, and why.

    `value` is the decoded object; a list of undecoded elements; or, for an object too large to be a record,
    its undecoded members. It is None when `reason` says why there is no value.
    """

    line: int
    raw: bytes
    value: Any = None
    reason: str | None = None


def split_values(lines: Iterable[Line]) -> Iterator[Piece]:
    """The JSON objects and arrays that the lines hold; every other line with a reason. Nothing is dropped.

    A line that is a whole value is taken as one. A line that opens a value begins a document, which ends where its
    brackets close; holds at most DOCUMENT_BYTES_MAX. When they never close, the document was a broken line: the whole
    values among its lines still count.
    """
    source = iter(lines)
    pushed: Line | None = None
    while line := pushed or next(source, None):
        pushed = None
        piece = read_value(line)
        if piece.reason is None or not _opens_document(line):
            yield piece
        else:
            held, reason, pushed = _gather(line, source)
            yield from _each(held, reason) if reason else _whole(held)


def read_value(line: Line) -> Piece:
    """The JSON object or array that the line is, or the reason why not."""
    raw = line.raw.strip(b" \t\r\n")
    if line.reason or raw[:1] not in (b"{", b"["):
        return Piece(line.number, line.raw, reason=line.reason or "it is neither a JSON object nor a list of them")
    value, reason = decode(raw)
    return Piece(line.number, raw, value, reason)


def decode(raw: bytes) -> tuple[Any, str | None]:
    """The value of a JSON text, as `Piece.value` says, or None and the reason. About 4 µs for each KB."""
    try:
        if raw[:1] == b"[":
            return _decode_elements(raw), None
        return (_decode_value(raw) if len(raw) <= limits.ENTRY_BYTES_MAX else _decode_members(raw)), None
    except msgspec.ValidationError:
        return _decode_any_number(raw)
    except msgspec.DecodeError as error:
        return None, f"it is not JSON: {str(error).removeprefix('JSON is malformed: ')}"
    except UnicodeDecodeError as error:
        return None, f"it is not UTF-8: {error.reason}"
    except RecursionError:
        return None, f"it is nested deeper than {limits.DATA_DEPTH_MAX}"


def _decode_any_number(raw: bytes) -> tuple[Any, str | None]:
    # JSON sets no range for numbers, the fast decoder does (1e400): keep such numbers as they are written.
    try:
        return json.loads(raw, parse_int=str, parse_float=str, parse_constant=_refuse_constant), None
    except (ValueError, RecursionError) as error:
        return None, f"it is not JSON: {error}"


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON number")


def open_brackets(text: bytes) -> int | None:
    """How many more brackets the text opens than it closes; None when it ends inside a string, which no line may."""
    depth = 0
    for match in _BRACKETS.finditer(text):
        token = match[0]
        if token in b"[{":
            depth += 1
        elif token in b"]}":
            depth -= 1
        elif not match["close"]:
            return None
    return depth


def _opens_document(line: Line) -> bool:
    is_value = line.reason is None and line.raw.lstrip()[:1] in (b"{", b"[")
    return is_value and (open_brackets(line.raw) or 0) > 0


def _gather(first: Line, source: Iterator[Line]) -> tuple[list[Line], str | None, Line | None]:
    """The lines from `first` to where its brackets close, why they do not, and a line read too far."""
    held, size = [first], len(first.raw)
    depth = open_brackets(first.raw) or 0
    is_object = first.raw.lstrip()[:1] == b"{"
    for line in source:
        # Whoever breaks an object over lines indents what is inside: a brace at the margin begins the next record.
        if not _CONTINUES.match(line.raw) or (is_object and line.raw[:1] == b"{"):
            return held, _INCOMPLETE, line
        change = open_brackets(line.raw)
        held.append(line)
        size += len(line.raw) + 1
        if line.reason or change is None or depth + change < 0:
            return held, _INCOMPLETE, None
        depth += change
        if depth == 0:
            return held, None, None
        if size > DOCUMENT_BYTES_MAX:
            return held, _TOO_LARGE, None
    return held, _INCOMPLETE, None


def _whole(held: list[Line]) -> Iterator[Piece]:
    piece = read_value(Line(held[0].number, b"\n".join(line.raw for line in held)))
    yield from [piece] if piece.reason is None else _each(held, piece.reason)


def _each(held: list[Line], reason: str) -> Iterator[Piece]:
    """The whole values among the lines of a broken document; what lies between them in one piece each."""
    broken: list[Line] = []
    for line in held:
        piece = read_value(line)
        if piece.reason is not None:
            broken.append(line)
            continue
        yield from _joined(broken, reason)
        broken = []
        yield piece
    yield from _joined(broken, reason)


def _joined(broken: list[Line], reason: str) -> Iterator[Piece]:
    if broken:
        yield Piece(broken[0].number, b"\n".join(line.raw for line in broken), reason=reason)
