"""A data directory is verified while the platform writes to it: what comes meanwhile is no finding."""

import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from atp.app.config import Config
from atp.app.open import open_platform
from atp.app.platform import Platform
from atp.log.event import prepare
from atp.tenants.access import SCOPES, Caller
from atp.verify.options import Options
from atp.verify.place import check_place

ROOT = Caller("root", "", SCOPES)
SECONDS = 20.0
BATCH_EVENTS = 500


def record_until(stopped: threading.Event, platform: Platform) -> None:
    """Batch after batch, each published before the next, as fast as the platform takes them."""
    event = prepare(b'{"actor":{"id":"alice"},"action":"test.write"}')
    while not stopped.is_set():
        outcome = platform.record([event] * BATCH_EVENTS, by=ROOT, tenant="default").result(SECONDS)
        platform.pipeline.when_published("default", outcome.receipts[-1].index).result(SECONDS)


@pytest.mark.slow
def test_a_log_that_grows_while_it_is_verified_is_intact(tmp_path: Path, count: Callable[..., int]) -> None:
    platform = open_platform(Config(tmp_path / "atp")).platform
    platform.start()
    stopped = threading.Event()
    writer = threading.Thread(target=record_until, args=(stopped, platform))
    writer.start()
    sizes = list[int]()
    try:
        for _ in range(count(bounded=20, soak=2_000)):
            report = check_place(str(tmp_path / "atp"), Options(level="payload"))
            assert not report.is_tampered, report.as_text()
            sizes += (log.size for log in report.logs if log.name == "default")
    finally:
        stopped.set()
        writer.join()
        platform.stop()
    assert sizes[0] < sizes[-1]
