"""A bank with a repository, a key, and the address of its server in the environment."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.running import Atp
from tests.contracts.vaults import release
from tests.ops.postgresql.bank import ESTATE, TABLES, Cluster, cluster
from tests.services.absent import AbsentError


@pytest.fixture
def bank() -> Iterator[Cluster]:
    """Its server, with tables."""
    try:
        with cluster() as made:
            with made.connect() as connection:
                connection.execute(TABLES)
            yield made
    except AbsentError as error:
        pytest.skip(str(error))


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The folder that commands run in."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "vault").mkdir()
    yield tmp_path
    release(tmp_path / "vault")


@pytest.fixture
def atp(bank: Cluster, here: Path) -> Atp:
    """The program, without a server, with an estate file."""
    alone = Atp({"ATP_STATE_DIR": str(here / "state"), "ATP_URL": "http://127.0.0.1:9", "LEDGER_ADDRESS": bank.address})
    recipient = alone.document("backup", "key", "-o", "KEY.txt")["recipient"]
    (here / "estate.yaml").write_text(ESTATE.format(here=here, recipient=recipient))
    return alone
