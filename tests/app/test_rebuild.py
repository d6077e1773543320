"""Views are dropped and followed again while everything goes on: answers stay right, writers do not wait."""

import threading
from pathlib import Path

import pytest

from atp.app.acts import choose_logs, rebuild
from atp.app.inspect import inspect
from atp.app.platform import Platform
from atp.errors import ForbiddenError, MissingError, UnavailableError
from atp.log.project.follow import frames_due
from atp.log.query import Question
from atp.tenants.access import SCOPES, Caller
from tests.app.opened import ROOT, record, running, until

SIZE = 20_000


def rebuild_default(platform: Platform) -> None:
    rebuild(platform, choose_logs(platform, "default", by=ROOT))


def test_a_rebuilt_view_is_the_view_that_was_dropped(tmp_path: Path) -> None:
    with running(tmp_path) as platform:
        record(platform, range(700), is_followed=True)
        before = {path.name: path.read_bytes() for path in (tmp_path / "views/default").iterdir()}
        for _ in range(2):
            rebuild_default(platform)
            until(lambda: platform.stores.models.followed("default") == frames_due(700))
            assert {path.name: path.read_bytes() for path in (tmp_path / "views/default").iterdir()} == before
        reader = platform.reader("default", by=ROOT)
        assert list(inspect("default", reader=reader, stores=platform.stores)) == []


def test_a_view_that_lost_a_frame_is_whole_after_a_rebuild(tmp_path: Path) -> None:
    with running(tmp_path) as platform:
        record(platform, range(700), is_followed=True)
        path = tmp_path / "views/default/open"
        rows = bytearray(path.read_bytes())
        rows[len(rows) // 2 : len(rows) // 2 + 900] = bytes(900)
        path.write_bytes(rows)
        reader = platform.reader("default", by=ROOT)
        rebuild_default(platform)
        until(lambda: platform.stores.models.followed("default") == frames_due(700))
        assert list(inspect("default", reader=reader, stores=platform.stores)) == []


@pytest.mark.slow
def test_answers_stay_right_and_writers_go_on_while_a_view_is_rebuilt(tmp_path: Path) -> None:
    wrong: list[int] = []
    ending = threading.Event()

    def keep_asking(platform: Platform) -> None:
        while not ending.is_set():
            page = platform.ask(Question(text="e-7", limit=100), by=ROOT, tenant="default")
            ids = {index for index, _ in page.events}
            while page.next:
                page = platform.ask(Question(text="e-7", limit=100, cursor=page.next), by=ROOT, tenant="default")
                ids |= {index for index, _ in page.events}
            if 7 not in ids:
                wrong.append(1)

    with running(tmp_path) as platform:
        for start in range(0, SIZE, 5_000):
            record(platform, range(start, start + 5_000))
        until(lambda: platform.stores.models.followed("default") == frames_due(SIZE))
        asking = threading.Thread(target=keep_asking, args=(platform,))
        asking.start()
        for number in range(3):
            rebuild_default(platform)
            record(platform, range(SIZE + number * 200, SIZE + (number + 1) * 200))
        until(lambda: not platform.pipeline.is_rebuilding("default"))
        ending.set()
        asking.join()
        assert wrong == []


def test_freshness_says_that_a_view_is_behind(tmp_path: Path) -> None:
    with running(tmp_path) as platform:
        record(platform, range(700), is_followed=True)
        platform.pipeline.following.stop()
        platform.stores.models.clear("default")
        assert platform.freshness("default", size=700, viewed_size=0)["lag_seconds"] >= 0
        page = platform.ask(Question(actor="alice", limit=1000), by=ROOT, tenant="default")
        assert len(page.events) == 700


def test_a_rebuild_that_nobody_answers_is_unavailable_and_may_be_repeated(tmp_path: Path) -> None:
    with running(tmp_path) as platform:
        record(platform, range(256), is_followed=True)
        one, two = platform.pipeline.rebuild("default"), platform.pipeline.rebuild("default")
        one.result(10)
        two.result(10)
        until(lambda: platform.stores.models.followed("default") == frames_due(256))


def test_a_stopped_log_is_not_rebuilt(tmp_path: Path) -> None:
    with running(tmp_path) as platform:
        platform.pipeline.stopped["default"] = "its bytes contradict each other"
        with pytest.raises(UnavailableError, match="stopped"):
            rebuild_default(platform)


def test_only_an_administrator_rebuilds(tmp_path: Path) -> None:
    with running(tmp_path) as platform:
        with pytest.raises(ForbiddenError):
            choose_logs(platform, "default", by=Caller("bob", "b" * 12, ("read", "export")))
        with pytest.raises(MissingError):
            choose_logs(platform, "default", by=Caller("eve", "e" * 12, SCOPES, ("acme",)))
        mine = choose_logs(platform, None, by=Caller("ann", "a" * 12, SCOPES, ("default",)))
        assert [log.tenant for log in mine] == ["default"]
