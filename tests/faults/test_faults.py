"""A write of the path fails, or succeeds though it says it failed: nothing is lost, doubled or forked; all heals."""

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from atp.adapters.filesystem import FilesystemObjectStore
from atp.adapters.keyfile import FileKeyStore
from atp.adapters.memory import MemoryEventStore, MemoryKeyStore, MemoryObjectStore
from atp.adapters.memory_models import MemoryReadModels
from atp.adapters.signatures import Signatures
from atp.adapters.sqlite import open_order
from atp.app.pipeline import Stores
from atp.app.platform import Platform
from atp.verify.options import Options
from atp.verify.place import check_place
from tests.faults.history import History, open_platform
from tests.faults.layer import Fault, faulty

BATCHES = [
    range(0, 1),
    range(1, 64),
    range(64, 300),
    range(300, 301),
    range(290, 520),
    range(520, 600),
    range(600, 800),
]
pytestmark = pytest.mark.slow

NTH_MAX = {"create_log": 2, "append": 6, "swap": 4, "put": 4, "replace": 8, "extend": 3, "log_keys": 2}
"""Writes of the path, and how many of each the day's work makes at least."""


@contextmanager
def memory(path: Path) -> Iterator[Callable[[], Stores]]:
    stores = Stores(MemoryEventStore(), MemoryObjectStore(), MemoryReadModels(), MemoryKeyStore())
    yield lambda: stores


@contextmanager
def embedded(path: Path) -> Iterator[Callable[[], Stores]]:
    def reopen() -> Stores:
        return Stores(open_order(path), FilesystemObjectStore(path), Signatures(path / "views"), FileKeyStore(path))

    (path / "FORMAT").write_text("2\n")
    yield reopen
    report = check_place(str(path), Options())
    assert not report.is_tampered, report.as_text()


def work(platform: Platform, history: History, *, tries: int) -> None:
    """A day of two tenants: each step is repeated until it succeeds, `tries` times at most."""
    for tenant in ("acme", "globex"):
        _ = any(history.create(platform, tenant) for _ in range(tries))
    for batch in BATCHES:
        _ = any(history.send(platform, "acme", batch) for _ in range(tries))
    _ = any(history.send(platform, "globex", range(3)) for _ in range(tries))


@pytest.mark.parametrize("is_for_ever", [False, True], ids=["once", "for-ever"])
@pytest.mark.parametrize("is_kept", [False, True], ids=["lost", "kept"])
@pytest.mark.parametrize("write", NTH_MAX)
@pytest.mark.parametrize("keepers", [memory, embedded])
def test_a_write_that_fails_costs_nothing_that_was_acknowledged(
    keepers: Callable[[Path], Iterator[Callable[[], Stores]]],
    write: str,
    is_kept: bool,
    is_for_ever: bool,
    tmp_path: Path,
    rng: random.Random,
    count: Callable[..., int],
) -> None:
    nths = list(range(1, NTH_MAX[write] + 1))
    for nth in rng.sample(nths, count(bounded=1, soak=len(nths))):
        path = tmp_path / str(nth)
        path.mkdir()
        with keepers(path) as reopen:
            history = History()
            fault = Fault(write, nth, is_kept, is_for_ever)
            live_through(reopen, history, fault)
            assert fault.fired, f"write {nth} of {write} never came"


def live_through(reopen: Callable[[], Stores], history: History, fault: Fault) -> None:
    platform = open_platform(faulty(reopen(), fault))
    work(platform, history, tries=1 if fault.is_for_ever else 3)
    if not fault.is_for_ever:  # it has to heal by itself
        history.settle(platform)
    platform.stop()
    assert platform.bug is None, repr(platform.bug)
    stores = reopen()
    platform = open_platform(stores)
    work(platform, history, tries=1)
    history.settle(platform)
    history.judge(stores)
    platform.stop()
    assert platform.bug is None and not platform.pipeline.stopped
