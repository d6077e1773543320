"""The JSON Schema is what the program reads: an independent validator agrees about examples and about mistakes."""

from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator

from atp.ops.estate.declare.parse import estate_schema
from tests.ops.estate.estates import EXAMPLE, faults, small


class Texts(yaml.SafeLoader):
    """Reads as editors do, by the core schema of YAML 1.2, which knows no dates."""


Texts.yaml_implicit_resolvers = {
    first: [(tag, shape) for tag, shape in known if not tag.endswith("timestamp")]
    for first, known in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def complaints(data: bytes) -> list[str]:
    document: Any = yaml.load(data, Loader=Texts)
    return [
        f"{error.json_path}: {error.message}" for error in Draft202012Validator(estate_schema()).iter_errors(document)
    ]


def test_it_is_a_schema() -> None:
    schema = estate_schema()
    Draft202012Validator.check_schema(schema)
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"


def test_the_example_is_valid() -> None:
    assert complaints(EXAMPLE) == []
    assert faults(EXAMPLE) == []
    assert complaints(small()) == []


def test_every_field_is_described() -> None:
    for name, shape in estate_schema()["$defs"].items():
        assert shape["description"]
        for field, value in shape["properties"].items():
            assert value.get("description"), f"{name}.{field}"


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("name: Small", "nmae: Small"),
        ("version: atp.estate/1\n", ""),
        ("[production]", "[Production]"),
        ("rpo: 1h", "rpo: 1 hour"),
        ("kind: sqlite", "kind: oracle"),
        ("{place: /var/lib/data.db}", "{place: /x, env: X}"),
        ("{place: /var/lib/data.db}", "{}"),
        ("at_least: 1", "at_least: many"),
        ("offsite: true", "offsite: maybe"),
        ("confirmed_at: 2026-11-01", "confirmed_at: yesterday"),
    ],
)
def test_both_refuse_what_is_no_such_file(old: str, new: str) -> None:
    data = small((old, new))
    assert faults(data) and complaints(data)
