"""Bytes of a file, a stream or a body -> records, each with its number, its line, its bytes and its format.

Read as they come, mixed at will: one JSON value a line, values over several lines, lists, the source's own envelope,
lines of Linux audit, all of it plain or gzip; and CSV whose first line names the column of a known format. Blank lines
are no records; everything else is one, so that records = converted + rejected holds for every input.
"""

import csv
from collections.abc import Iterable, Iterator
from itertools import chain
from typing import Any

import msgspec

from atp import limits
from atp.formats.auditd import AuditGroup, AuditWindow, audit_order, is_audit_line, parse_audit
from atp.formats.catalogue import AUTO, NATIVE, Formats, is_recognised, recognise
from atp.formats.documents import Piece, decode, split_values
from atp.formats.envelopes import find_list, split_list
from atp.formats.lines import Line, read_lines
from atp.formats.mapping import Mapping
from atp.formats.paths import Path

_Found = tuple[Piece, str | None]  # and its format, as far as it is known


class Record(msgspec.Struct, frozen=True, gc=False):
    """One record of a source. `number` counts records from 1; `line` is the one that it begins on.

    `reason` says why it cannot be converted; then `format` is None. `fields` is the decoded record, for `convert`.
    """

    number: int
    line: int
    raw: bytes
    format: str | None = None
    reason: str | None = None
    fields: dict[str, Any] | None = None


def read_records(
    chunks: Iterable[bytes],
    *,
    format: str,  # noqa: A002 - what every door calls it
    formats: Formats,
) -> Iterator[Record]:
    """The records in the chunks, in order; `format` is `auto` (each by its content) or one of `formats.names`.

    Bad content raises nothing, it becomes a record with a reason. InvalidError for an unknown format. Memory: one
    document of at most 64 MiB, and the window of audit lines. About 10 µs for a record of 1.4 KB.
    """
    formats.check_name(format)
    pieces = _pieces(read_lines(chunks), None if format == AUTO else format, formats)
    return (_record(number, piece, found, formats) for number, (piece, found) in enumerate(pieces, start=1))


def _pieces(lines: Iterator[Line], wanted: str | None, formats: Formats) -> Iterator[_Found]:
    first = next(lines, None)
    if first is None:
        return
    mappings = [mapping for name, mapping in formats.mappings.items() if wanted in (None, name)]
    if (column := _csv_column(first, mappings)) is not None:
        yield from ((piece, wanted) for piece in _csv_pieces(lines, column))
        return
    found = _json_pieces(chain([first], lines), wanted, mappings, formats)
    is_audit_wanted = any(mapping.syntax == "auditd" for mapping in mappings)
    yield from _with_audit(found, wanted) if is_audit_wanted else found


def _with_audit(found: Iterator[_Found], wanted: str | None) -> Iterator[_Found]:
    """The same, with lines of Linux audit put together to events."""
    window = AuditWindow()
    for piece, name in found:
        if piece.reason and is_audit_line(piece.raw):
            yield from ((_audit_piece(group), wanted) for group in window.add(piece.line, piece.raw))
        else:
            yield piece, name
    yield from ((_audit_piece(group), wanted) for group in window.close())


def _json_pieces(
    lines: Iterable[Line], wanted: str | None, mappings: list[Mapping], formats: Formats
) -> Iterator[_Found]:
    paths = [path for mapping in mappings for path in mapping.records]
    for piece in split_values(lines):
        if piece.reason:
            yield piece, None
        elif isinstance(piece.value, list):
            yield from ((inner, wanted) for inner in split_list(piece, piece.value))
        elif (name := _format_of(piece, wanted, formats)) is not None:
            yield piece, name
        else:
            yield from ((inner, wanted) for inner in _unwrap(piece, wanted, paths, formats))


def _format_of(piece: Piece, wanted: str | None, formats: Formats) -> str | None:
    if len(piece.raw) > limits.ENTRY_BYTES_MAX:
        return None
    if wanted is None:
        return recognise(piece.value, formats)
    return wanted if wanted == NATIVE or is_recognised(piece.value, formats.mappings[wanted]) else None


def _unwrap(piece: Piece, wanted: str | None, paths: list[Path], formats: Formats) -> Iterator[Piece]:
    elements = find_list(piece.raw, paths)
    if elements is None or not (wanted or _has_known(split_list(piece, elements), formats)):
        yield piece
    else:
        yield from split_list(piece, elements)


def _has_known(inner: Iterator[Piece], formats: Formats) -> bool:
    # Without a named format, an object with a list in it is an envelope only if records of a known format are inside.
    return any(_format_of(one, None, formats) for one in inner if not one.reason)


def _record(number: int, piece: Piece, found: str | None, formats: Formats) -> Record:
    line, raw, value, reason = piece
    if reason is None and len(raw) > limits.ENTRY_BYTES_MAX:
        reason = f"it has {len(raw):,} bytes, an entry takes {limits.ENTRY_BYTES_MAX:,}"
    if reason is not None:
        return Record(number, line, raw, reason=reason)
    name = found or recognise(value, formats)
    if name is None:
        return Record(number, line, raw, reason="no format recognises it (hint: name its format)")
    return Record(number, line, raw, name, fields=value)


def _audit_piece(group: AuditGroup) -> Piece:
    raw = b"\n".join(audit_order(group.lines))
    try:
        return Piece(group.line, raw, parse_audit(raw.decode()))
    except UnicodeDecodeError as error:
        return Piece(group.line, raw, reason=f"it is not UTF-8: {error.reason}")


def _csv_column(line: Line, mappings: list[Mapping]) -> int | None:
    if line.reason or line.raw[:1] in (b"{", b"["):
        return None
    try:
        names = next(csv.reader([line.raw.decode("utf-8", "surrogateescape")]), [])
    except csv.Error:
        return None
    return next((names.index(mapping.csv_column) for mapping in mappings if mapping.csv_column in names), None)


def _csv_pieces(lines: Iterator[Line], column: int) -> Iterator[Piece]:
    taken: list[Line] = []

    def texts() -> Iterator[str]:
        for line in lines:
            taken.append(line)
            yield line.raw.decode("utf-8", "surrogateescape") + "\n"

    rows = csv.reader(texts())
    while True:
        taken.clear()
        try:
            row = next(rows)
            cell = row[column].encode("utf-8", "surrogateescape").strip()
        except StopIteration:
            return
        except (csv.Error, IndexError) as error:
            reason = f"the CSV row has no usable cell in the column of the record: {error}"
            yield Piece(taken[0].number, b"\n".join(line.raw for line in taken), reason=reason)
            continue
        value, broken = decode(cell) if cell.startswith(b"{") else (None, "the CSV cell is not a JSON object")
        yield Piece(taken[0].number, cell or b"\n".join(line.raw for line in taken), value, broken)
