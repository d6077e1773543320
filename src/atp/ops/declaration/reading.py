"""Nodes -> typed values, led by the types themselves; every fault is found in one pass.

The types say all: structs refuse unknown fields, texts have patterns and lengths, `extra={"refers": [...]}` names the
top-level mappings (or lists) of the same file that have to know the name. What no type can say are rules: for a struct
that was read, they tell how its fields contradict each other.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any, NamedTuple, TypeVar, cast

from msgspec import UNSET, inspect

from atp.ops.declaration.durations import parse_duration, parse_instant
from atp.ops.declaration.faults import Faults, Place
from atp.ops.declaration.nodes import Broken, Items, Members, Node, Text, member_field, parse_yaml

REFERS = "refers"
_INTEGER = re.compile(r"[-+]?[0-9]{1,18}")
_REAL = re.compile(r"[-+]?([0-9]{1,18}\.[0-9]{0,18}|\.[0-9]{1,18}|[0-9]{1,18})([eE][-+]?[0-9]{1,2})?")
_ABSENT = ("", "~", "null", "Null", "NULL")
_BOOLEANS = {"true": True, "false": False}
_WANTED = {
    inspect.StructType: "a mapping",
    inspect.DictType: "a mapping",
    inspect.VarTupleType: "a list",
}

T = TypeVar("T")


class Contradiction(NamedTuple):
    """Why a value cannot be meant: `field` is dotted and below that value, empty for the value itself."""

    field: str
    reason: str
    hint: str


Rules = Mapping[type, Callable[[Any], Iterable[Contradiction]]]


@dataclass(frozen=True, slots=True)
class _Wanted:
    """A type without its annotations, which are beside it."""

    kind: inspect.Type
    notes: Mapping[str, Any]
    refers: Sequence[str]

    @property
    def hint(self) -> str:
        """What would be right."""
        if examples := self.notes.get("examples"):
            return "for example " + " or ".join(examples)
        return str(self.notes.get("description", "docs/estate.md has every field"))


def read_declaration(data: bytes, kind: type[T], *, file: str, thing: str, rules: Rules) -> T:
    """The value of type `kind` that the YAML text declares.

    DeclaredError names every fault of the `thing` in `file`, never showing a secret. About 50 µs a value.
    """
    faults = Faults(file)
    root = parse_yaml(data, faults)
    value = _Reader(faults, rules, _names(root)).value(root, inspect.type_info(kind), "")
    faults.check(thing)
    return cast(T, value)


def _names(root: Node) -> dict[str, list[str]]:
    """What is named at the top of the file, by section: keys of mappings, texts of lists."""
    sections = root.members.items() if isinstance(root, Members) else ()
    return {section: _listed(node) for section, node in sections}


def _listed(node: Node) -> list[str]:
    if isinstance(node, Members):
        return list(node.members)
    return [item.text for item in node.items if isinstance(item, Text)] if isinstance(node, Items) else []


def _unwrap(wanted: inspect.Type) -> _Wanted:
    notes, refers = dict[str, Any](), list[str]()
    while True:
        if isinstance(wanted, inspect.Metadata):
            notes = {**(wanted.extra_json_schema or {}), **notes}
            refers += (wanted.extra or {}).get(REFERS, [])
            wanted = wanted.type
        elif isinstance(wanted, inspect.UnionType) and len(wanted.types) == 2 and wanted.includes_none:
            wanted = next(kind for kind in wanted.types if not isinstance(kind, inspect.NoneType))
        else:
            return _Wanted(wanted, notes, refers)


class _Reader:
    """Reads values; UNSET stands for one that has a fault, so that the rest is still read."""

    def __init__(self, faults: Faults, rules: Rules, names: Mapping[str, list[str]]) -> None:
        self._faults = faults
        self._rules = rules
        self._names = names

    def value(self, node: Node, kind: inspect.Type, field: str) -> Any:
        """The value of a node. UNSET when it is none of that type, which is told."""
        if isinstance(node, Broken):
            return UNSET
        wanted = _unwrap(kind)
        if isinstance(wanted.kind, inspect.StructType) and isinstance(node, Members):
            return self._struct(node, wanted, field)
        if isinstance(wanted.kind, inspect.DictType) and isinstance(node, Members):
            return self._mapping(node, wanted.kind, field)
        if isinstance(wanted.kind, inspect.VarTupleType) and isinstance(node, Items):
            return self._tuple(node, wanted.kind, field)
        if isinstance(node, Text) and type(wanted.kind) not in _WANTED:
            return self._scalar(node, wanted, field)
        return self._mismatch(node, wanted, field)

    def _mismatch(self, node: Node, wanted: _Wanted, field: str) -> Any:
        if isinstance(node, Text) and node.is_plain and node.text in _ABSENT:
            return self._refuse(node.place, field, "it has no value", hint="give it one, or remove the key")
        expected = _WANTED.get(type(wanted.kind), "one value")
        if "maxProperties" in wanted.notes and isinstance(wanted.kind, inspect.StructType):
            known = ", ".join(one.encode_name for one in wanted.kind.fields)
            return self._refuse(node.place, field, "it is a literal", hint=f"write a mapping with one of {known}")
        return self._refuse(node.place, field, f"it has to be {expected}", hint=wanted.hint)

    def _refuse(self, place: Place, field: str, reason: str, *, hint: str) -> Any:
        self._faults.add(place, field, reason, hint=hint)
        return UNSET

    def _struct(self, node: Members, wanted: _Wanted, field: str) -> Any:
        kind = cast(inspect.StructType, wanted.kind)
        known = {one.encode_name: one for one in kind.fields}
        for name in node.members.keys() - known.keys():
            if isinstance(node.members[name], Broken):
                continue  # a secret, say: that is told already, and more urgent
            close = get_close_matches(name, known, n=1)
            hint = f"did you mean {close[0]}?" if close else f"known are {', '.join(known)}"
            self._faults.add(node.keys[name], member_field(field, name), "the key is unknown", hint=hint)
        values, is_whole = dict[str, Any](), self._counts(node, wanted, field)
        for name, one in known.items():
            inner = member_field(field, name)
            if name in node.members:
                value = self.value(node.members[name], one.type, inner)
                is_whole &= value is not UNSET
                values[one.name] = value
            elif one.required:
                is_whole = False
                self._faults.add(node.place, inner, "it is missing", hint=f"add it: {_unwrap(one.type).hint}")
        if not is_whole:
            return UNSET
        return self._obey(node, kind.cls(**values), field)

    def _counts(self, node: Members, wanted: _Wanted, field: str) -> bool:
        least, most = wanted.notes.get("minProperties", 0), wanted.notes.get("maxProperties", len(node.members))
        if least <= len(node.members) <= most:
            return True
        known = ", ".join(one.encode_name for one in cast(inspect.StructType, wanted.kind).fields)
        self._faults.add(node.place, field, f"it has {len(node.members)} keys", hint=f"exactly one of {known}")
        return False

    def _obey(self, node: Members, value: Any, field: str) -> Any:
        rule = self._rules.get(type(value))
        for found in rule(value) if rule else ():
            inner = f"{field}.{found.field}".strip(".")
            self._faults.add(_place_below(node, found.field), inner, found.reason, hint=found.hint)
        return value

    def _mapping(self, node: Members, kind: inspect.DictType, field: str) -> Any:
        values = dict[str, Any]()
        for name, inner in node.members.items():
            key = self.value(Text(node.keys[name], name, is_plain=False), kind.key_type, member_field(field, name))
            value = self.value(inner, kind.value_type, member_field(field, name))
            if UNSET not in (key, value):
                values[name] = value
        return values

    def _tuple(self, node: Items, kind: inspect.VarTupleType, field: str) -> Any:
        values = [self.value(item, kind.item_type, f"{field}[{at}]") for at, item in enumerate(node.items)]
        if kind.min_length is not None and len(values) < kind.min_length:
            return self._refuse(node.place, field, "the list is too short", hint=f"at least {kind.min_length}")
        if kind.max_length is not None and len(values) > kind.max_length:
            return self._refuse(node.place, field, "the list is too long", hint=f"at most {kind.max_length}")
        return UNSET if UNSET in values else tuple(values)

    def _scalar(self, node: Text, wanted: _Wanted, field: str) -> Any:
        kind = wanted.kind
        if isinstance(kind, inspect.UnionType):
            return _cell(node)
        if node.is_plain and node.text in _ABSENT:
            return self._refuse(node.place, field, "it has no value", hint="give it one, or remove the key")
        try:
            value = _convert(node.text, kind)
        except ValueError as error:
            return self._refuse(node.place, field, f"it {error}", hint=wanted.hint)
        if wanted.refers:
            self._check_known(node, wanted, field)
        return value

    def _check_known(self, node: Text, wanted: _Wanted, field: str) -> None:
        """Tell of a name that nobody has; it is kept, so that rules find what else is wrong."""
        names = [name for section in wanted.refers for name in self._names.get(section, ())]
        if node.text in names:
            return
        where = " or ".join(wanted.refers)
        close = get_close_matches(node.text, names, n=1)
        hint = f"did you mean {close[0]}?" if close else f"name one of {where}, or add it there"
        self._faults.add(node.place, field, f"{node.text} is not among {where}", hint=hint)


def _convert(text: str, kind: inspect.Type) -> Any:
    """The value of a scalar. ValueError says what is wrong, without the text: it might be a secret."""
    if isinstance(kind, inspect.StrType):
        return _checked(text, kind)
    if isinstance(kind, inspect.LiteralType):
        if text not in kind.values:
            close = get_close_matches(text, map(str, kind.values), n=1)
            meant = f", perhaps {close[0]}" if close else ""
            raise ValueError(f"has to be {' or '.join(map(str, kind.values))}{meant}")
        return text
    if isinstance(kind, inspect.BoolType):
        if text not in _BOOLEANS:
            raise ValueError("has to be true or false")
        return _BOOLEANS[text]
    if isinstance(kind, inspect.IntType):
        if not _INTEGER.fullmatch(text) or (kind.ge is not None and int(text) < kind.ge):
            raise ValueError(f"has to be a whole number{'' if kind.ge is None else f', at least {kind.ge}'}")
        return int(text)
    return parse_duration(text) if isinstance(kind, inspect.TimeDeltaType) else parse_instant(text)


def _checked(text: str, kind: inspect.StrType) -> str:
    text = text.strip()  # a block ends with a line break that nobody means
    if kind.min_length and len(text) < kind.min_length:
        raise ValueError("is empty")
    if kind.max_length is not None and len(text) > kind.max_length:
        raise ValueError(f"is longer than {kind.max_length:,} characters")
    if kind.pattern is not None and not re.search(kind.pattern, text):
        raise ValueError("does not look as it should")
    return text


def _cell(node: Text) -> str | int | float | bool | None:
    """A value of any simple type, told as YAML 1.2 does: what stands in quotes is a text."""
    if not node.is_plain:
        return node.text
    if node.text in _ABSENT:
        return None
    if node.text in _BOOLEANS:
        return _BOOLEANS[node.text]
    if _INTEGER.fullmatch(node.text):
        return int(node.text)
    return float(node.text) if _REAL.fullmatch(node.text) else node.text


def _place_below(node: Node, field: str) -> Place:
    """Where a dotted field below a node stands, or as much of it as there is."""
    for part in filter(None, re.split(r"[.\[\]]", field)):
        if isinstance(node, Members) and part in node.members:
            node = node.members[part]
        elif isinstance(node, Items) and part.isdecimal() and int(part) < len(node.items):
            node = node.items[int(part)]
    return node.place
