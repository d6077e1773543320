"""The page about the estate file is true: its blocks are a file, its commands print what stands there."""

import re
from pathlib import Path

import pytest

from atp.ops.estate.declare.parse import estate_schema, parse_estate
from tests.cli.running import Atp

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "estate.md").read_text()
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def blocks(kind: str) -> list[str]:
    return [text for found, text in BLOCK.findall(PAGE) if found == kind]


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory with the page's file, and the wrong one that the page speaks of."""
    text = "".join(blocks("yaml"))
    wrong = text.replace("rpo: 15min", "rpo: 15 min").replace("schedule: 30min", "schedule: 2h")
    wrong = wrong.replace("owner: operator\n    classification", "owner: operater\n    classification")
    (tmp_path / "estate.yaml").write_text(text)
    (tmp_path / "wrong.yaml").write_text(wrong)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_blocks_are_an_estate_file(place: Path) -> None:
    estate = parse_estate((place / "estate.yaml").read_bytes(), file="docs/estate.md")
    shown = {name for name in estate.__struct_fields__ if getattr(estate, name)}
    assert shown == set(estate.__struct_fields__), "every section has an example"


def test_the_commands_print_what_stands_there(place: Path) -> None:
    consoles = blocks("console")
    assert len(consoles) == 3
    for block in consoles:
        command, _, expected = block.removeprefix("$ atp ").partition("\n")
        ran = Atp({"ATP_STATE_DIR": str(place)})(*command.split())
        assert ran.out + ran.err == expected, command


def test_every_field_is_explained() -> None:
    for name, shape in estate_schema()["$defs"].items():
        _, found, rest = PAGE.partition(f"**{name}**: {shape['description']}\n")
        assert found, name
        table = rest.strip("\n").partition("\n\n")[0]
        rows = dict(re.findall(r"^\| `(\w+)` \| (.*) \|$", table, re.MULTILINE))
        assert rows.keys() == shape["properties"].keys(), name
        for field, value in shape["properties"].items():
            assert value["description"] in rows[field], f"{name}.{field}"
            assert ("(required)" in rows[field]) == (field in shape["required"]), f"{name}.{field}"
            assert not value.get("default") or "(default" in rows[field], f"{name}.{field}"
