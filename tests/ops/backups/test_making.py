"""A backup is its manifest, stored last; whatever fails before leaves none, and what is told of it holds no secret."""

import json
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from atp.adapters.directory import DirectoryRepository
from atp.adapters.memory_repository import MemoryRepository
from atp.errors import AtpError, UnavailableError
from atp.ops.backups.act import making
from atp.ops.backups.act.kinds.files import FilesCapture
from atp.ops.backups.act.kinds.sqlite import SqliteCapture
from atp.ops.backups.act.listing import find_backup, list_backups
from atp.ops.backups.act.verifying import verify
from atp.ops.backups.evidence import Recorded
from atp.ops.backups.format.checking import check_tree
from atp.ops.backups.format.manifest import MANIFEST
from atp.ops.backups.format.tree import Packed, pack
from atp.ports.repository import Attempt, Kept, Lock, Repository, Sink
from tests.contracts.machine import small_disk
from tests.ops.acting import ListSink
from tests.ops.backups.test_database import filled
from tests.ops.backups.world import IDENTITIES, PRIVATE, World, nothing, portrait, words


@dataclass
class Failing:
    """A repository whose nth change fails."""

    inner: Repository
    left: int

    @property
    def lock(self) -> Lock:
        return self.inner.lock

    @contextmanager
    def store(self, name: str, *, keep_until: datetime | None = None) -> Iterator[Sink]:
        self._fail("store")
        with self.inner.store(name, keep_until=keep_until) as sink:
            yield sink

    def extend(self, name: str, keep_until: datetime) -> None:
        self._fail("keep")
        self.inner.extend(name, keep_until)

    def read(self, name: str) -> Iterator[bytes]:
        return self.inner.read(name)

    def objects(self, prefix: str) -> Iterator[Kept]:
        return self.inner.objects(prefix)

    def keep_until(self, name: str) -> datetime | None:
        return self.inner.keep_until(name)

    def delete(self, name: str) -> None:
        self.inner.delete(name)

    def unfinished(self, prefix: str) -> Iterator[str]:
        return self.inner.unfinished(prefix)

    def forget(self, name: str) -> None:
        self.inner.forget(name)

    def locks_unasked(self) -> str:
        return self.inner.locks_unasked()

    def challenge(self, kept: Sequence[str] = ()) -> list[Attempt]:
        return self.inner.challenge(kept)

    def close(self) -> None:
        self.inner.close()

    def _fail(self, verb: str) -> None:
        self.left -= 1
        if self.left < 0:
            raise UnavailableError(f"could not {verb}: the repository is gone", hint="repeat")


def test_the_plan_is_what_is_declared(world: World) -> None:
    nothing_left = making.Observed()
    assert words(making.plan(world.declared, nothing_left, FilesCapture(world.source, world.clock, nothing))) == [
        "store",
        "lock",
        "publish",
    ]
    world.kind, world.copies, world.retention = "sqlite", {"cellar": world.repository}, None
    left = making.Observed(("20260101T000000Z-0123456789ab",))
    database = SqliteCapture(world.source, world.root / "copy", world.clock, nothing)
    steps = making.plan(world.declared, left, database)
    assert words(steps) == ["sweep", "copy", "store", "publish", "copy to cellar"]


def test_every_step_is_written_down_before_and_after(world: World) -> None:
    world.back_up()
    act = world.sink.act()
    assert [(step.name, step.state) for step in act.steps.values()] == [
        ("store", "done"),
        ("lock", "done"),
        ("publish", "done"),
    ]
    assert act.steps["publish"].outcome["manifest_sha256"]


def test_all_of_a_backup_is_locked_for_its_retention(world: World) -> None:
    made = world.back_up(part_bytes_max=1_000_000)
    assert made.manifest is not None
    assert len(made.manifest.data) == 4
    until = world.clock.now() + timedelta(days=30)
    names = [kept.name for kept in world.repository.objects("letters/")]
    assert len(names) == 6
    assert {world.repository.keep_until(name) for name in names} == {until}


