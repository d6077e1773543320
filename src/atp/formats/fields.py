"""How a field of the event is made from a record: alternatives, templates and conditions.

A field is a list of alternatives, and the first that applies wins. An alternative is a template, or a template with a
condition: `{ text = "denied", when = { errorCode = "*AccessDenied*" } }`.

A template is text with paths in braces: `"{eventSource}:{eventName}"`. It applies when every path in it has a text.
`{path|lower}` gives the text in lower case.

A condition is a table of path to pattern, or to a list of patterns of which one has to match; it holds when all its
paths match. In a pattern `*` stands for any run of characters; case does not count. The pattern `"*"` alone
asks only that something other than `null` stands there, an object or a list included.
"""

import re
from collections.abc import Callable, Mapping
from itertools import groupby
from typing import Any

import msgspec

from atp.formats.paths import ReadText, as_text, find_all, parse_path, text_reader

Condition = Callable[[Any], bool]
Patterns = str | list[str]

_PLACE = re.compile(r'\{((?:"[^"]*"|[^"{}])*)\}')
_MEMBER = re.compile(r"\{([^.\"\[\]{}|\s]+)\}")


class Alternative(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """A template that applies only under a condition."""

    text: str
    when: dict[str, Patterns]


Field = str | list[str | Alternative]


def alternatives(field: Field) -> list[str | Alternative]:
    """The alternatives of a field in order; a text alone is the only one."""
    return [field] if isinstance(field, str) else field


def compile_field(field: Field, *, absent: frozenset[str]) -> ReadText:
    """A function from a record to the text of the first alternative that applies, or the empty text.

    ValueError when a template or a condition is malformed.
    """
    readers: list[ReadText] = []
    for is_member, group in groupby(alternatives(field), key=_is_member):
        if is_member:  # one loop over names instead of a call for each
            readers.append(text_reader(*(parse_path(str(entry)[1:-1]) for entry in group), absent=absent))
        else:
            readers += [compile_alternative(entry, absent=absent) for entry in group]
    return readers[0] if len(readers) == 1 else _first_of(readers)


def compile_alternative(entry: str | Alternative, *, absent: frozenset[str]) -> ReadText:
    """A function from a record to the alternative's text, empty when it does not apply. ValueError as above."""
    if isinstance(entry, str):
        return compile_template(entry, absent=absent)
    read, holds = compile_template(entry.text, absent=absent), compile_condition(entry.when)
    return lambda record: read(record) if holds(record) else ""


def compile_template(template: str, *, absent: frozenset[str]) -> ReadText:
    """A function from a record to the template's text, empty when a path has none. ValueError when it is malformed."""
    pieces: list[str] = []
    readers: list[ReadText] = []
    at = 0
    for place in _PLACE.finditer(template):
        pieces.append(template[at : place.start()])
        readers.append(_compile_place(place[1], absent))
        at = place.end()
    pieces.append(template[at:])
    if any(brace in piece for piece in pieces for brace in "{}"):
        raise ValueError(f"{template!r} has a brace that does not enclose a path")
    if len(readers) == 1 and pieces == ["", ""]:
        return readers[0]
    return _joined(pieces, readers)


def compile_condition(table: Mapping[str, Patterns]) -> Condition:
    """A predicate over records. ValueError when a path is malformed."""
    checks = [_compile_check(path, patterns) for path, patterns in table.items()]
    if len(checks) == 1:
        return checks[0]

    def holds(record: Any) -> bool:
        for check in checks:  # noqa: SIM110 - a generator in all() costs as much again as the checks
            if not check(record):
                return False
        return True

    return holds


def _is_member(entry: str | Alternative) -> bool:
    return isinstance(entry, str) and _MEMBER.fullmatch(entry) is not None


def _first_of(readers: list[ReadText]) -> ReadText:
    def read(record: Any) -> str:
        for reader in readers:
            if text := reader(record):
                return text
        return ""

    return read


def _compile_place(inner: str, absent: frozenset[str]) -> ReadText:
    path, bar, filter_name = inner.rpartition("|")
    if not bar:
        return text_reader(parse_path(inner), absent=absent)
    if filter_name != "lower":
        raise ValueError(f"{inner!r} names a filter other than 'lower'")
    read = text_reader(parse_path(path), absent=absent)
    return lambda record: read(record).lower()


def _joined(pieces: list[str], readers: list[ReadText]) -> ReadText:
    head, tails = pieces[0], list(zip(readers, pieces[1:], strict=True))

    def read(record: Any) -> str:
        text = head
        for reader, literal in tails:
            value = reader(record)
            if not value:
                return ""
            text += value + literal
        return text

    return read


def _compile_check(text: str, patterns: Patterns) -> Condition:
    path = parse_path(text)
    listed = [patterns] if isinstance(patterns, str) else patterns
    if not listed:
        raise ValueError(f"{text!r} has an empty list of patterns, which nothing matches")
    if "*" in listed:
        return _compile_presence(text)
    globs = ("".join(".*" if char == "*" else re.escape(char) for char in pattern) for pattern in listed)
    matches = re.compile("|".join(globs), re.IGNORECASE | re.DOTALL).fullmatch
    if len(path) == 1:
        name = path[0]
        return lambda record: name in record and matches(as_text(record[name])) is not None
    return lambda record: any(matches(as_text(value)) for value in find_all(record, path))


def _compile_presence(text: str) -> Condition:
    path = parse_path(text)
    if len(path) == 1:
        name = path[0]
        return lambda record: record.get(name) is not None
    return lambda record: any(value is not None for value in find_all(record, path))
