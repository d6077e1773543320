"""What a command prints: one JSON document, or text for people; and what it says besides, on stderr.

Text that somebody else wrote is made safe for a terminal: control characters, marks that turn the writing direction,
and invisible ones are shown as escapes.
"""

import sys
from collections.abc import Sequence
from dataclasses import dataclass

import click
import msgspec

from atp.errors import AtpError, DeclaredError

_CELL_CHARS_MAX = 48


@dataclass(frozen=True, slots=True)
class Output:
    """Where one command's words go: stdout has the answer and nothing else, stderr the rest."""

    is_json: bool

    def answer(self, document: object, text: str) -> None:
        """Print the answer: `document` (whatever msgspec encodes, raw JSON too), or `text`, which is safe already."""
        if not self.is_json:
            click.echo(text)
            return
        encoded = msgspec.json.encode(document)
        click.echo(safe_json(encoded.decode()) if sys.stdout.isatty() else encoded)

    def note(self, sentence: str) -> None:
        """Tell a person something that is not the answer."""
        click.echo(safe(sentence), err=True)

    def fail(self, *, code: str, sentence: str, error: AtpError | None = None) -> None:
        """Print why there is no answer."""
        if self.is_json:
            self.answer({"error": _document(code, sentence, error)}, "")
            return
        click.echo("atp: " + safe(sentence), err=True)
        for fault in error.errors if error else ():
            click.echo(f"  event {fault.position}: {safe(fault.field)}: {safe(fault.reason)}", err=True)
        for place in error.faults if isinstance(error, DeclaredError) else ():
            click.echo(f"  {safe(str(place))}", err=True)


def safe(text: str) -> str:
    """The text with whatever could deceive a terminal or its reader shown as escapes, line breaks too."""
    return text if text.isprintable() else "".join(char if char.isprintable() else _escape(char) for char in text)


def safe_json(text: str) -> str:
    """The same for a JSON text, which stays the same document: outside of strings it has no such characters."""
    return text if text.isprintable() else "".join(c if c.isprintable() else _json_escape(c) for c in text)


def table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Columns under their heads; long cells are cut, but those of the last column, which is for copying."""
    cells = [[*map(_cell, row[:-1]), safe(row[-1])] for row in rows]
    widths = [max(map(len, column)) for column in zip(heads, *cells, strict=True)]
    return "\n".join(_line(row, widths) for row in [heads, *cells])


def fields(pairs: Sequence[tuple[str, object]]) -> str:
    """`name  value` lines, values made safe; pairs without a value are left out."""
    given = [(name, str(value)) for name, value in pairs if value not in (None, "")]
    width = max((len(name) for name, _ in given), default=0)
    return "\n".join(f"{name:<{width}}  {safe(value)}" for name, value in given)


def _document(code: str, sentence: str, error: AtpError | None) -> dict[str, object]:
    detail, hint = (error.sentence, error.hint) if error else (sentence, None)
    document: dict[str, object] = {"code": code, "detail": detail, "hint": hint}
    if error is not None and error.errors:
        document["errors"] = error.errors
    if isinstance(error, DeclaredError):
        document["errors"] = error.faults
    return document


def _escape(char: str) -> str:
    code = ord(char)
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def _json_escape(char: str) -> str:
    return "".join(f"\\u{int.from_bytes(unit, 'big'):04x}" for unit in _units(char.encode("utf-16-be")))


def _units(encoded: bytes) -> list[bytes]:
    return [encoded[at : at + 2] for at in range(0, len(encoded), 2)]


def _cell(text: str) -> str:
    text = safe(text)
    return text if len(text) <= _CELL_CHARS_MAX else text[: _CELL_CHARS_MAX - 1] + "…"


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    return "  ".join(f"{cell:<{width}}" for cell, width in zip(cells, widths, strict=True)).rstrip()
