"""The page about PostgreSQL is true: its file is an estate, its commands do what stands there, with a real server."""

import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from atp.ops.backups.format.manifest import how_to_restore
from tests.contracts.vaults import release
from tests.docs.test_examples import ROOT, blocks
from tests.ops.postgresql.bank import Cluster, banking
from tests.whole.served import PROGRAM

PAGE = "docs/postgresql.md"


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Path]:
    (tmp_path / "vault").mkdir()
    yield tmp_path
    release(tmp_path)


@pytest.mark.whole
@pytest.mark.slow
def test_the_page_can_be_followed(place: Path) -> None:
    with banking() as bank:
        follow(place, bank)


def follow(place: Path, bank: Cluster) -> None:
    env = {**os.environ, "PATH": f"{PROGRAM.parent}:{os.environ['PATH']}", "ATP_STATE_DIR": str(place / "state")}
    env |= {"ATP_URL": "http://127.0.0.1:9", "TMPDIR": str(place), "LEDGER_ADDRESS": bank.address}
    made = subprocess.run(
        ["atp", "backup", "key", "-o", "KEY.txt"], cwd=place, env=env, capture_output=True, check=True
    )
    (text,) = blocks(PAGE, "yaml")
    text = text.replace("RECIPIENT", made.stdout.decode().strip()).replace("/mnt/vault", str(place / "vault"))
    (place / "estate.yaml").write_text(text.replace("/srv/drill", str(place / "drill")))
    for block in blocks(PAGE, "console"):
        for command, expected in re.findall(r"^\$ (.*)\n((?:(?!\$ ).*\n?)*)", block, re.MULTILINE):
            with (place / "out").open("w+") as out:  # what runs on behind a command holds its streams
                done = subprocess.run(["bash", "-c", command], cwd=place, env=env, stdout=out, stderr=out, check=False)
                out.seek(0)
                assert (done.returncode, out.read()) == (0, expected), command


def test_the_commands_without_us_are_those_of_the_manifest() -> None:
    assert how_to_restore("postgresql") in (ROOT / PAGE).read_text()
