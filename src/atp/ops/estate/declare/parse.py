"""The bytes of `estate.yaml` -> an Estate, and the JSON Schema of such files."""

from typing import Any

from atp.ops.declaration.reading import read_declaration
from atp.ops.declaration.schema import schema_of
from atp.ops.estate.declare.rules import RULES
from atp.ops.estate.declare.values import VERSION, Estate


def parse_estate(data: bytes, *, file: str) -> Estate:
    """The estate that a YAML text declares.

    DeclaredError names every fault: file, line, column, field, cause and next move; secrets are never shown. Pure; a
    file of the largest size takes about a second.
    """
    return read_declaration(data, Estate, file=file, thing="estate file", rules=RULES)


def estate_schema() -> dict[str, Any]:
    """The JSON Schema (2020-12) of estate files; references and contradictions are beyond what it can say."""
    return schema_of(Estate, title=VERSION)
