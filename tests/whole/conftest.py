"""A server, and a directory that it may be lost from."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.contracts.vaults import release
from tests.whole.process import Server


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "vault").mkdir()
    yield tmp_path
    release(tmp_path)


@pytest.fixture
def server(here: Path) -> Iterator[Server]:
    served = Server(here / "first")
    served.start()
    yield served
    served.kill()
