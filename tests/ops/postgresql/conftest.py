"""A bank with a repository, a key, and the address of its server in the environment."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.running import Atp
from tests.contracts.vaults import release
from tests.ops.postgresql.bank import Cluster, banking, program


@pytest.fixture
def bank() -> Iterator[Cluster]:
    """Its server, with tables."""
    with banking() as made:
        yield made


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The folder that commands run in."""
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    release(tmp_path / "vault")


@pytest.fixture
def atp(bank: Cluster, here: Path) -> Atp:
    """The program, without a server, with an estate file."""
    return program(here, bank)
