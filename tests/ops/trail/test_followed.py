"""What a trail wrote after its backup is shipped, and comes back with it; what is missing or changed is said."""

import io
import shutil
import subprocess
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any, cast

import pytest

from atp.adapters.memory_repository import MemoryRepository
from atp.errors import ConflictError, MissingError, TamperedError, UnavailableError
from atp.ops.backups.act import restoring
from atp.ops.backups.act.kinds.choose import arrival_of, check_following
from atp.ops.backups.act.kinds.shape import Occasion
from atp.ops.backups.act.kinds.shipping import Shipping
from atp.ops.backups.act.kinds.trail.following import TrailFollowing
from atp.ops.backups.act.kinds.trail.increments import BEGINNING, Increment, list_increments
from atp.ops.backups.act.kinds.trail.logs import read_held
from atp.ops.backups.act.listing import Listed, find_backup, list_backups
from atp.ops.backups.act.parts import read_parts
from atp.ops.backups.act.pruning import Decision, decide_following, prune
from atp.ops.backups.act.workplace import workplace
from atp.ops.backups.evidence import UNASKED, Recorded
from atp.ops.backups.format.archive import END, header
from atp.ops.backups.format.contents import ContentsReader, Entry
from atp.ops.backups.format.manifest import Manifest
from atp.ops.backups.format.seal import parse_recipients, seal, unsealed
from atp.ops.drills.act.kinds.trail import TrailCopy
from atp.ports.repository import Repository, Sink
from tests.app.copied import check, has_keys, succeeded
from tests.app.opened import ROOT, record, running
from tests.docs.test_examples import blocks
from tests.ops.backups.world import ALICE, IDENTITIES, RETENTION, World
from tests.services.absent import APT_LINE

DATASET = "letters"


@dataclass
class Told:
    """What a follower said."""

    shipped: list[tuple[str, datetime]] = field(default_factory=list)
    trouble: list[str] = field(default_factory=list)
    recorded: list[str] = field(default_factory=list)


def look(world: World, *, source: Path | None = None, room: str = "room") -> Told:
    """One life of a follower, which looks once, a minute after the last one."""
    world.clock.advance(60)
    told = Told()
    follower(world, told, source=source, room=room).run(is_over=lambda: True)
    return told


def follower(world: World, told: Told, *, source: Path | None = None, room: str = "room") -> TrailFollowing:
    shipping = Shipping(
        dataset=DATASET,
        repositories={"vault": world.repository, **world.copies},
        recipients=(world.recipient,),
        retention=RETENTION,
        room=world.root / room,
        clock=world.clock,
        within=timedelta(seconds=1),
        record=told.recorded.extend,
        shipped=lambda words, covers: told.shipped.append((words, covers)),
        trouble=told.trouble.append,
    )
    return TrailFollowing(source or world.source, shipping)


def write(world: World, numbers: range, *, tenant: str = "acme") -> None:
    with running(world.source) as platform:
        record(platform, numbers, tenant=tenant)


def restore(world: World, place: str = "back", *, at: datetime | None = None, recorded: Recorded = UNASKED) -> Path:
    listed = find_backup(world.repository, dataset=DATASET, at=at)
    manifest = restoring.check_whole(listed)
    target = restoring.observe_target(world.root / place, kind="trail", replace=None)
    occasion = Occasion(ALICE.id, world.clock.now())
    arrival = arrival_of(
        manifest, repository=world.repository, identities=IDENTITIES, at=at, occasion=occasion, recorded=recorded
    )
    restored = restoring.Restored(listed.backup, place)
    one = restoring.Restore(world.repository, manifest, target, arrival, IDENTITIES, lambda _: None, restored)
    one.carry_out(restoring.plan(manifest, target, arrival), record=world.record("restore"))
    return world.root / place


def size(copied: Path, tenant: str = "acme") -> int:
    return next(log.size for log in read_held(copied).logs if log.tenant == tenant)


def increments(world: World) -> list[Increment]:
    return list_increments(world.repository, DATASET)


def grown(world: World) -> list[int]:
    """A backup between two increments of five; the sizes of acme's log in each of the five."""
    sizes = [511, 530, 900, 901, 1_500]
    look(world)
    write(world, range(511, 530))
    look(world)
    world.clock.advance(30)
    world.back_up()
    for first, stop in ((530, 900), (900, 901), (901, 1_500)):
        write(world, range(first, stop))
        look(world)
    return sizes


def test_what_was_written_after_a_backup_comes_back_with_it(world: World) -> None:
    sizes = grown(world)
    back = restore(world)
    assert size(back) == sizes[-1] and check(back).is_whole and not has_keys(back)
    with running(back) as platform:
        assert set(succeeded(platform, "acme")) == {1_500}
    assert check(back).is_whole


