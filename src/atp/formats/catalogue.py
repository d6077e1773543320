"""The formats that are known: the built-in mappings, those of a directory, and native events."""

from collections.abc import Mapping as Table
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from atp.errors import InvalidError, MissingError
from atp.formats.auditd import parse_audit
from atp.formats.mapping import Mapping, parse_mapping
from atp.formats.paths import find
from atp.log.event import Event

AUTO = "auto"
NATIVE = "atp"

_BUILT_IN = Path(__file__).parent / "mappings"
_NATIVE_MEMBERS = frozenset(field.name for field in msgspec.structs.fields(Event))


@dataclass(frozen=True, slots=True)
class Formats:
    """Mappings by name, in the order in which they are asked whether a record is theirs."""

    mappings: Table[str, Mapping]

    @property
    def names(self) -> tuple[str, ...]:
        """What a record's format can be: native events and every mapping. `auto` is accepted besides."""
        return (NATIVE, *sorted(self.mappings))

    def check_name(self, name: str) -> None:
        """InvalidError unless `name` is `auto` or one of `names`."""
        if name != AUTO and name not in self.names:
            raise InvalidError(f"could not use format {name!r}: it is unknown", hint=f"{AUTO}, {', '.join(self.names)}")


def load_formats(extra: Path | None = None) -> Formats:
    """The built-in formats and, asked before them, those in `extra/*.toml`; one of the same name replaces.

    Raises InvalidError with file and key for a bad mapping, MissingError when `extra` is no directory. About 20 ms.
    """
    if extra is not None and not extra.is_dir():
        raise MissingError(f"could not load formats: {extra} is not a directory")
    own = _load(extra) if extra is not None else {}
    built_in = _load(_BUILT_IN)
    return Formats(own | {name: mapping for name, mapping in built_in.items() if name not in own})


def recognise(value: dict[str, Any], formats: Formats) -> str | None:
    """The format of a decoded record by its content alone, or None. About 2 µs."""
    members = value.keys()
    for mapping in formats.mappings.values():
        if not members.isdisjoint(mapping.gates) and is_recognised(value, mapping):
            return mapping.name
    return NATIVE if is_native(value) else None


def is_recognised(value: dict[str, Any], mapping: Mapping) -> bool:
    """Whether one of the mapping's conditions holds for the record, or for the body in it."""
    fields = body_of(value, mapping) if mapping.body else value
    return any(condition(fields) for condition in mapping.conditions)


def is_native(value: dict[str, Any]) -> bool:
    """Whether the record means to be a native event: its schema says so, or it has an actor and no foreign member."""
    schema = value.get("schema")
    if isinstance(schema, str) and schema.startswith("atp.event/"):
        return True
    actor = value.get("actor")
    return isinstance(actor, dict) and isinstance(actor.get("id"), str) and value.keys() <= _NATIVE_MEMBERS


def body_of(value: dict[str, Any], mapping: Mapping) -> dict[str, Any]:
    """The object that holds the fields: what stands at the first of the mapping's `body` paths, else the record."""
    for path in mapping.body:
        inner = find(value, path)
        if isinstance(inner, dict):
            return inner
        if isinstance(inner, str) and (parsed := _parse_body(inner, mapping)) is not None:
            return parsed
    return value


def _parse_body(text: str, mapping: Mapping) -> dict[str, Any] | None:
    if mapping.syntax == "auditd":
        return parse_audit(text)
    try:
        value = msgspec.json.decode(text)
    except (msgspec.MsgspecError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def _load(directory: Path) -> dict[str, Mapping]:
    try:
        loaded = [parse_mapping(file.read_text("utf-8"), file=file.name) for file in sorted(directory.glob("*.toml"))]
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidError(f"could not load formats from {directory}: {error}") from None
    return {mapping.name: mapping for mapping in loaded}
