"""The log is kept as long as a backup needs it: no server is needed to show that."""

from datetime import datetime, timedelta

from atp.adapters.memory_repository import MemoryRepository
from atp.ops.backups.act.kinds.postgresql.segments import list_shipped, shipped_name, wal_prefix
from atp.ops.backups.act.listing import Listed
from atp.ops.backups.act.pruning import decide, decide_following, plan, prune
from atp.ops.backups.format.manifest import FORMAT, Cluster, Manifest, Part, encode_manifest
from atp.ports.repository import whole_second
from tests.ops.backups.world import World, words

RETENTION = timedelta(days=30)
PREFIX = wal_prefix("letters", "7")


def segment(number: int) -> str:
    return f"00000001{0:08X}{number:08X}"


def ship(repository: MemoryRepository, number: int, *, at: datetime) -> None:
    name = shipped_name(PREFIX, segment(number), is_partial=False, covers_until=at, sha256="a" * 64)
    with repository.store(name, keep_until=whole_second(at + RETENTION)) as sink:
        sink.write(b"log")


def back_up(repository: MemoryRepository, begins: int, *, at: datetime) -> Listed:
    backup = f"{at:%Y%m%dT%H%M%SZ}-0123456789ab"
    until = whole_second(at + RETENTION)
    parts = tuple(Part(f"{stem}.00000", 1, "b" * 64) for stem in ("data", "contents"))
    cluster = Cluster(system="7", major=15, begins_in=segment(begins), ends_in=segment(begins), segment_bytes=1 << 24)
    manifest = Manifest(
        format=FORMAT,
        backup=backup,
        dataset="letters",
        kind="postgresql",
        begun_at=at,
        ended_at=at,
        consistent_at=at,
        data=parts[:1],
        contents=parts[1:],
        recipients=(),
        tools={},
        how_to_restore="",
        keep_until=until,
        cluster=cluster,
    )
    for part in parts:
        with repository.store(manifest.prefix + part.name, keep_until=until) as sink:
            sink.write(b"x")
    data = encode_manifest(manifest)
    with repository.store(manifest.prefix + "manifest.json", keep_until=until) as sink:
        sink.write(data)
    return Listed(backup, manifest, "c" * 64, until)


def kept(repository: MemoryRepository) -> list[int]:
    return [int(one.segment[16:], 16) for one in list_shipped(repository, PREFIX)]


def test_the_log_before_the_oldest_backup_that_stays_goes_when_its_day_is_over(world: World) -> None:
    clock, repository = world.clock, MemoryRepository(world.clock)
    listed = []
    for number in range(1, 9):
        if number in (2, 6):
            listed.append(back_up(repository, number, at=clock.now()))
        ship(repository, number, at=clock.now())
        clock.advance(seconds=86_400)
    clock.advance(seconds=26 * 86_400)  # the days of the first five are over, and that of the first backup
    assert pruned(world, repository, listed) == [segment(6), segment(7), segment(8)]


def test_nothing_of_the_log_goes_while_a_backup_cannot_be_read(world: World) -> None:
    clock, repository = world.clock, MemoryRepository(world.clock)
    listed = [back_up(repository, 2, at=clock.now())]
    ship(repository, 1, at=clock.now())
    clock.advance(seconds=40 * 86_400)
    unread = Listed("20200101T000000Z-0123456789ab", None, "", None, ("it is damaged",))
    decisions = decide(listed, retention=RETENTION, now=clock.now())
    assert decide_following(repository, [*listed, unread], decisions, dataset="letters", now=clock.now()) == []


def test_what_follows_the_last_good_backup_is_locked_as_long_as_it(world: World) -> None:
    clock, repository = world.clock, MemoryRepository(world.clock)
    listed = [back_up(repository, 2, at=clock.now())]
    for number in (1, 2, 3):
        ship(repository, number, at=clock.now())
    clock.advance(seconds=20 * 86_400)
    pruned(world, repository, listed)
    until = whole_second(clock.now() + RETENTION)
    days = [repository.keep_until(one.name) for one in list_shipped(repository, PREFIX)]
    assert [day == until for day in days] == [False, True, True]


def pruned(world: World, repository: MemoryRepository, listed: list[Listed]) -> list[str]:
    now = world.clock.now()
    decisions = decide(listed, retention=RETENTION, now=now)
    decisions += decide_following(repository, listed, decisions, dataset="letters", now=now)
    prune(repository, listed, decisions, dataset="letters", record=world.record("prune"))
    assert words(plan(decisions))
    return [one.segment for one in list_shipped(repository, PREFIX)]