def test_a_backup_reaches_to_each_increment_after_it(world: World) -> None:
    sizes = grown(world)
    for one, expected in zip(increments(world)[2:], sizes[2:], strict=True):
        assert size(restore(world, f"back-{one.number}", at=one.covers)) == expected
    before = increments(world)[2].covers - timedelta(seconds=1)
    assert size(restore(world, "base", at=before)) == 530, "nothing later than that moment"


def test_an_increment_holds_what_is_new_and_nothing_new_ships_nothing(world: World) -> None:
    for number in range(511, 4_000, 200):
        write(world, range(number, min(number + 200, 4_000)))
    first = look(world)
    assert first.trouble and "a new series begins, which holds all objects" in first.trouble[0]
    write(world, range(4_000, 4_001))
    assert not look(world).trouble
    whole, small = increments(world)
    assert small.begins == whole.covers and small.size_bytes < whole.size_bytes / 3
    idle = look(world)
    assert increments(world) == [whole, small]
    assert idle.shipped == [(small.words, world.clock.now())], "all until now is there"


def test_a_trail_that_is_served_is_followed(world: World) -> None:
    look(world)
    world.back_up()
    with running(world.source) as platform:
        for first in range(511, 1_111, 100):
            record(platform, range(first, first + 100), tenant="acme")
            look(world)
        platform.create_tenant("later", by=ROOT)
        record(platform, range(300), tenant="later")
        look(world)
    back = restore(world)
    assert (size(back), size(back, "later")) == (1_111, 300) and check(back).is_whole


@pytest.mark.parametrize("number", [3, 4])
def test_a_missing_increment_before_the_last_is_said_and_how_far_it_reaches(number: int, world: World) -> None:
    sizes = grown(world)
    gone = increments(world)[number - 1]
    world.clock.advance(RETENTION.total_seconds() + 60)
    world.repository.delete(gone.name(DATASET))
    with pytest.raises(TamperedError, match=f"increment {gone.words} is missing and later ones are there"):
        restore(world)
    with pytest.raises(TamperedError, match="is missing"):
        check_following(world.repository, manifest(world), ())
    assert size(restore(world, at=gone.covers - timedelta(seconds=1))) == sizes[number - 2]


def manifest(world: World) -> Manifest:
    return restoring.check_whole(find_backup(world.repository, dataset=DATASET))


@pytest.mark.parametrize("at", [0, 100, 3_000, -1])
def test_a_flipped_byte_in_an_increment_is_found_with_and_without_a_key(at: int, world: World) -> None:
    grown(world)
    assert check_following(world.repository, manifest(world), ()) == 3
    assert check_following(world.repository, manifest(world), IDENTITIES) == 3
    flipped = increments(world)[3]
    change(world, flipped, lambda data: flip(data, at))
    for identities in ((), IDENTITIES):
        with pytest.raises(TamperedError, match=f"{flipped.words}: its bytes are not those that were stored"):
            check_following(world.repository, manifest(world), identities)
    with pytest.raises(TamperedError, match=f"{flipped.words}: its bytes are not those that were stored"):
        restore(world)
    assert not (world.root / "back").exists()


def flip(data: bytearray, at: int) -> bytes:
    data[at % len(data)] ^= 1
    return bytes(data)


def change(world: World, one: Increment, how: Callable[[bytearray], bytes]) -> None:
    """What is stored under this name is something else."""
    data = bytearray(b"".join(world.repository.read(one.name(DATASET))))
    world.clock.advance(RETENTION.total_seconds() + 60)
    world.repository.delete(one.name(DATASET))
    with world.repository.store(one.name(DATASET)) as sink:
        sink.write(how(data))


def entry(path: str, **what: Any) -> bytes:
    given: dict[str, Any] = {"kind": "file", "mode": 0o600, "mtime_ns": 0, "uid": 0, "gid": 0, **what}
    return header(Entry(path=path, **given), {})


def folders(path: str) -> bytes:
    parents = [str(parent) for parent in reversed(Path(path).parents)]
    return b"".join(entry(parent, kind="directory", mode=0o700) for parent in parents)


def forge(
    world: World, archive: Iterable[bytes], *, series: str = "", number: int = 0, covers: datetime | None = None
) -> Increment:
    """Whoever knows the recipients stores an increment, behind the newest where nothing else is said."""
    newest, sealed = increments(world)[-1], io.BytesIO()
    seal(archive, recipients=parse_recipients([world.recipient]), into=sealed)
    data, covers = sealed.getvalue(), covers or newest.covers + timedelta(seconds=30)
    digest = sha256(data).hexdigest()
    begins = BEGINNING if series else newest.covers
    forged = Increment(series or newest.series, number or newest.number + 1, begins, covers, digest, len(data))
    with world.repository.store(forged.name(DATASET)) as sink:
        sink.write(data)
    return forged


