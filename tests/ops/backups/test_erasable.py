"""Keys whose destruction erases data: no copy is ever locked or held, and each goes in time, the last good one too."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest

from atp.adapters.directory import DirectoryRepository
from atp.adapters.memory_repository import MemoryRepository
from atp.errors import ForbiddenError, UnavailableError
from atp.ops.backups.act import holding, making, pruning
from atp.ops.backups.act.erasing import check_may_hold, observe_listing
from atp.ops.backups.act.kinds.choose import capture_of
from atp.ops.backups.act.kinds.postgresql.segments import list_shipped, shipped_name
from atp.ops.backups.act.listing import Listed, list_backups
from atp.ops.backups.act.verifying import verify
from atp.ops.backups.declare import declared_backup
from atp.ops.backups.evidence import Listing, backup_listed
from atp.ops.backups.format.manifest import Cluster, Manifest, encode_manifest
from atp.ops.estate.declare.parse import parse_estate
from atp.ports.repository import Repository
from tests.contracts.vaults import release
from tests.ops.backups.test_declared import EXAMPLE
from tests.ops.backups.test_keeping import PREFIX, segment
from tests.ops.backups.world import EVERY, RETENTION, World, nothing, words

DAY = 86_400


@pytest.fixture
def keys(tmp_path: Path) -> World:
    """A world whose dataset holds keys, with a copy in a directory."""
    for name in ("keys", "attic"):
        (tmp_path / name).mkdir()
    (tmp_path / "keys/reader-7").write_text("a key")
    world = World(tmp_path, tmp_path / "keys", is_erasable=True)
    world.copies = {"attic": DirectoryRepository(tmp_path / "attic", clock=world.clock)}
    return world


@pytest.fixture(autouse=True)
def released(tmp_path: Path) -> Iterator[None]:
    """Whatever was made immutable can be removed again."""
    yield
    release(tmp_path)


def listed(repository: Repository) -> list[Listed]:
    return list_backups(repository, dataset="letters")


def decided(world: World, repository: Repository) -> list[pruning.Decision]:
    found, now, after = listed(repository), world.clock.now(), world.declared.gone_after
    decisions = pruning.decide(found, retention=world.retention, now=now, gone_after=after)
    more = pruning.decide_following(repository, found, decisions, dataset="letters", now=now, gone_after=after)
    return decisions + more


def prune(world: World, repository: Repository) -> list[str]:
    decisions = decided(world, repository)
    pruning.prune(repository, listed(repository), decisions, dataset="letters", record=world.record("prune"))
    return [one.backup for one in listed(repository)]


def names(repository: Repository) -> list[str]:
    return sorted(kept.name for kept in repository.objects("letters/"))


def test_after_a_run_nothing_is_locked_in_any_repository_and_everything_can_be_deleted(keys: World) -> None:
    made = keys.back_up()
    stores = [keys.repository, *keys.copies.values()]
    assert {store.lock for store in stores} <= {"compliance", "local"}, "they lock for others"
    for store in stores:
        stored = names(store)
        assert len(stored) == 3
        assert {store.keep_until(name) for name in stored} == {None}
        for name in stored:
            store.delete(name)
        assert names(store) == []
    assert made.warnings == []


def test_the_manifest_alone_says_until_when_it_is_to_be_gone(keys: World) -> None:
    begun, manifest = keys.clock.now(), keys.back_up().manifest
    assert manifest is not None
    assert (manifest.keep_until, manifest.gone_by) == (None, begun + RETENTION)
    assert b'"gone_by": "2026-01-31T00:00:00Z"' in encode_manifest(manifest)


def test_manifests_of_other_datasets_have_the_bytes_that_they_had(world: World) -> None:
    manifest = world.back_up().manifest
    assert manifest is not None
    text = encode_manifest(manifest)
    assert list(msgspec.json.decode(text))[-3:] == ["how_to_restore", "keep_until", "cluster"]


def test_a_repository_that_locks_unasked_is_refused_before_anything_is_stored(keys: World) -> None:
    locking = MemoryRepository(keys.clock, locks_for=timedelta(days=1))
    keys.copies = {"attic": locking}
    with pytest.raises(ForbiddenError, match=r"to attic: it locks every object .*\(hint: another bucket"):
        keys.back_up()
    assert names(keys.repository) == names(locking) == []
    keys.is_erasable = False
    keys.back_up()
    assert len(names(locking)) == 3, "others may be locked"


def test_a_copy_goes_when_its_time_is_over_and_the_last_good_one_too(keys: World) -> None:
    first = keys.back_up().backup
    keys.clock.advance(10 * DAY)
    second = keys.back_up().backup
    stores = [keys.repository, keys.copies["attic"]]
    keys.clock.advance(20 * DAY - 1)
    assert [prune(keys, store) for store in stores] == [[first, second]] * 2
    keys.clock.advance(1)
    assert [prune(keys, store) for store in stores] == [[second]] * 2
    keys.clock.advance(10 * DAY)
    assert [prune(keys, store) for store in stores] == [[]] * 2
    assert [names(store) for store in stores] == [[], []]


def test_neither_a_hold_nor_damage_keeps_a_copy_beyond_its_time(keys: World) -> None:
    held, damaged, unread = (keys.back_up().backup for _ in range(3))
    hold = holding.Hold("alice", keys.clock.now(), "dispute about inv-7")
    holding.hold(keys.repository, hold, dataset="letters", backup=held)
    keys.repository.delete(f"letters/{damaged}/data.00000")
    manifest = f"letters/{unread}/manifest.json"
    keys.repository.delete(manifest)
    with keys.repository.store(manifest) as sink:
        sink.write(b"{}")
    keys.clock.advance(30 * DAY - 1)
    assert {one.do for one in decided(keys, keys.repository)} == {"keep"}
    keys.clock.advance(1)
    assert prune(keys, keys.repository) == [] and names(keys.repository) == []


def test_a_hold_is_refused_and_says_why(keys: World) -> None:
    backup = keys.back_up().backup
    with pytest.raises(
        ForbiddenError, match=r"keys whose destruction erases data, and is gone by 2026-01-31 00:00:00Z"
    ):
        check_may_hold(keys.declared, listed(keys.repository), backup=backup)
    keys.is_erasable = False
    with pytest.raises(ForbiddenError, match="is gone by 2026-01-31"):
        check_may_hold(keys.declared, listed(keys.repository), backup=backup)
    check_may_hold(keys.declared, listed(keys.repository), backup=keys.back_up().backup)


def test_a_copy_that_said_when_it_goes_is_not_kept_when_the_dataset_is_declared_otherwise(keys: World) -> None:
    erasable = keys.back_up().backup
    keys.is_erasable = False
    other = keys.back_up().backup
    assert [one.do for one in decided(keys, keys.repository)] == ["keep", "keep"]
    keys.clock.advance(29 * DAY)
    assert [(one.backup, one.do) for one in decided(keys, keys.repository)] == [(erasable, "keep"), (other, "extend")]
    keys.clock.advance(DAY)
    assert prune(keys, keys.repository) == [other]


def test_a_shorter_time_holds_for_copies_that_are_there_and_a_longer_one_does_not(keys: World) -> None:
    backup = keys.back_up().backup
    keys.clock.advance(7 * DAY)
    keys.retention = timedelta(days=40)
    assert decided(keys, keys.repository)[0].why == "it is gone by 2026-01-31 00:00:00Z"
    keys.retention = timedelta(days=7)
    assert decided(keys, keys.repository) == [
        pruning.Decision(backup, "delete", "it had to be gone by 2026-01-08 00:00:00Z")
    ]


def test_a_copy_that_was_locked_before_stays_until_its_day_and_every_run_says_so(keys: World) -> None:
    keys.is_erasable = False
    locked = keys.back_up().backup
    keys.is_erasable, keys.retention = True, timedelta(days=5)
    keys.clock.advance(5 * DAY)
    (one,) = decided(keys, keys.repository)
    assert (one.do, one.why) == (
        "keep",
        "it had to be gone by 2026-01-06 00:00:00Z, and is locked until 2026-01-31 00:00:00Z",
    )
    found = observe_listing(keys.repository, listed(keys.repository), dataset="letters", now=keys.clock.now())
    assert found == Listing(1, datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 1, 31, tzinfo=UTC))
    keys.clock.advance(24.5 * DAY)
    warnings = keys.back_up().warnings
    assert [warning.split(":")[0] for warning in warnings] == [
        f"{locked} stays in {name}, and has to be gone" for name in ("vault", "attic")
    ]
    keys.clock.advance(DAY)
    assert locked not in prune(keys, keys.repository)


def test_a_run_removes_what_would_be_over_before_the_next_one(keys: World) -> None:
    made = list[str]()
    for _ in range(40):
        made.append(keys.back_up().backup)
        oldest = listed(keys.copies["attic"])[0]
        assert oldest.manifest is not None
        keys.clock.advance(EVERY.total_seconds() * 1.05)
        assert keys.clock.now() <= oldest.manifest.begun_at + RETENTION, "not even when the next one is a little late"
    for store in (keys.repository, keys.copies["attic"]):
        kept = [one.backup for one in listed(store)]
        assert kept == made[-len(kept) :] and 25 < len(kept) < 30, "and none much earlier"


def test_a_retention_of_hardly_more_than_the_schedule_never_removes_what_was_just_made(keys: World) -> None:
    keys.retention = EVERY + timedelta(minutes=1)
    for _ in range(3):
        made = keys.back_up().backup
        assert [one.backup for one in listed(keys.repository)] == [made]
        keys.clock.advance(DAY)


def test_what_was_never_finished_in_any_repository_goes_with_its_time(keys: World) -> None:
    """A run died while it copied: keys lie there without a manifest, and nobody lists them."""
    made, attic = keys.back_up().backup, keys.copies["attic"]
    attic.delete(f"letters/{made}/manifest.json")
    assert listed(attic) == [] and len(names(attic)) == 2
    found = observe_listing(attic, [], dataset="letters", now=keys.clock.now())
    assert found == Listing(0, keys.clock.now(), None), "the review sees its age"
    keys.clock.advance(30 * DAY - 1)
    assert decided(keys, attic) == []
    keys.clock.advance(1)
    assert prune(keys, attic) == [] and names(attic) == []


def test_what_was_locked_and_never_finished_holds_up_nothing_else(keys: World) -> None:
    keys.is_erasable = False
    died = keys.back_up().backup
    keys.is_erasable, keys.copies = True, {}
    keys.back_up()
    keys.clock.advance(30 * DAY)
    keys.repository.delete(f"letters/{died}/manifest.json")
    locked = [name for name in names(keys.repository) if died in name]
    for name in locked:
        keys.repository.extend(name, keys.clock.now() + timedelta(days=1))
    assert len(names(keys.repository)) == len(locked) + 3
    assert prune(keys, keys.repository) == [] and names(keys.repository) == locked
    keys.clock.advance(DAY)
    assert prune(keys, keys.repository) == [] and names(keys.repository) == []


def test_a_locked_copy_is_a_fault_when_it_is_read_back(keys: World) -> None:
    keys.back_up()
    (one,) = listed(keys.repository)
    assert verify(keys.repository, one, identities=[], moved=nothing).faults == []
    assert one.manifest is not None
    until = datetime(2026, 3, 1, tzinfo=UTC)
    keys.repository.extend(one.manifest.prefix + "data.00000", until)
    (fault,) = verify(keys.repository, one, identities=[], moved=nothing).faults
    assert fault.startswith("its part data.00000 is locked until 2026-03-01") and "gone by 2026-01-31" in fault


def test_a_copy_that_is_read_back_is_not_locked_longer(keys: World) -> None:
    keys.back_up()
    keys.clock.advance(20 * DAY)
    assert pruning.extensions(listed(keys.repository), retention=keys.declared.locked_for, now=keys.clock.now()) == []


def test_a_restore_says_from_when_on_keys_have_to_be_destroyed_again(keys: World) -> None:
    keys.back_up()
    keys.clock.advance(DAY)
    restored = keys.restore(keys.root / "restored")
    assert restored.told == ["destroy again every key that was destroyed since 2026-01-01 00:00:00Z: it came back"]


def test_a_restore_of_anything_else_says_nothing_of_keys(world: World) -> None:
    world.back_up()
    assert world.restore(world.root / "restored").told == []


def test_the_plan_of_a_run_has_no_lock_and_removes_what_is_over_last(keys: World) -> None:
    capture = capture_of(keys.declared, folder=keys.root, clock=keys.clock, moved=nothing)
    plan = words(making.plan(keys.declared, making.Observed(), capture))
    assert plan[-4:] == ["store", "publish", "copy to attic", "expire"]
    keys.is_erasable = False
    plan = words(making.plan(keys.declared, making.Observed(), capture))
    assert plan[-4:] == ["store", "lock", "publish", "copy to attic"]


def test_what_a_repository_holds_is_told_and_wrong_when_it_is_locked_or_late() -> None:
    now = datetime(2026, 2, 1, tzinfo=UTC)

    def verdict(found: Listing) -> object:
        return backup_listed(found, repository="vault", gone_after=RETENTION, now=now)["verdict"]

    assert verdict(Listing(0, None, None)) == "pass"
    assert verdict(Listing(1, now - RETENTION, None)) == "pass"
    assert verdict(Listing(1, now - RETENTION - timedelta(seconds=1), None)) == "fail"
    assert verdict(Listing(1, now, now + timedelta(seconds=1))) == "fail"


def test_what_is_declared_erasable_is_never_locked() -> None:
    text = EXAMPLE.decode().replace("retention: 90d", "retention: 30d\n    erasable: true", 1)
    estate = parse_estate(text.encode(), file="example.yaml")
    keys, other = declared_backup(estate, "letters"), declared_backup(estate, "catalogue")
    assert (keys.locked_for, keys.gone_after, keys.every) == (None, timedelta(days=30), timedelta(hours=12))
    assert (other.locked_for, other.gone_after) == (timedelta(days=35), None)


def ship(repository: Repository, number: int, *, covers: datetime, is_partial: bool = False) -> None:
    name = shipped_name(PREFIX, segment(number), is_partial=is_partial, covers_until=covers, sha256="a" * 64)
    with repository.store(name) as sink:
        sink.write(b"log")


def back_up_cluster(world: World, begins: int) -> None:
    """A manifest as a backup of a server has it, and its two parts."""
    made = world.back_up()
    assert made.manifest is not None
    cluster = Cluster(system="7", major=15, begins_in=segment(begins), ends_in=segment(begins), segment_bytes=1 << 24)
    manifest: Manifest = msgspec.structs.replace(made.manifest, kind="postgresql", cluster=cluster)
    name = f"{manifest.prefix}manifest.json"
    world.repository.delete(name)
    with world.repository.store(name) as sink:
        sink.write(encode_manifest(manifest))


def segments(world: World) -> list[int]:
    return [int(one.segment[16:], 16) for one in list_shipped(world.repository, PREFIX)]


def test_the_log_goes_with_the_backup_that_it_follows_and_needs_no_later_one(keys: World) -> None:
    keys.copies = {}
    for number in range(1, 5):
        if number in (2, 4):
            back_up_cluster(keys, number)
        ship(keys.repository, number, covers=keys.clock.now())
        keys.clock.advance(DAY)
    prune(keys, keys.repository)
    assert segments(keys) == [2, 3, 4], "no backup needs the first, and no lock keeps it"
    keys.clock.advance(27 * DAY)
    assert len(prune(keys, keys.repository)) == 1 and segments(keys) == [4]
    keys.clock.advance(2 * DAY)
    assert prune(keys, keys.repository) == [] and names(keys.repository) == []


def test_a_log_without_a_backup_goes_by_what_it_covers_and_what_follows_one_stays_with_it(keys: World) -> None:
    keys.copies = {}
    old, new = keys.clock.now() - RETENTION, keys.clock.now()
    ship(keys.repository, 6, covers=old)
    ship(keys.repository, 7, covers=new)
    prune(keys, keys.repository)
    assert segments(keys) == [7]
    back_up_cluster(keys, 7)
    ship(keys.repository, 8, covers=datetime(1970, 1, 1, tzinfo=UTC))  # nobody knew what it covers
    ship(keys.repository, 9, covers=old, is_partial=True)
    assert [len(one.objects) for one in decided(keys, keys.repository) if one.objects] == [1]
    prune(keys, keys.repository)
    assert segments(keys) == [7, 8], "without it the backup could not go on; of the part nobody knows more than its age"


def test_a_run_that_cannot_look_into_a_repository_fails_aloud(keys: World) -> None:
    release(keys.root)
    (keys.root / "attic").rename(keys.root / "gone")
    with pytest.raises(UnavailableError):
        keys.back_up()
