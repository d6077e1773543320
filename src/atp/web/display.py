"""Bytes made legible: hidden characters shown, JSON laid out without being understood, a hex dump.

Whatever a sender wrote is shown as it is and does nothing: control, bidirectional and other invisible characters appear
as their code points, and numbers and repeated keys of JSON are tokens, never values.
"""

import re
import unicodedata
from collections.abc import Iterator
from datetime import datetime

from markupsafe import Markup, escape

from atp.log.event import format_instant, parse_instant

JSON_LINES_MAX = 2_000
HEX_BYTES_MAX = 16 * 1024
_INDENTED_DEPTH_MAX = 32
_HEX_WIDTH = 16
_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|[{}\[\],:]|[^\s{}\[\],:"]+|"')
_OPENING, _CLOSING = ("{", "["), ("}", "]")


def visible(text: str) -> Markup:
    """The text for a page, with every character that has no shape of its own as a marked code point."""
    if text.isprintable():
        return escape(text)
    return Markup("").join(escape(char) if char.isprintable() else _code_point(char) for char in text)


def plain(text: str) -> str:
    """`visible` where no markup can be: titles, labels, tooltips."""
    return "".join(char if char.isprintable() else f"U+{ord(char):04X}" for char in text)


def visible_lines(text: str) -> Markup:
    """`visible`, and lines stay lines."""
    return Markup("\n").join(visible(line) for line in text.split("\n"))


def instant(text: str, *, digits: int = 0) -> Markup:
    """An RFC 3339 instant in UTC, as a `<time>` element; as it was sent when it is none."""
    try:
        utc = format_instant(parse_instant(text))
    except ValueError:
        return visible(text)
    shown = f"{utc[:10]} {utc[11:19]}" + (utc[19 : 20 + digits] if digits else "")
    return Markup('<time datetime="{}" title="{} UTC">{}</time>').format(utc, utc[:-1].replace("T", " "), shown)


def moment(at: datetime | None) -> Markup:
    """An aware instant as a `<time>` element; a dash when there is none."""
    return Markup("–") if at is None else instant(at.isoformat())


def pretty_json(text: str) -> Markup:
    """JSON laid out over lines, each token as it was written. At most `JSON_LINES_MAX` lines; linear."""
    lines = list[Markup]()
    for line in _json_lines(_TOKEN.findall(text)):
        if len(lines) == JSON_LINES_MAX:
            lines.append(Markup('<span class="cut">and more: see the bytes of the entry</span>'))
            break
        lines.append(line)
    return Markup("\n").join(lines)


def hex_dump(data: bytes) -> str:
    """Offset, hexadecimal and ASCII, 16 bytes a line, of the first `HEX_BYTES_MAX` bytes."""
    lines = []
    for offset in range(0, min(len(data), HEX_BYTES_MAX), _HEX_WIDTH):
        row = data[offset : offset + _HEX_WIDTH]
        ascii_text = "".join(chr(byte) if 32 <= byte < 127 else "." for byte in row)
        lines.append(f"{offset:06x}  {row[:8].hex(' '):<23}  {row[8:].hex(' '):<23}  {ascii_text}")
    return "\n".join(lines)


def _code_point(char: str) -> Markup:
    name = unicodedata.name(char, "control character").lower()
    return Markup('<span class="hidden-char" title="{}">U+{:04X}</span>').format(name, ord(char))


def _json_lines(tokens: list[str]) -> Iterator[Markup]:
    depth, line = 0, Markup("")
    for token, following in zip(tokens, [*tokens[1:], ""], strict=True):
        line += _mark(token, is_key=following == ":")
        depth += (token in _OPENING) - (token in _CLOSING)
        is_end = following in _CLOSING
        if token == ":":
            line += " "
        elif token == "," or (token in _OPENING) != is_end:  # an empty object or array stays on its line
            yield line
            line = Markup("  " * min(depth - is_end, _INDENTED_DEPTH_MAX))
    yield line


def _mark(token: str, *, is_key: bool) -> Markup:
    if token in (*_OPENING, *_CLOSING, ",", ":"):
        return Markup(token)
    kind = "key" if is_key else "string" if token.startswith('"') else "atom"
    return Markup('<span class="{}">{}</span>').format(kind, visible(token))
