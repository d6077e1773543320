"""Which segments of the log are chosen after a backup, when timelines branched off and names were forged."""

import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from atp.adapters.directory import DirectoryRepository
from atp.adapters.system_clock import SystemClock
from atp.errors import MissingError, TamperedError
from atp.ops.backups.act.kinds.postgresql.reading import fetch_segment
from atp.ops.backups.act.kinds.postgresql.segments import Shipped, list_shipped, needed, shipped_name
from atp.ops.backups.format.manifest import Cluster
from atp.ops.backups.format.seal import draw_identity, parse_identities, parse_recipients, seal

BEGAN = datetime(2026, 11, 1, tzinfo=UTC)
OLD = [(1, number, number) for number in range(1, 11)]  # timeline, segment, minute that it covers
NEW = [(2, number, 10 + number) for number in range(5, 13)]  # branched off in segment 5, and lived later


def minute(number: int) -> datetime:
    return BEGAN + timedelta(minutes=number)


def one(timeline: int, number: int, covers: int, *, is_partial: bool = False, size: int = 100) -> Shipped:
    segment = f"{timeline:08X}{0:08X}{number:08X}"
    return Shipped(f"ledger/wal/7/{segment}", segment, is_partial, minute(covers), "0" * 64, size)


def history(timeline: int) -> Shipped:
    return Shipped("x", f"{timeline:08X}.history", False, BEGAN, "0" * 64, 50)


def base(timeline: int, number: int) -> Cluster:
    segment = f"{timeline:08X}{0:08X}{number:08X}"
    return Cluster(system="7", major=15, begins_in=segment, ends_in=segment, segment_bytes=1 << 24)


def chosen(cluster: Cluster, lives: list[tuple[int, int, int]], at: int | None = None) -> list[tuple[int, int]]:
    listed = [history(2), history(3), *(one(*life) for life in lives)]
    found = needed(listed, cluster, at=None if at is None else minute(at))
    following = [(int(each.segment[:8]), int(each.segment[16:], 16)) for each in found if not each.is_history]
    newest = max((timeline for timeline, _ in following), default=0)
    assert all(int(each.segment[:8]) <= newest for each in found if each.is_history), "a server would go on to those"
    return following


def test_the_newest_timeline_is_followed_from_where_it_branched_off() -> None:
    assert chosen(base(1, 2), OLD + NEW) == [(1, 3), (1, 4), *((2, number) for number in range(5, 13))]


def test_a_backup_from_after_the_branch_is_followed_on_its_own_timeline() -> None:
    assert chosen(base(1, 7), OLD + NEW) == [(1, 8), (1, 9), (1, 10)], "the new timeline is not a child of it"


def test_a_backup_of_the_new_timeline_needs_nothing_of_the_old_one() -> None:
    assert chosen(base(2, 7), OLD + NEW[:3]) == []


def test_a_moment_of_the_old_life_is_found_although_a_new_one_began_earlier_in_the_log() -> None:
    assert chosen(base(1, 2), OLD + NEW, at=8) == [(1, number) for number in range(3, 9)]


def test_a_moment_of_the_new_life_is_found_on_the_new_timeline() -> None:
    assert chosen(base(1, 2), OLD + NEW, at=16) == [(1, 3), (1, 4), (2, 5), (2, 6)]
    with pytest.raises(MissingError):
        chosen(base(1, 2), OLD + NEW, at=40)


def test_a_log_of_years_is_looked_through_in_a_moment() -> None:
    """Nothing is looked at again for each of the others."""
    listed = [one(1 + number // 90_000, number, number) for number in range(3, 100_000)]
    began = time.monotonic()
    assert len(needed(listed, base(1, 2), at=minute(99_000))) == 99_000 - 2
    assert time.monotonic() - began < 20


def test_of_two_that_are_not_whole_the_one_that_holds_more_is_taken() -> None:
    less, more = (one(1, 3, 3, is_partial=True, size=size) for size in (100, 200))
    assert needed([less, more], base(1, 2), at=None) == needed([more, less], base(1, 2), at=None) == [more]


def test_a_forged_name_with_an_impossible_time_is_no_segment(tmp_path: Path) -> None:
    repository = vault(tmp_path)
    for name in (f"{'0' * 24}_99999999T999999999999Z_{'0' * 64}", f"{'0' * 24}_x"):
        store(repository, f"ledger/wal/7/{name}", b"x")
    assert list_shipped(repository, "ledger/wal/7/") == []


def test_a_segment_that_never_ends_is_refused_in_time(tmp_path: Path) -> None:
    """Whoever knows the recipients and may write to the repository can make one."""
    repository = vault(tmp_path)
    private, recipient = draw_identity()
    path = tmp_path / "sealed"
    with path.open("wb") as file:
        seal((bytes(1 << 20) for _ in range(64)), recipients=parse_recipients([recipient]), into=file)
    name = shipped_name("ledger/wal/7/", "0" * 24, is_partial=False, covers_until=BEGAN, sha256="0" * 64)
    store(repository, name, path.read_bytes())
    (listed,) = list_shipped(repository, "ledger/wal/7/")
    into = tmp_path / listed.segment
    with pytest.raises(TamperedError, match="more than 16,777,216 bytes"):
        fetch_segment(repository, listed, parse_identities(private), into, bytes_max=1 << 24)
    assert [path for path in tmp_path.iterdir() if path.name.startswith("0")] == [], "nothing of it is left"


def vault(here: Path) -> DirectoryRepository:
    (here / "vault").mkdir()
    return DirectoryRepository(here / "vault", clock=SystemClock())


def store(repository: DirectoryRepository, name: str, data: bytes) -> None:
    with repository.store(name) as sink:
        sink.write(data)
