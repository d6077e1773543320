"""The second process: it follows, says what it cannot, is started again when it ends, and writes beside nobody."""

import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from atp.app.follower import Follower
from atp.app.open import open_stores
from atp.errors import TamperedError, UnavailableError
from atp.log.project.follow import frames_due
from tests.app.opened import record, running, until
from tests.whole.process import Server, verify
from tests.world import raw_events

SIZE = 700


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A directory with a log of 700 entries and no view of it."""
    with running(tmp_path / "atp") as platform:
        record(platform, range(SIZE), is_followed=True)
    stores = open_stores(tmp_path / "atp")
    stores.models.clear("default")
    stores.events.close()
    return tmp_path / "atp"


@pytest.fixture
def follower(data: Path) -> Iterator[Follower]:
    made = Follower(data)
    yield made
    made.close()


def children(pid: int) -> list[int]:
    return [int(child) for task in Path(f"/proc/{pid}/task").glob("*/children") for child in task.read_text().split()]


def view_of(data: Path) -> int:
    stores = open_stores(data)
    try:
        return stores.models.followed("default")
    finally:
        stores.events.close()


def test_it_follows_full_bundles_and_says_how_many_frames_there_are(data: Path, follower: Follower) -> None:
    assert follower.follow("default", 255) == 0
    assert follower.follow("default", 300) == frames_due(300) == 4
    assert follower.follow("default", SIZE) == frames_due(SIZE) == view_of(data)
    follower.close()
    assert verify(data).returncode == 0


def test_what_is_damaged_is_told_to_the_server(data: Path, follower: Follower) -> None:
    (data / "logs/default/tile/entries/001.zst").unlink()
    with pytest.raises(TamperedError, match=r"001\.zst"):
        follower.follow("default", SIZE)
    assert follower.follow("default", 256) == 4


def test_one_that_was_killed_is_started_again(data: Path, follower: Follower) -> None:
    follower.follow("default", 256)
    (child,) = [pid for pid in children(os.getpid()) if b"follower" in Path(f"/proc/{pid}/cmdline").read_bytes()]
    os.kill(child, signal.SIGKILL)
    with pytest.raises(UnavailableError, match="the follower ended"):
        follower.follow("default", SIZE)
    assert follower.follow("default", SIZE) == frames_due(SIZE)


def test_a_second_one_waits_until_the_first_is_gone(data: Path, follower: Follower) -> None:
    follower.follow("default", 256)
    second, found = Follower(data), list[int]()
    waiting = threading.Thread(target=lambda: found.append(second.follow("default", SIZE)))
    waiting.start()
    time.sleep(0.5)
    assert not found and view_of(data) == 4
    follower.close()
    waiting.join()
    second.close()
    assert found == [frames_due(SIZE)]


@pytest.mark.whole
def test_a_server_whose_follower_is_killed_again_and_again_answers_and_catches_up(tmp_path: Path) -> None:
    server = Server(tmp_path)
    server.start()
    with server.client() as client:
        for start in range(0, 3_000, 500):
            client.send(raw_events(range(start, start + 500)), tenant="default")
            for child in children(server.pid):
                os.kill(child, signal.SIGKILL)

        def viewed() -> int:
            (log,) = [log for log in client.get("/v1/status").json()["logs"] if log["tenant"] == "default"]
            return int(log["viewed_size"])

        until(lambda: viewed() == 3_000)
        assert len(client.get("/v1/tenants/default/events?text=e-7").json()["events"]) == 1
    assert server.stop() == 0
    assert "Traceback" not in server.words()
    assert verify(server.data).returncode == 0