def test_without_a_retention_nothing_is_locked(world: World) -> None:
    world.retention = None
    made = world.back_up()
    assert made.manifest is not None and made.manifest.keep_until is None
    assert {world.repository.keep_until(kept.name) for kept in world.repository.objects("")} == {None}


@pytest.mark.parametrize("left", range(8))
def test_whenever_the_repository_fails_there_is_no_backup_and_the_next_run_is_whole(world: World, left: int) -> None:
    real = world.repository
    world.repository = Failing(real, left)
    try:
        world.back_up(part_bytes_max=2_000_000)
        assert left >= 7, "two parts of data, one of contents, three locks, one manifest"
    except UnavailableError:
        assert left < 7
        assert list_backups(real, dataset="letters") == []
        assert world.sink.act().state == "unknown"
    world.repository, world.sink = real, ListSink()
    world.clock.advance(60)
    world.back_up()
    world.restore(world.root / "restored")
    assert portrait(world.root / "restored") == portrait(world.source)


def test_copies_are_the_same_objects_under_the_same_locks(world: World) -> None:
    cellar = MemoryRepository(world.clock)
    world.copies = {"cellar": cellar}
    made = world.back_up(part_bytes_max=1_000_000)
    assert made.manifest is not None
    for kept in world.repository.objects(""):
        assert b"".join(cellar.read(kept.name)) == b"".join(world.repository.read(kept.name))
        assert cellar.keep_until(kept.name) == made.manifest.keep_until
    world.repository = cellar
    world.restore(world.root / "restored")
    assert portrait(world.root / "restored") == portrait(world.source)


def test_a_copy_that_fails_leaves_the_backup(world: World) -> None:
    world.copies = {"cellar": Failing(MemoryRepository(world.clock), 2)}
    with pytest.raises(UnavailableError):
        world.back_up()
    assert [one.is_good for one in list_backups(world.repository, dataset="letters")] == [True]
    assert list_backups(world.copies["cellar"], dataset="letters") == []


def test_a_repository_that_fills_up_gives_one_sentence_and_no_backup(world: World) -> None:
    with small_disk(world.root / "disk", megabytes=2) as disk:
        world.repository = DirectoryRepository(disk.path, clock=world.clock)
        with pytest.raises(UnavailableError, match=r"^could not store .*No space left.*\(hint: .*\)$"):
            world.back_up()
        assert list_backups(world.repository, dataset="letters") == []
        assert list(world.repository.objects("")) == list(world.repository.unfinished("")) == []


def test_a_workplace_that_fills_up_gives_one_sentence_and_no_backup(world: World) -> None:
    world.kind, world.source = "sqlite", filled(world.root / "letters.db", rows=5_000)
    with small_disk(world.root / "disk", megabytes=1) as disk:
        world.root = disk.path
        with pytest.raises(UnavailableError, match=r"^could not copy .*full.*\(hint: .*TMPDIR.*\)$"):
            world.back_up()
        assert list(disk.path.glob("atp-backup-*/letters")) == []
    assert list(world.repository.objects("")) == []


def test_no_secret_and_no_name_of_a_file_stands_outside_of_the_encryption(world: World) -> None:
    made = world.back_up()
    world.restore(world.root / "restored")
    stored = b"".join(b"".join(world.repository.read(kept.name)) for kept in world.repository.objects(""))
    told = b"".join(bytes(event.data) for event in world.sink.events if isinstance(event.data, bytes))
    for secret in (PRIVATE.encode(), b"letter.txt", b"dear all", b"nowhere", str(world.source).encode()):
        assert secret not in stored
        assert secret not in told
    manifest = json.loads(b"".join(world.repository.read(f"letters/{made.backup}/{MANIFEST}")))
    assert manifest["recipients"] and "letters" in manifest["dataset"]


