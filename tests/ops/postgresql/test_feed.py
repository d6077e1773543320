"""A server gets its log from a place that is filled a few segments ahead of it: what it takes is whole and checked."""

import os
import subprocess
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from hashlib import sha256
from io import BytesIO
from pathlib import Path

import pytest

from atp.adapters.memory import FrozenClock
from atp.adapters.memory_repository import MemoryRepository
from atp.errors import MissingError, TamperedError, UnavailableError
from atp.limits import POSTGRESQL_SEGMENTS_AHEAD
from atp.ops.backups.act.kinds.postgresql.feed import Feed
from atp.ops.backups.act.kinds.postgresql.reading import fetch_segment
from atp.ops.backups.act.kinds.postgresql.segments import Shipped, list_shipped, shipped_name
from atp.ops.backups.format.seal import draw_identity, parse_identities, parse_recipients, seal
from tests.contracts.machine import small_disk

SEGMENT_BYTES = 1 << 20
COVERS = datetime(2026, 11, 1, tzinfo=UTC)
PREFIX = "ledger/wal/7/"


@dataclass(slots=True)
class Log:
    """Segments in a repository, and the feed of them to a place."""

    place: Path
    repository: MemoryRepository = field(default_factory=lambda: MemoryRepository(FrozenClock()))
    private: str = ""
    seconds: float = 0.0
    fetched: list[str] = field(default_factory=list)

    def write(self, contents: Sequence[bytes], *, damaged: Sequence[int] = ()) -> None:
        self.private, recipient = draw_identity()
        for number, content in enumerate(contents):
            sealed = BytesIO()
            seal([content], recipients=parse_recipients([recipient]), into=sealed)
            digest = sha256(sealed.getvalue() + (b"!" if number in damaged else b"")).hexdigest()
            with self.repository.store(
                shipped_name(PREFIX, name(number), is_partial=False, covers_until=COVERS, sha256=digest)
            ) as sink:
                sink.write(sealed.getvalue())

    @property
    def following(self) -> list[Shipped]:
        return list_shipped(self.repository, PREFIX)

    def fetch(self, one: Shipped, into: Path) -> None:
        self.fetched.append(one.segment)
        time.sleep(self.seconds)
        fetch_segment(self.repository, one, parse_identities(self.private), into, bytes_max=SEGMENT_BYTES)

    def feed(self) -> Feed:
        return Feed(self.place, self.following, self.fetch)


def name(number: int) -> str:
    return f"{1:08X}{0:08X}{number:08X}"


def content(number: int) -> bytes:
    return (number.to_bytes(2, "big") * 10_000).ljust(SEGMENT_BYTES, b"\0")


def take(feed: Feed, segment: str, into: Path) -> int:
    """What the server does for each segment."""
    command = feed.restore_command.replace("%f", segment).replace("%p", str(into)).replace("%%", "%")
    return subprocess.run(["sh", "-c", command]).returncode


@pytest.fixture
def log(tmp_path: Path) -> Log:
    return Log(tmp_path / "50% of 'it'")


def test_a_server_that_asks_for_one_after_another_gets_each_as_it_was_written(log: Log, tmp_path: Path) -> None:
    log.write([content(number) for number in range(12)])
    feed, got = log.feed(), tmp_path / "got"
    with feed.serving():
        assert take(feed, "00000002.history", got) == 1, "there is none, and it is told so at once"
        for number in range(12):
            assert take(feed, name(number), got) == 0
            assert got.read_bytes() == content(number), "zeros at its end included"
            got.unlink()
        assert take(feed, name(12), got) == 1, "the end of the log"
        assert take(feed, name(11), got) == 0 and got.read_bytes() == content(11), "the last one is asked for again"
        assert take(feed, name(3), got) == 0 and got.read_bytes() == content(3), "and so is any other"


def test_no_more_than_a_few_are_there_at_a_time(log: Log, tmp_path: Path) -> None:
    log.write([content(number) for number in range(30)])
    feed, most = log.feed(), 0
    with feed.serving():
        for number in range(30):
            assert take(feed, name(number), tmp_path / "got") == 0
            time.sleep(0.01)
            most = max(most, len([path for path in log.place.iterdir() if path.name.startswith("0")]))
    assert 1 < most <= 2 * POSTGRESQL_SEGMENTS_AHEAD, "those that come, and those that came when they were not wanted"
    assert len(log.fetched) < 40, "and none is fetched again for nothing"


