"""JSON Schema 2020-12, the keywords that the API's document uses; an unknown keyword is an error, not a pass."""

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from atp.api.openapi import find

_KINDS: dict[str, Callable[[Any], bool]] = {
    "null": lambda value: value is None,
    "boolean": lambda value: isinstance(value, bool),
    "integer": lambda value: isinstance(value, int) and not isinstance(value, bool),
    "number": lambda value: isinstance(value, int | float) and not isinstance(value, bool),
    "string": lambda value: isinstance(value, str),
    "array": lambda value: isinstance(value, list),
    "object": lambda value: isinstance(value, dict),
}
_NOTES = {"description", "format", "default", "contentEncoding"}
_OF_STRINGS: dict[str, Callable[[str, Any], bool]] = {
    "pattern": lambda value, wanted: re.search(wanted, value) is not None,
    "minLength": lambda value, wanted: len(value) >= wanted,
    "maxLength": lambda value, wanted: len(value) <= wanted,
}
_OF_NUMBERS: dict[str, Callable[[Any, Any], bool]] = {
    "minimum": lambda value, wanted: value >= wanted,
    "maximum": lambda value, wanted: value <= wanted,
}
_OF_LISTS: dict[str, Callable[[list[Any], Any], bool]] = {
    "minItems": lambda value, wanted: len(value) >= wanted,
    "maxItems": lambda value, wanted: len(value) <= wanted,
}
_OF_ALL: dict[str, Callable[[Any, Any], bool]] = {
    "const": lambda value, wanted: value == wanted,
    "enum": lambda value, wanted: value in wanted,
}


class Schemas:
    """The schemas of one OpenAPI document."""

    def __init__(self, document: Mapping[str, Any]) -> None:
        self._document = document

    def faults(self, value: Any, schema: Mapping[str, Any], where: str = "$") -> list[str]:
        """What of a value is not as the schema says; empty when all is."""
        return list(self._faults(value, find(self._document, schema), where))

    def _faults(self, value: Any, schema: Mapping[str, Any], where: str) -> Iterator[str]:
        for keyword, wanted in schema.items():
            if keyword == "type":
                kinds = [wanted] if isinstance(wanted, str) else wanted
                if not any(_KINDS[kind](value) for kind in kinds):
                    yield f"{where} is no {wanted}: {value!r}"
            elif keyword in ("allOf", "oneOf", "not"):
                yield from self._combined(value, keyword, wanted, where)
            elif keyword in ("properties", "required", "additionalProperties"):
                if isinstance(value, dict):
                    yield from self._members(value, keyword, schema, where)
            elif keyword == "items":
                for number, item in enumerate(value if isinstance(value, list) else ()):
                    yield from self.faults(item, wanted, f"{where}[{number}]")
            elif keyword not in _NOTES and not _holds(value, keyword, wanted):
                yield f"{where} is against {keyword} {wanted!r}: {value!r}"

    def _combined(self, value: Any, keyword: str, wanted: Any, where: str) -> Iterator[str]:
        tried = [self.faults(value, schema, where) for schema in ([wanted] if keyword == "not" else wanted)]
        if keyword == "allOf":
            yield from (fault for faults in tried for fault in faults)
        elif sum(not faults for faults in tried) != (keyword == "oneOf"):
            yield f"{where} is against {keyword}: {tried}"

    def _members(self, value: dict[str, Any], keyword: str, schema: Mapping[str, Any], where: str) -> Iterator[str]:
        if keyword == "required":
            yield from (f"{where}.{name} is missing" for name in schema["required"] if name not in value)
            return
        named = schema.get("properties", {})
        for name, member in value.items():
            if keyword == "properties" and name in named:
                yield from self.faults(member, named[name], f"{where}.{name}")
            elif keyword == "additionalProperties" and name not in named:
                if schema[keyword] is False:
                    yield f"{where}.{name} is unknown"
                else:
                    yield from self.faults(member, schema[keyword], f"{where}.{name}")


def _holds(value: Any, keyword: str, wanted: Any) -> bool:
    if keyword in _OF_STRINGS:
        return not isinstance(value, str) or _OF_STRINGS[keyword](value, wanted)
    if keyword in _OF_NUMBERS:
        return not isinstance(value, int | float) or _OF_NUMBERS[keyword](value, wanted)
    if keyword in _OF_LISTS:
        return not isinstance(value, list) or _OF_LISTS[keyword](value, wanted)
    return _OF_ALL[keyword](value, wanted)
