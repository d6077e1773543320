"""Fixtures of every test: the seed, the counts, foreign data, real servers; what is absent is skipped aloud."""

import os
import random
import secrets
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from typing import TypeVar

import pytest
from hypothesis import HealthCheck, settings
from playwright.sync_api import Browser

from tests.contracts.vaults import release
from tests.services import browser as chromium
from tests.services import go
from tests.services import postgres as postgresql
from tests.services import s3 as object_store
from tests.services.absent import AbsentError
from tests.services.fsck import Fsck

ROOT = Path(__file__).resolve().parents[1]
IS_SOAK = os.environ.get("ATP_SOAK") == "1"
SEED = int(os.environ.get("ATP_SEED") or secrets.randbelow(2**32))
os.environ["ATP_SEED"] = str(SEED)  # for workers, which are processes of their own
SHARED = Path(os.environ.get("ATP_SHARED") or ROOT.parent / "shared")

T = TypeVar("T")

settings.register_profile("bounded", max_examples=50, deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("soak", settings.get_profile("bounded"), max_examples=5_000)


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    settings.load_profile("soak" if IS_SOAK else "bounded")
    if config.getoption("hypothesis_seed", default=None) is None:
        config.option.hypothesis_seed = SEED


def pytest_report_header() -> str:
    return f"seed: {SEED} (repeat this run: ATP_SEED={SEED}), counts: {'acceptance' if IS_SOAK else 'bounded'}"


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    absent = {_reason(report) for report in terminalreporter.getreports("skipped")}
    aloud = sorted(reason for reason in absent if "could not find" in reason)
    if aloud:
        terminalreporter.section("skipped aloud", yellow=True)
        terminalreporter.write_line("\n".join(aloud))


def _reason(report: pytest.TestReport) -> str:
    return report.longrepr[2].removeprefix("Skipped: ") if isinstance(report.longrepr, tuple) else str(report.longrepr)


@pytest.fixture(scope="session", autouse=True)
def removable(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """What tests leave behind can be removed: repositories of directories make files immutable."""
    yield
    release(tmp_path_factory.getbasetemp())


@pytest.fixture(scope="session")
def seed() -> int:
    """The seed of this run, printed in its header."""
    return SEED


@pytest.fixture
def rng(seed: int, request: pytest.FixtureRequest) -> random.Random:
    """Randomness of this test alone: the same under the same seed, in whatever order tests run."""
    return random.Random(f"{seed} {request.node.nodeid}")


@pytest.fixture(scope="session")
def count() -> Callable[..., int]:
    """`count(bounded=200, soak=100_000)`: how often to repeat in this run."""

    def choose(*, bounded: int, soak: int) -> int:
        return soak if IS_SOAK else bounded

    return choose


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of foreign data and vectors beside the repository; it is not ours to redistribute."""
    if not SHARED.is_dir():
        pytest.skip(f"could not find foreign data in {SHARED} (hint: ATP_SHARED=/path/to/it make test)")
    return SHARED


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """The DSN of a database in a private PostgreSQL."""
    yield from _started(postgresql.serving)


@pytest.fixture
def database(postgres: str) -> str:
    """The DSN of a fresh, empty PostgreSQL database."""
    return postgresql.create_database(postgres)


@pytest.fixture(scope="session")
def s3() -> Iterator[object_store.Endpoint]:
    """A private S3 server that enforces Object Lock."""
    yield from _started(object_store.serving)


@pytest.fixture(scope="session")
def fsck() -> Fsck:
    """The foreign verifier of whole logs."""
    return _found(lambda: Fsck(go.find("fsck")))


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Chromium; per module, because while it is open no test can run an event loop of its own."""
    yield from _started(chromium.open_browser)


def _started(start: Callable[[], AbstractContextManager[T]]) -> Iterator[T]:
    with ExitStack() as stack:
        yield _found(lambda: stack.enter_context(start()))


def _found(find: Callable[[], T]) -> T:
    try:
        return find()
    except AbsentError as error:
        pytest.skip(str(error))
