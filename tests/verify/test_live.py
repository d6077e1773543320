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


def record(platform: Platform, batches: int) -> None:
    """Batch after batch, each published before the next, as fast as the platform takes them."""
    event = prepare(b'{"actor":{"id":"alice"},"action":"test.write"}')
    for _ in range(batches):
        outcome = platform.record([event] * BATCH_EVENTS, by=ROOT, tenant="default").result(SECONDS)
        platform.pipeline.when_published("default", outcome.receipts[-1].index).result(SECONDS)


def verified_size(data: Path) -> int:
    report = check_place(str(data), Options(level="payload"))
    assert not report.is_tampered, report.as_text()
    return next(log.size for log in report.logs if log.name == "default")


@pytest.mark.slow
def test_a_log_that_grows_while_it_is_verified_is_intact(tmp_path: Path, count: Callable[..., int]) -> None:
    platform = open_platform(Config(tmp_path / "atp")).platform
    platform.start()
    batches = count(bounded=30, soak=5_000)
    writer = threading.Thread(target=record, args=(platform, batches))
    writer.start()
    sizes = list[int]()
    try:
        while writer.is_alive():
            sizes.append(verified_size(tmp_path / "atp"))
    finally:
        writer.join()
        platform.stop()
    assert sizes == sorted(sizes)
    assert verified_size(tmp_path / "atp") == batches * BATCH_EVENTS
