"""kill -9 in every phase: what is half done is never a backup and never a restore, and the next run begins anew."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from atp.errors import ConflictError
from atp.ops.backups.act import making
from atp.ops.backups.act.listing import list_backups
from atp.ops.backups.act.workplace import room_of, workplace
from tests.ops.backups.test_database import filled
from tests.ops.backups.world import World, portrait
from tests.tidy.sources import ROOT

RUN = ["begin store", "bytes 1", "bytes 2000000", "end store", "begin lock", "end lock", "begin publish"]
RESTORE = ["begin fetch", "bytes 1", "bytes 500000", "end fetch", "begin check", "end check", "begin place"]


def die(root: Path, verb: str, where: str, kind: str = "files") -> None:
    script = [sys.executable, "-m", "tests.ops.backups.dying", root, verb, where, kind]
    done = subprocess.run(script, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == -signal.SIGKILL, done


@pytest.mark.slow
@pytest.mark.parametrize("where", RUN)
def test_a_backup_that_was_killed_is_none_and_the_next_one_is_whole(world: World, shelf: Path, where: str) -> None:
    die(world.root, "run", where)
    assert list_backups(world.repository, dataset="letters") == []
    world.clock.advance(60)
    made = world.back_up()
    left = {kept.name.split("/")[1] for kept in world.repository.objects("letters/")}
    if where in ("end lock", "begin publish"):  # it was locked already: it stays until its day, and is said to
        assert len(left) == 2 and any("stays for now" in warning for warning in made.warnings)
    else:
        assert left == {made.backup}
        assert made.warnings == []
    assert list(world.repository.unfinished("")) == []
    world.restore(world.root / "restored")
    assert portrait(world.root / "restored") == portrait(world.source)


@pytest.mark.slow
def test_a_backup_that_was_killed_after_its_manifest_is_one(world: World, shelf: Path) -> None:
    die(world.root, "run", "end publish")
    world.restore(world.root / "restored")
    assert portrait(world.root / "restored") == portrait(world.source)


@pytest.mark.slow
@pytest.mark.parametrize("where", ["begin copy", "bytes 1", "end copy", "begin store", "end store"])
def test_a_copy_of_a_database_that_was_killed_leaves_nothing(world: World, shelf: Path, where: str) -> None:
    world.kind, world.source = "sqlite", filled(world.root / "letters.db", rows=5_000)
    die(world.root, "run", where, "sqlite")
    assert list_backups(world.repository, dataset="letters") == []
    world.clock.advance(60)
    made = world.back_up()
    assert {kept.name.split("/")[1] for kept in world.repository.objects("letters/")} == {made.backup}
    assert not list(world.root.glob("atp-backup-*/letters")), "no plain copy stays behind"


@pytest.mark.slow
@pytest.mark.parametrize("where", RESTORE)
def test_a_restore_that_was_killed_leaves_the_place_free_and_the_next_one_ends(
    world: World, shelf: Path, where: str
) -> None:
    world.back_up(part_bytes_max=1_000_000)
    before = portrait(world.source)
    die(world.root, "restore", where)
    assert not os.path.lexists(world.root / "restored")
    world.restore(world.root / "restored")
    assert portrait(world.root / "restored") == before == portrait(world.source)
    assert not list(world.root.glob(".restored*"))


@pytest.mark.slow
def test_a_restore_that_was_killed_after_its_end_has_ended(world: World, shelf: Path) -> None:
    world.back_up()
    die(world.root, "restore", "end place")
    assert portrait(world.root / "restored") == portrait(world.source)


def test_two_runs_of_one_dataset_are_not_at_it_at_once(tmp_path: Path) -> None:
    with (
        workplace("letters", below=tmp_path),
        pytest.raises(ConflictError, match="another run"),
        workplace("letters", below=tmp_path),
    ):
        pass
    with workplace("letters", below=tmp_path) as place:
        assert place.dead is None


def test_datasets_of_one_name_and_different_sources_have_rooms_of_their_own(tmp_path: Path) -> None:
    one, other = room_of("letters", tmp_path / "one"), room_of("letters", tmp_path / "other")
    with workplace(one, below=tmp_path) as first, workplace(other, below=tmp_path) as second:
        assert first.folder != second.folder
    assert room_of("letters", tmp_path / "other/../one") == one


def test_what_others_left_is_removed_when_it_is_old_and_never_before(world: World) -> None:
    with world.repository.store("letters/20260101T000000Z-0123456789ab/data.00000") as sink:
        sink.write(b"another machine is at it")
    seen = making.observe(world.repository, dataset="letters", dead=None, now=world.clock.now())
    assert seen.unfinished == ()
    world.clock.advance(3 * 86_400)
    made = world.back_up()
    assert {kept.name.split("/")[1] for kept in world.repository.objects("letters/")} == {made.backup}
