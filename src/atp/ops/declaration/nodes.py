"""YAML text -> nodes that know their place: a plain subset, bounded while it is read.

Scalars stay texts: what they mean is for whoever knows the type that is wanted, so `no` is a text where a text is
wanted, and `09:30` never becomes a number. Refused by name: anchors and aliases (and so merge keys), tags, keys that
stand twice or are no texts, a second document, secrets as literals, whatever is over a bound of `limits`.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeAlias

import yaml

from atp.limits import (
    DECLARATION_BYTES_MAX,
    DECLARATION_DEPTH_MAX,
    DECLARATION_NODES_MAX,
    DECLARATION_TEXT_CHARS_MAX,
)
from atp.ops.declaration.faults import Faults, Place
from atp.ops.declaration.secrecy import is_secret_name, secret_in

START = Place(1, 1)
_FIELD_CHARS_MAX = 200
_NOT_TEXT = re.compile(r"|~|null|Null|NULL|true|True|TRUE|false|False|FALSE|[-+]?[0-9][0-9_]*|0[xo][0-9a-fA-F]+")
# The parser's own words are shown, but for what they quote of the text, which might be a secret: of that only single
# characters are, and names of tokens, `<block end>`.
_QUOTED = re.compile(r"'([^']*)'|\"([^\"]*)\"")
_HARMLESS = re.compile(r"(.|<[a-z ]+>)?")
_REFERENCE = "hold it by reference: {env: NAME}, {file: PATH} or {command: [...]}"


@dataclass(frozen=True, slots=True)
class Text:
    """A scalar as it was written; `is_plain` when it stood without quotes."""

    place: Place
    text: str
    is_plain: bool


@dataclass(frozen=True, slots=True)
class Items:
    """A sequence."""

    place: Place
    items: tuple["Node", ...]


@dataclass(frozen=True, slots=True)
class Members:
    """A mapping; keys are unique texts, each with its place."""

    place: Place
    members: dict[str, "Node"]
    keys: dict[str, Place]


@dataclass(frozen=True, slots=True)
class Broken:
    """Stands where something was refused, which has been told already."""

    place: Place


Node: TypeAlias = Text | Items | Members | Broken


class _StopError(Exception):
    """The rest of the text is not read; the reason is among the faults."""


def parse_yaml(data: bytes, faults: Faults) -> Node:
    """The node of the one document in `data`; what is refused is Broken and among `faults`. About 15 µs a node."""
    try:
        return _Composer(_decode(data, faults), faults).document()
    except _StopError:
        return Broken(START)


def member_field(field: str, key: str) -> str:
    """The dotted field of a member."""
    return f"{field}.{key}"[-_FIELD_CHARS_MAX:] if field else key[:_FIELD_CHARS_MAX]


def _quoting_little(words: str) -> str:
    return _QUOTED.sub(lambda quoted: quoted[0] if _HARMLESS.fullmatch(quoted[1] or quoted[2] or "") else "…", words)


def _decode(data: bytes, faults: Faults) -> str:
    if len(data) > DECLARATION_BYTES_MAX:
        faults.add(START, "", f"it is over {DECLARATION_BYTES_MAX:,} bytes", hint="divide it")
        raise _StopError
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        column = error.start - data.rfind(b"\n", 0, error.start)
        faults.add(Place(line, column), "", "it is not UTF-8", hint="save it as UTF-8")
        raise _StopError from None


class _Composer:
    """Turns the parser's events into nodes, and stops at the first bound."""

    def __init__(self, text: str, faults: Faults) -> None:
        self._text = text
        self._faults = faults
        self._events = self._parse()
        self._count = 0

    def document(self) -> Node:
        """The one document. _StopError when the text is no YAML, or over a bound."""
        event = next(self._events)
        while isinstance(event, yaml.StreamStartEvent | yaml.DocumentStartEvent):
            event = next(self._events)
        if isinstance(event, yaml.StreamEndEvent):
            self._stop(START, "", "it is empty", hint="write what you declare")
        node = self._node(event, "", 0)
        for event in self._events:
            if isinstance(event, yaml.DocumentStartEvent):
                self._stop(_place(event), "", "a second document begins here", hint="one document a file")
        return node

    def _parse(self) -> Iterator[yaml.Event]:
        try:
            yield from yaml.parse(self._text, Loader=yaml.SafeLoader)
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            place = Place(mark.line + 1, mark.column + 1) if mark else START
            reason = _quoting_little((error.problem or "it cannot be read").replace(r"'\t'", "tab"))
            self._stop(place, "", f"it is not YAML: {reason}", hint="look at quotes, colons and indentation")
        except yaml.reader.ReaderError as error:
            place = self._place_of(error.position)
            self._stop(place, "", f"the character U+{error.character:04X} has no place in YAML", hint="remove it")
        except (ValueError, OverflowError):  # an escape such as "\UFFFFFFFF" or a %YAML of a thousand digits
            self._stop(START, "", "it is not YAML: a number in it is out of range", hint="look at escapes like \\U")

    def _node(self, event: yaml.Event, field: str, depth: int) -> Node:
        place = _place(event)
        self._count += 1
        if self._count > DECLARATION_NODES_MAX:
            self._stop(place, field, f"it is over {DECLARATION_NODES_MAX:,} values", hint="divide it")
        if depth > DECLARATION_DEPTH_MAX:
            self._stop(place, field, f"it is nested deeper than {DECLARATION_DEPTH_MAX}", hint="write it flatter")
        is_refused = self._refuses_sharing(event, place, field)
        if isinstance(event, yaml.ScalarEvent):
            node: Node = self._text_of(event, place, field)
        elif isinstance(event, yaml.SequenceStartEvent):
            node = self._items(place, field, depth)
        elif isinstance(event, yaml.MappingStartEvent):
            node = self._members(place, field, depth)
        else:
            node = Broken(place)
        return Broken(place) if is_refused else node

    def _refuses_sharing(self, event: yaml.Event, place: Place, field: str) -> bool:
        if isinstance(event, yaml.AliasEvent):
            self._faults.add(place, field, "an alias is not allowed", hint="write the value out")
            return True
        if getattr(event, "anchor", None):
            self._faults.add(place, field, "an anchor is not allowed", hint="remove it, and write values out")
            return True
        if getattr(event, "tag", None):
            self._faults.add(place, field, "a tag is not allowed", hint="remove it: the type follows from the field")
            return True
        return False

    def _text_of(self, event: yaml.ScalarEvent, place: Place, field: str) -> Node:
        if len(event.value) > DECLARATION_TEXT_CHARS_MAX:
            self._faults.add(place, field, f"it is over {DECLARATION_TEXT_CHARS_MAX:,} characters", hint="shorten it")
            return Broken(place)
        if kind := secret_in(event.value):
            self._faults.add(place, field, f"it holds {kind} as a literal", hint=_REFERENCE)
            return Broken(place)
        return Text(place, event.value, is_plain=event.style is None)

    def _items(self, place: Place, field: str, depth: int) -> Items:
        items = list[Node]()
        while not isinstance(event := next(self._events), yaml.SequenceEndEvent):
            items.append(self._node(event, f"{field}[{len(items)}]", depth + 1))
        return Items(place, tuple(items))

    def _members(self, place: Place, field: str, depth: int) -> Members:
        members, keys = dict[str, Node](), dict[str, Place]()
        while not isinstance(event := next(self._events), yaml.MappingEndEvent):
            key = self._key(event, field, depth)
            inner = member_field(field, key.text) if key else member_field(field, "?")
            value = self._node(next(self._events), inner, depth + 1)
            if key is None:
                continue
            if key.text in keys:
                line = keys[key.text].line
                self._faults.add(key.place, inner, f"the key stands twice, first in line {line}", hint="keep one")
            elif is_secret_name(key.text) and isinstance(value, Text) and value.text:
                self._faults.add(value.place, inner, "it holds a secret as a literal", hint=_REFERENCE)
                value = Broken(value.place)
            keys.setdefault(key.text, key.place)
            members.setdefault(key.text, value)
        return Members(place, members, keys)

    def _key(self, event: yaml.Event, field: str, depth: int) -> Text | None:
        node = self._node(event, member_field(field, "?"), depth + 1)
        if isinstance(node, Broken):
            return None
        if not isinstance(node, Text) or (node.is_plain and _NOT_TEXT.fullmatch(node.text)):
            self._faults.add(node.place, member_field(field, "?"), "a key is no text", hint="put it in quotes")
            return None
        return node

    def _place_of(self, position: int) -> Place:
        before = self._text[:position]
        return Place(before.count("\n") + 1, position - before.rfind("\n"))

    def _stop(self, place: Place, field: str, reason: str, *, hint: str) -> None:
        self._faults.add(place, field, reason, hint=hint)
        raise _StopError


def _place(event: yaml.Event) -> Place:
    mark = event.start_mark
    return Place(mark.line + 1, mark.column + 1) if mark else START