def test_those_ahead_come_while_the_server_is_busy_with_one(log: Log, tmp_path: Path) -> None:
    log.write([content(number) for number in range(8)])
    log.seconds = 0.5
    feed = log.feed()
    began = time.monotonic()
    with feed.serving():
        for number in range(8):
            assert take(feed, name(number), tmp_path / "got") == 0
    assert time.monotonic() - began < 8 * log.seconds, "one after the other would take that"


@pytest.mark.parametrize("number", [0, 1, 5])
def test_a_segment_that_is_not_what_was_stored_ends_the_server_and_is_told_as_that(
    log: Log, tmp_path: Path, number: int
) -> None:
    log.write([content(number) for number in range(6)], damaged=[number])
    feed = log.feed()
    with pytest.raises(TamperedError, match=f"{name(number)} of the write-ahead log: its bytes are not those"):
        serve_until_refused(feed, tmp_path / "got")
    assert not (log.place / name(number)).exists(), "the server never saw it"


def test_a_segment_that_the_server_did_not_ask_for_is_checked_as_well(log: Log, tmp_path: Path) -> None:
    log.write([content(number) for number in range(20)], damaged=[15])
    feed = log.feed()
    with feed.serving():
        assert take(feed, name(0), tmp_path / "got") == 0
    with pytest.raises(TamperedError, match=name(15)):
        feed.check_rest()


def test_a_segment_that_is_gone_is_told_as_that(log: Log, tmp_path: Path) -> None:
    log.write([content(number) for number in range(4)])
    feed = Feed(
        log.place, [*log.following, Shipped("ledger/wal/7/gone", name(4), False, COVERS, "0" * 64, 1)], log.fetch
    )
    with pytest.raises(MissingError, match=f"{name(4)} of the write-ahead log: it is gone"):
        serve_until_refused(feed, tmp_path / "got")


def test_what_the_server_dies_of_goes_through_when_nothing_is_wrong_with_its_log(log: Log) -> None:
    log.write([content(0)])
    with pytest.raises(UnavailableError, match="it died"), log.feed().serving():
        raise UnavailableError("could not recover: it died")


def test_a_full_disk_is_told_with_the_file_and_leaves_none_of_it(log: Log, tmp_path: Path) -> None:
    log.write([os.urandom(SEGMENT_BYTES) for _ in range(6)])
    with small_disk(tmp_path / "small", megabytes=2):
        log.place = tmp_path / "small/wal"
        with pytest.raises(
            UnavailableError, match=f"could not write {log.place}/0.*No space left on device.*make room"
        ):
            serve_until_refused(log.feed(), tmp_path / "got", moves=False)
        assert not list(log.place.glob("*.coming"))


def serve_until_refused(feed: Feed, into: Path, *, moves: bool = True) -> None:
    with feed.serving():
        if not moves:
            into = feed.place / "got"
        for one in feed.following:
            if (code := take(feed, one.segment, into)) != 0:
                assert code == 255, "a lower one would be the end of the log"
                raise UnavailableError("could not recover the cluster")


def test_who_waits_for_a_segment_does_not_outlive_whom_it_waits_for(log: Log, tmp_path: Path) -> None:
    """A process that serves, is killed while a server waits for what it fetches; and one that ends."""
    log.write([content(0), content(1)])
    log.seconds = 3.0
    feed, code = log.feed(), list[int]()
    with feed.serving():
        waiting = threading.Thread(target=lambda: code.append(take(feed, name(1), tmp_path / "got")))
        waiting.start()
        time.sleep(0.5)
    waiting.join(timeout=10)
    assert code == [255]
    child = os.fork()
    if child == 0:
        with feed.serving():
            time.sleep(60)
        os._exit(0)
    until = time.monotonic() + 30
    while not (log.place / "take").exists() or str(child) not in (log.place / "take").read_text():
        assert time.monotonic() < until
        time.sleep(0.01)
    words = ["sh", "-c", feed.restore_command.replace("%f", name(1)).replace("%p", "got").replace("%%", "%")]
    left = subprocess.Popen(words, cwd=tmp_path)
    time.sleep(0.2)
    os.kill(child, 9)
    os.waitpid(child, 0)
    assert left.wait(timeout=10) == 255