@pytest.mark.parametrize(
    ("path", "what", "sentence"),
    [
        ("keys/log/acme.key", {}, "is nothing that a trail has"),
        ("root.key", {}, "is nothing that a trail has"),
        ("logs/acme/vkey/more", {}, "is nothing that a trail has"),
        ("order.db", {"kind": "symlink", "target": "/etc/passwd"}, "is nothing that a trail has"),
        ("logs/acme/tile/0/000", {"kind": "fifo"}, "is nothing that a trail has"),
        ("logs/acme/tile/0/001", {}, "is another one than that of the copy"),
        ("../order.db", {}, "would lead out of the place"),
        ("stopped.json", {}, "has no installation file"),
    ],
)
def test_an_increment_of_a_stranger_brings_nothing_into_a_copy(
    path: str, what: dict[str, Any], sentence: str, world: World
) -> None:
    grown(world)
    tops = entry(".", kind="directory", mode=0o700) if ".." in path else folders(path)
    forge(world, [tops + entry(path, **what) + END])
    with pytest.raises((TamperedError, MissingError), match=sentence):
        restore(world)
    assert not (world.root / "back").exists() and not (world.root / ".back.restoring").exists()


def test_what_unpacks_to_far_more_than_it_stores_is_stopped(world: World) -> None:
    grown(world)
    bomb = 3 << 30

    def archive() -> Iterator[bytes]:
        yield folders("order.db") + entry("order.db", size_bytes=bomb)
        for _ in range(bomb >> 20):
            yield bytes(1 << 20)
        yield END

    forge(world, archive())
    with pytest.raises(TamperedError, match="far more comes out"):
        check_following(world.repository, manifest(world), IDENTITIES)


@dataclass(slots=True)
class Forgetful:
    """A repository that keeps what it is given and then says that it did not: a death before anything is noted."""

    inner: Repository
    is_failing: bool = True

    @contextmanager
    def store(self, name: str, *, keep_until: datetime | None = None) -> Iterator[Sink]:
        with self.inner.store(name, keep_until=keep_until) as sink:
            yield sink
        if self.is_failing:
            raise UnavailableError("could not store: the line went dead")

    def unfinished(self, prefix: str) -> Iterator[str]:
        return self.inner.unfinished(prefix)


def test_what_was_stored_and_not_noted_is_shipped_again_and_harms_nothing(world: World) -> None:
    look(world)
    world.back_up()
    write(world, range(511, 900))
    kept, told = world.repository, Told()
    world.clock.advance(60)
    failing = follower(world, told)
    failing.shipping.repositories = {"vault": cast(Repository, Forgetful(kept))}
    failing.run(is_over=lambda: True)
    assert told.trouble == ["could not store: the line went dead"] and not told.shipped
    write(world, range(900, 1_000))
    assert look(world).shipped
    first, once, again = increments(world)
    assert (first.number, once.number, again.number) == (1, 2, 2) and once.begins == again.begins
    write(world, range(1_000, 1_400))
    look(world)
    assert size(restore(world)) == 1_400
    assert size(restore(world, "middle", at=once.covers)) == 900, "it is one that can be restored to"


def test_a_repository_that_does_not_answer_holds_up_no_other(world: World) -> None:
    second = MemoryRepository(world.clock)
    look(world)
    world.back_up()
    write(world, range(511, 900))
    world.clock.advance(60)
    told = Told()
    both = follower(world, told)
    both.shipping.repositories = {"cellar": cast(Repository, Forgetful(second)), "vault": world.repository}
    both.run(is_over=lambda: True)
    assert "the line went dead" in told.trouble[-1] and not told.shipped, "it is not in every repository"
    assert size(restore(world)) == 900


def test_without_what_was_noted_or_with_another_trail_a_new_series_begins(world: World) -> None:
    look(world)
    world.back_up()
    write(world, range(511, 900))
    look(world)
    assert "a new series begins" in look(world, room="elsewhere").trouble[0]
    back = restore(world)
    assert size(back) == 900 and len({one.series for one in increments(world)}) == 2
    with running(back) as platform:
        record(platform, range(2_000, 2_300), tenant="acme")
    other = look(world, source=back)
    assert "does not go on from what was shipped" in other.trouble[0]
    world.clock.advance(60)
    assert size(restore(world, "again")) == 1_201, "900, what says that it was restored, and 300"


