"""A database that is written to without a pause is lost: what comes back is sound, and as much as the drill says."""

import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from threading import Event, Thread

import pytest

from atp.ops.drills.evidence.figures import Done
from tests.ops.drills.world import World, left_in, verdicts

pytestmark = pytest.mark.slow

Acknowledged = list[tuple[int, datetime]]


@contextmanager
def writing(path: Path) -> Iterator[Acknowledged]:
    """One commit after another, from a thread; each is noted when it was acknowledged."""
    acknowledged, over = Acknowledged(), Event()

    def write() -> None:
        with closing(sqlite3.connect(path, timeout=10, isolation_level=None)) as database:
            database.execute("CREATE TABLE booking (number INTEGER PRIMARY KEY, at TEXT)")
            for number in range(1, 1_000_000):
                database.execute("INSERT INTO booking VALUES (?, ?)", (number, datetime.now(UTC).isoformat()))
                acknowledged.append((number, datetime.now(UTC)))
                if over.wait(0.001):
                    return

    thread = Thread(target=write, name="writer")
    thread.start()
    try:
        yield acknowledged
    finally:
        over.set()
        thread.join()


def beat_for(world: World, seconds: float) -> None:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        world.beat()
        time.sleep(0.1)


def destroy(path: Path) -> None:
    for file in path.parent.glob(f"{path.name}*"):
        file.unlink()


def bookings(path: Path) -> list[int]:
    with closing(sqlite3.connect(path)) as database:
        assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        return [number for (number,) in database.execute("SELECT number FROM booking ORDER BY number")]


def test_what_comes_back_is_what_an_independent_count_says(world: World, tmp_path: Path) -> None:
    world.changes = [("table: letter, at_least: 100", "table: booking, at_least: 1")]
    with writing(world.source) as acknowledged:
        beat_for(world, 0.5)
        began, began_at = len(acknowledged), datetime.now(UTC)
        world.back_up()
        ended, ended_at = len(acknowledged), datetime.now(UTC)
        beat_for(world, 0.5)
    assert 0 < began < ended < len(acknowledged), "it was written to before, meanwhile and after"
    destroy(world.source)
    done = world.drill()
    found = bookings(world.restore(tmp_path / "restored.db"))
    assert found == list(range(1, len(found) + 1)) and began <= len(found) <= ended + 1
    rows = next(one.told for one in done.answers if one.name == "rows of booking")
    assert rows == f"{len(found):,} rows, at least 1", "the drill has as many"
    assert (verdicts(done)["content"], verdicts(done)["rpo"]) == ("pass", "pass"), done
    assert verdicts(done)["source"] == "insufficient", "the living data is gone: nothing can be compared"
    check_rpo(done, world.root / "ledger", tmp_path / "restored.db", began_at, ended_at)
    assert left_in(world.scratch) == []


def check_rpo(done: Done, ledger: Path, restored: Path, began_at: datetime, ended_at: datetime) -> None:
    """The drill's figures, computed anew from the ledger, the restored table, and the clock."""
    with closing(sqlite3.connect(restored)) as database:
        held = {name for (name,) in database.execute("SELECT id FROM atp_heartbeat")}
    beats = [line.split() for line in ledger.read_text().splitlines()]
    kept = [datetime.fromisoformat(at) for name, at, _ in beats if name in held]
    lost = [datetime.fromisoformat(at) for name, at, _ in beats if name not in held]
    assert kept and lost and max(kept) < ended_at and min(lost) > began_at
    assert done.rpo_seconds == pytest.approx((done.lost_at - max(kept)).total_seconds(), abs=0.001)
    assert done.acknowledged is not None and done.acknowledged.newest_recovered_at == max(kept)
    sums = (done.acknowledged.recovered, done.acknowledged.lost, done.acknowledged.holes)
    assert sums == (len(kept), len(lost), 0)
