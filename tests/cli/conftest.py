"""A real server process for the tests of verbs, and the program with a memory of its own."""

import itertools
import sys
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.cli.running import Atp
from tests.services.loopback import free_port, running

ATP = Path(sys.executable).parent / "atp"


@dataclass(frozen=True, slots=True)
class Platform:
    """A running server."""

    url: str
    data: Path


@pytest.fixture(scope="package")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    """A server on a data directory of its own, for all tests of this folder."""
    folder = tmp_path_factory.mktemp("platform")
    url = f"http://127.0.0.1:{free_port()}"
    command = [ATP, "serve", "--data", folder / "data", "--listen", url.removeprefix("http://")]

    def is_ready() -> bool:
        try:
            with urllib.request.urlopen(f"{url}/health/ready", timeout=1) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False

    with running(command, is_ready=is_ready, log=folder / "log"):
        yield Platform(url, folder / "data")


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working directory."""
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    return tmp_path / "here"


@pytest.fixture
def alone(here: Path, tmp_path: Path) -> Atp:
    """The program where no server is meant."""
    return Atp({"ATP_STATE_DIR": str(tmp_path / "state")})


@pytest.fixture
def atp(platform: Platform, here: Path, tmp_path: Path) -> Atp:
    """The program with the root key of the server, in a working directory of its own."""
    key_file = str(platform.data / "root.key")
    return Atp({"ATP_URL": platform.url, "ATP_KEY_FILE": key_file, "ATP_STATE_DIR": str(tmp_path / "state")})


@pytest.fixture(scope="package")
def new_name() -> Callable[[], str]:
    """Names that no other test has."""
    numbers = itertools.count()
    return lambda: f"tenant-{next(numbers)}"


@pytest.fixture
def tenant(atp: Atp, new_name: Callable[[], str]) -> str:
    """A tenant with an empty log."""
    name = new_name()
    atp.document("tenant", "create", name)
    return name