@pytest.mark.parametrize("kind", ["files", "sqlite"])
def test_the_command_of_the_manifest_restores_it_without_us(world: World, shelf: Path, kind: str) -> None:
    for program in ("age", "zstd", "tar"):
        if not shutil.which(program):
            pytest.skip(f"could not find {program} (hint: apt-get install age zstd tar)")
    if kind == "sqlite":
        world.kind, world.source = "sqlite", filled(world.root / "letters.db", rows=500)
    made = world.back_up(part_bytes_max=700_000)
    assert made.manifest is not None
    (world.root / "KEY.txt").write_text(PRIVATE + "\n")
    (world.root / "PLACE").mkdir()
    command = made.manifest.how_to_restore.replace("KEY.txt", str(world.root / "KEY.txt"))
    command = command.replace("PLACE", str(world.root / "PLACE"))
    folder = shelf / "letters" / made.backup
    subprocess.run(["bash", "-c", f"set -o pipefail; {command}"], cwd=folder, check=True, capture_output=True)
    if kind == "files":
        assert portrait(world.root / "PLACE") == portrait(world.source)
    else:
        world.restore(world.root / "restored.db")
        assert (world.root / "PLACE/database").read_bytes() == (world.root / "restored.db").read_bytes()


def test_a_backup_is_read_back_with_and_without_the_key(world: World) -> None:
    made = world.back_up(part_bytes_max=1_000_000)
    listed = find_backup(world.repository, dataset="letters")
    without = verify(world.repository, listed, identities=[], moved=nothing)
    assert (without.faults, without.is_read_back, without.entries) == ([], True, None)
    seen = list[int]()
    with_key = verify(
        world.repository,
        listed,
        identities=IDENTITIES,
        recorded=Recorded(made.manifest_sha256),
        moved=seen.append,
    )
    assert (with_key.faults, with_key.entries) == ([], made.entries)
    assert made.manifest is not None and sum(seen) == made.manifest.stored_bytes
    other = verify(world.repository, listed, identities=[], recorded=Recorded("0" * 64), moved=nothing)
    assert other.faults == ["its manifest is not the one that was recorded"]


def test_a_lock_that_is_shorter_than_promised_is_a_fault(world: World) -> None:
    world.back_up()
    listed = find_backup(world.repository, dataset="letters")
    assert listed.manifest is not None
    unlocked = MemoryRepository(world.clock)
    for kept in world.repository.objects(""):
        with unlocked.store(kept.name) as sink:
            sink.write(b"".join(world.repository.read(kept.name)))
    found = verify(unlocked, find_backup(unlocked, dataset="letters"), identities=[], moved=nothing)
    assert len(found.faults) == 2 and all("is kept until None" in fault for fault in found.faults)


def test_a_place_that_was_restored_wrongly_is_not_accepted(world: World) -> None:
    """The judge of restores is judged: each change is found."""
    entries = []
    list(pack(world.source, packed=Packed(), note=entries.append))
    changes = {
        "bytes": lambda root: (root / "deep/er/still/letter.txt").write_text("dear one\n"),
        "gone": lambda root: (root / "zero").unlink(),
        "mode": lambda root: (root / "zero").chmod(0o644),
        "link": lambda root: ((root / "link").unlink(), (root / "link").symlink_to("/etc")),
        "kind": lambda root: ((root / "pipe").unlink(), (root / "pipe").touch()),
        "hard link": lambda root: ((root / "deep/hard").unlink(), shutil.copy2(root / "big", root / "deep/hard")),
        "cut": lambda root: (root / "big").open("r+b").truncate(5),
    }
    for number, (what, change) in enumerate(changes.items()):
        copy = world.root / f"copy-{number}"
        subprocess.run(["cp", "-a", world.source, copy], check=True)
        assert check_tree(copy, entries, moved=nothing) == len(entries)
        change(copy)
        with pytest.raises(AtpError, match="could not accept"):
            check_tree(copy, entries, moved=nothing)
        assert what
