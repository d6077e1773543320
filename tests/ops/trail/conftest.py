"""A data directory that lived, an estate that declares it, and the program where no server is meant."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.app.copied import lived
from tests.cli.running import Atp
from tests.contracts.vaults import release
from tests.ops.backups.world import World

ESTATE = """\
version: atp.estate/1
name: A house with a trail
environments: [production]
datasets:
  house-trail:
    kind: trail
    source: {{place: {here}/data}}
    rpo: 1h
    rto: 1h
    backup: {{repository: vault, schedule: 30min, recipients: [{recipient}]}}
    drill:
      place: {here}/scratch
      checks: [{{verify: true}}]
      scenarios: [deletion]
  house-letters:
    kind: files
    source: {{place: {here}/letters}}
    backup: {{repository: vault, schedule: 30min, recipients: [{recipient}]}}
repositories:
  vault: {{kind: directory, place: {here}/vault}}
"""


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A working directory with all of it."""
    monkeypatch.chdir(tmp_path)
    lived(tmp_path / "data")
    for name in ("vault", "letters"):
        (tmp_path / name).mkdir()
    yield tmp_path
    release(tmp_path / "vault")


@pytest.fixture
def atp(here: Path) -> Atp:
    """The program, whose key and estate file are made."""
    program = Atp({"ATP_STATE_DIR": str(here / "state"), "ATP_URL": "http://127.0.0.1:9"})
    recipient = program.document("backup", "key", "-o", "KEY.txt")["recipient"]
    (here / "estate.yaml").write_text(ESTATE.format(here=here, recipient=recipient))
    return program


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """A trail that lived, and its repository."""
    lived(tmp_path / "data")
    yield World(tmp_path, tmp_path / "data", kind="trail")
    release(tmp_path)
