"""The page about backups is true: its file is an estate, its commands do what stands there, in its order."""

import os
import re
import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from atp.ops.backups.format.manifest import Kind, how_to_restore
from atp.ops.estate.declare.parse import parse_estate
from tests.contracts.vaults import release
from tests.docs.test_examples import ROOT, blocks
from tests.whole.served import PROGRAM

PAGE = "docs/backups.md"


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Path]:
    """The archive that the page speaks of, below a folder of the test."""
    (tmp_path / "archive/letters/1848").mkdir(parents=True)
    (tmp_path / "archive/letters/1848/a.txt").write_text("dear all\n")
    (tmp_path / "cellar").mkdir()
    with closing(sqlite3.connect(tmp_path / "archive/catalogue.db")) as made:
        made.execute("CREATE TABLE letter (id INTEGER PRIMARY KEY)")
    yield tmp_path
    release(tmp_path)


@pytest.mark.slow
def test_the_page_can_be_followed(place: Path) -> None:
    env = {**os.environ, "PATH": f"{PROGRAM.parent}:{os.environ['PATH']}", "ATP_STATE_DIR": str(place / "state")}
    env |= {"ATP_URL": "http://127.0.0.1:9", "TMPDIR": str(place)}
    for block in blocks(PAGE, "console"):
        for command, expected in re.findall(r"^\$ (.*)\n((?:(?!\$ ).*\n?)*)", block, re.MULTILINE):
            done = subprocess.run(
                ["bash", "-c", _here(command, place)], cwd=place, env=env, text=True, capture_output=True, check=False
            )
            assert done.returncode == 0, (command, done)
            assert _constant(done.stdout) == _constant(expected), (command, done)
            if command.startswith("atp backup key"):
                text, *_ = blocks(PAGE, "yaml")
                estate = _here(text, place).replace("RECIPIENT", done.stdout.strip())
                (place / "estate.yaml").write_text(estate)


def test_every_estate_of_the_page_is_one_and_the_keys_of_the_last_are_never_locked() -> None:
    *_, last = [parse_estate(text.encode(), file=PAGE) for text in blocks(PAGE, "yaml")]
    assert [name for name, one in last.datasets.items() if one.erasable] == ["reader-keys"]


def test_the_commands_without_us_are_those_of_the_manifest() -> None:
    text = (ROOT / PAGE).read_text()
    kinds: tuple[Kind, ...] = ("files", "sqlite")
    for kind in kinds:
        assert how_to_restore(kind) in text


def _here(text: str, place: Path) -> str:
    return text.replace("/srv/archive", str(place / "archive")).replace("/mnt/cellar/backups", str(place / "cellar"))


def _constant(text: str) -> str:
    text = re.sub(r"age1(…|[a-z0-9]+)", "age1…", text.strip())
    return re.sub(r"[0-9]{8}T[0-9]{6}Z-[0-9a-f]{12}", "ID", text)
