"""A platform on a directory of its own, without doors: what tests of acts stand on."""

import io
import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from atp.adapters.memory import FrozenClock
from atp.app.config import Config
from atp.app.open import open_platform
from atp.app.platform import Platform
from atp.log.event import read_event
from atp.log.project.follow import frames_due
from atp.observe import Lines
from atp.tenants.access import SCOPES, Caller
from tests.world import prepared, raw_events

ROOT = Caller("root", "0" * 12, SCOPES)
SECONDS_MAX = 20.0


@contextmanager
def running(data: Path, *, clock: FrozenClock | None = None, said: io.StringIO | None = None) -> Iterator[Platform]:
    """A platform that runs until the block ends; what it says goes into `said`."""
    platform = open_platform(Config(data, installation="example.org"), lines=Lines(said or io.StringIO()), clock=clock)
    platform.platform.start()
    try:
        yield platform.platform
    finally:
        platform.platform.stop()


def record(platform: Platform, numbers: range, *, tenant: str = "default", is_followed: bool = False) -> None:
    """Record events and wait until they are published, and until views hold them if that is asked for."""
    outcome = platform.record(prepared(*raw_events(numbers)), by=ROOT, tenant=tenant).result(SECONDS_MAX)
    platform.pipeline.when_published(tenant, outcome.receipts[-1].index).result(SECONDS_MAX)
    if is_followed:
        frames = frames_due(outcome.receipts[-1].index + 1)
        until(lambda: platform.stores.models.followed(tenant) >= frames)


def told(platform: Platform, action: str, *, tenant: str = "operations") -> list[dict[str, Any]]:
    """Actor, resource, data and `by` of every durable event with this action."""
    size = platform.stores.events.size(tenant)
    found = []
    for entry in platform.reader(tenant, by=ROOT).durable(0, size):
        read, event = read_event(entry)
        if event.action == action:
            resource = event.resource.id if event.resource else None
            data = json.loads(bytes(event.data))  # type: ignore[arg-type]
            found.append({"actor": event.actor.id, "resource": resource, "data": data, "by": read.by})
    return found


def until(is_so: Callable[[], object]) -> None:
    """Wait for something that has to come true."""
    deadline = time.monotonic() + SECONDS_MAX
    while not is_so():
        assert time.monotonic() < deadline, "it did not come true in time"
        time.sleep(0.01)