def test_a_directory_that_is_gone_is_told_once_and_what_it_reached_stays(world: World) -> None:
    sizes = grown(world)
    world.source.rename(world.root / "away")
    gone = look(world)
    assert "check source.place" in gone.trouble[0] and not gone.shipped and len(gone.trouble) == 1
    assert size(restore(world)) == sizes[-1]


def test_two_do_not_follow_one_trail(world: World) -> None:
    (world.root / "room").mkdir(mode=0o700)
    with workplace(DATASET, below=world.root / "room"), pytest.raises(ConflictError):
        look(world)


def test_a_clock_that_was_set_back_does_not_break_the_order(world: World) -> None:
    look(world)
    world.back_up()
    for numbers in (range(511, 600), range(600, 650)):
        write(world, numbers)
        world.clock.step(-120)
        look(world)
    assert size(restore(world)) == 650


def test_increments_are_locked_kept_with_their_backup_and_removed_when_no_backup_needs_them(world: World) -> None:
    grown(world)
    listed, now = increments(world), world.clock.now
    name = listed[3].name(DATASET)
    kept = world.repository.keep_until(name)
    assert kept is not None and RETENTION - timedelta(hours=1) < kept - now() <= RETENTION
    assert over(world, list_backups(world.repository, dataset=DATASET)) == []
    world.clock.advance(20 * 86_400)
    until = now() + RETENTION
    backups = list_backups(world.repository, dataset=DATASET)
    longer = [Decision(backups[-1].backup, "extend", "a test", until)]
    prune(world.repository, backups, longer, dataset=DATASET, record=world.record("prune"))
    assert [world.repository.keep_until(one.name(DATASET)) == until for one in listed] == [False] * 2 + [True] * 3
    world.clock.advance(11 * 86_400)
    gone = over(world, backups)
    assert gone == [one.name(DATASET) for one in listed[:2]]
    assert over(world, []) == []
    for name in gone:
        world.repository.delete(name)
    assert increments(world) == listed[2:] and size(restore(world)) == 1_500


def over(world: World, backups: list[Listed]) -> list[str]:
    """The increments that pruning would remove now, were these the backups."""
    found = decide_following(world.repository, backups, [], dataset=DATASET, now=world.clock.now())
    return [name for one in found for name in one.objects]


def whole(world: World, copied: Path) -> str:
    """What a drill says of a copy, held against the list of its backup."""
    found = manifest(world)
    stored = read_parts(world.repository, found, found.contents, moved=lambda _: None)
    with unsealed(stored, identities=IDENTITIES) as plain:
        lines = io.BytesIO(plain.read(1 << 20))
    return TrailCopy(copied).whole(ContentsReader(lines))


@pytest.mark.parametrize(
    "name", ["stray", "keys/log/acme.key", "logs/acme/tile/0/900", "evidences/more", "logs/nobody/"]
)
def test_in_a_copy_that_was_brought_forward_no_other_name_is_accepted(name: str, world: World) -> None:
    grown(world)
    back = restore(world)
    assert "are as they were backed up, the others were brought forward" in whole(world, back)
    stray = back / name
    (stray if name.endswith("/") else stray.parent).mkdir(parents=True, exist_ok=True)
    if not name.endswith("/"):
        stray.touch()
    with pytest.raises(TamperedError, match="were not backed up"):
        whole(world, back)


def test_in_a_copy_that_was_brought_forward_each_object_of_the_backup_is_as_it_was(world: World) -> None:
    grown(world)
    back = restore(world)
    bundle = back / "logs/acme/tile/entries/000.zst"
    bundle.write_bytes(flip(bytearray(bundle.read_bytes()), 300))
    with pytest.raises(TamperedError, match=r"000\.zst"):
        whole(world, back)


def test_age_zstd_and_tar_bring_it_forward_as_the_document_says(world: World) -> None:
    if shutil.which("age") is None or shutil.which("zstd") is None:
        pytest.skip(f"could not find age and zstd (hint: {APT_LINE})")
    sizes = grown(world)
    (words,) = blocks("docs/backups.md", "sh")
    place = restore(world, at=increments(world)[1].covers + timedelta(seconds=45))
    needed = [one for one in increments(world) if one.covers > manifest(world).consistent_at]
    hand = world.root / "hand"
    hand.mkdir()
    (hand / "KEY.txt").write_text(world.private)
    for one in needed:
        stored = hand / one.name("").removeprefix("/")
        stored.parent.mkdir(parents=True, exist_ok=True)
        stored.write_bytes(b"".join(world.repository.read(one.name(DATASET))))
    words = words.replace("SERIES", needed[0].series).replace("PLACE", str(place))
    subprocess.run(["bash", "-ec", words], cwd=hand, check=True)
    assert size(place) == sizes[-1] and check(place).is_whole
