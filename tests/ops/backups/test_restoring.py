"""Every way in which a restore fails has its own sentence, and leaves everything as it was."""

import os
import shutil
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

from atp.errors import (
    AtpError,
    ConflictError,
    InvalidError,
    MissingError,
    TamperedError,
    UnauthorizedError,
    UnavailableError,
)
from atp.ops.backups.act.listing import find_backup, list_backups
from atp.ops.backups.act.verifying import verify
from atp.ops.backups.format.seal import draw_identity
from tests.contracts.machine import small_disk
from tests.contracts.vaults import release
from tests.ops.backups.test_database import filled
from tests.ops.backups.world import IDENTITIES, World, inside, nothing, portrait


def flip(path: Path, at: int) -> None:
    with path.open("r+b") as file:
        file.seek(at if at >= 0 else path.stat().st_size + at)
        byte = file.read(1)[0]
        file.seek(-1, os.SEEK_CUR)
        file.write(bytes([byte ^ 0x40]))


HARM: dict[str, tuple[Callable[[Path], object], type[AtpError], str]] = {
    "a byte in the middle": (lambda at: flip(at / "data.00001", 1000), TamperedError, "bytes of its part data.00001"),
    "a byte of the header": (lambda at: flip(at / "data.00000", 60), TamperedError, "bytes of its part data.00000"),
    "the last byte": (lambda at: flip(max(at.glob("data.*")), -1), TamperedError, "bytes of its part data"),
    "a byte of the list": (lambda at: flip(at / "contents.00000", 400), TamperedError, "its part contents.00000"),
    "a part cut": (lambda at: os.truncate(at / "data.00000", 700_000), TamperedError, "data.00000 has 700,000 bytes"),
    "the last part cut": (lambda at: os.truncate(max(at.glob("data.*")), 10), TamperedError, "has 10 bytes instead of"),
    "a part emptied": (lambda at: os.truncate(at / "data.00001", 0), TamperedError, "data.00001 has 0 bytes instead"),
    "a part gone": (lambda at: (at / "data.00001").unlink(), TamperedError, "its part data.00001 is missing"),
    "the list gone": (lambda at: (at / "contents.00000").unlink(), TamperedError, "contents.00000 is missing"),
    "a part for another": (
        lambda at: shutil.copyfile(at / "data.00000", at / "data.00001"),
        TamperedError,
        "bytes of its part data.00001",
    ),
    "the manifest gone": (lambda at: (at / "manifest.json").unlink(), MissingError, "find backup"),
    "the manifest changed": (lambda at: flip(at / "manifest.json", 5), TamperedError, "the manifest"),
}


@pytest.mark.parametrize("what", HARM)
def test_each_harm_has_its_own_sentence_and_nothing_is_touched(world: World, stored: Path, what: str) -> None:
    harm, kind, sentence = HARM[what]
    harm(stored)
    before = inside(world.root)
    with pytest.raises(kind, match=rf"(?s)^could not .*{sentence}.*\(hint: .*\)$"):
        world.restore(world.root / "restored", backup=stored.name)
    assert inside(world.root) == before


@pytest.mark.parametrize("what", HARM)
@pytest.mark.parametrize("with_key", [False, True])
def test_each_harm_is_found_by_verify(world: World, stored: Path, what: str, with_key: bool) -> None:
    harm, _, sentence = HARM[what]
    harm(stored)
    if what == "the manifest gone":
        assert list_backups(world.repository, dataset="letters") == []
        return
    listed = find_backup(world.repository, dataset="letters", backup=stored.name)
    found = verify(world.repository, listed, identities=IDENTITIES if with_key else [], moved=nothing)
    assert not found.is_read_back
    assert len(found.faults) == 1 and sentence in found.faults[0]


def test_a_part_that_goes_while_it_is_restored_is_named(world: World, stored: Path) -> None:
    def moved(_: int) -> None:
        (stored / "data.00002").unlink(missing_ok=True)

    with pytest.raises(MissingError, match=r"its part data.00002 is missing \(hint"):
        world.restore(world.root / "restored", moved=moved)
    assert not os.path.lexists(world.root / "restored")
    assert not list(world.root.glob(".restored*"))


def test_a_key_that_does_not_fit_is_said_to_be_that(world: World, stored: Path) -> None:
    before = inside(world.root)
    with pytest.raises(UnauthorizedError, match=r"^could not decrypt .*none of the keys"):
        world.restore(world.root / "restored", identity=draw_identity()[0])
    assert inside(world.root) == before


def test_a_repository_that_vanished_is_said_to_be_gone(world: World, stored: Path, shelf: Path) -> None:
    def moved(_: int) -> None:
        if shelf.exists():
            shelf.rename(world.root / "taken away")

    with pytest.raises(UnavailableError, match=r"^could not reach the repository .* it is gone \(hint"):
        world.restore(world.root / "restored", moved=moved)
    assert not os.path.lexists(world.root / "restored")
    with pytest.raises(UnavailableError, match=r"^could not reach the repository"):
        world.restore(world.root / "restored")
    (world.root / "taken away").rename(shelf)


@pytest.mark.parametrize("kind", ["files", "sqlite"])
def test_a_disk_that_fills_up_gives_one_sentence_and_its_room_back(world: World, kind: str) -> None:
    if kind == "sqlite":
        world.kind, world.source = "sqlite", filled(world.root / "letters.db", rows=3_000)
    world.back_up()
    with small_disk(world.root / "disk", megabytes=2) as disk:
        with pytest.raises(UnavailableError, match=r"^could not restore .*No space left.*\(hint: make room.*\)$"):
            world.restore(disk.path / "restored")
        assert list(disk.path.iterdir()) == []


def test_what_stands_at_the_place_is_never_touched_unless_it_is_named(world: World) -> None:
    made = world.back_up()
    place = world.root / "restored"
    place.mkdir()
    (place / "precious").write_text("mine")
    with pytest.raises(ConflictError, match=r"exists \(hint: name a new place, or --replace"):
        world.restore(place)
    with pytest.raises(InvalidError, match="could not replace"):
        world.restore(place, replace=world.source)
    assert (place / "precious").read_text() == "mine"
    restored = world.restore(place, replace=place)
    assert portrait(place) == portrait(world.source)
    kept = world.root / f"restored.before-{made.backup}"
    assert (kept / "precious").read_text() == "mine"
    assert restored.kept_as == [str(kept)]
    with pytest.raises(ConflictError, match="could not move"):
        world.restore(place, replace=place)


def test_a_link_at_the_place_is_never_followed(world: World) -> None:
    world.back_up()
    (world.root / "elsewhere").mkdir()
    (world.root / "restored").symlink_to("elsewhere")
    with pytest.raises(ConflictError):
        world.restore(world.root / "restored")
    assert list((world.root / "elsewhere").iterdir()) == []


def test_an_empty_directory_is_a_free_place(world: World) -> None:
    world.back_up()
    (world.root / "restored").mkdir()
    world.restore(world.root / "restored")
    assert portrait(world.root / "restored") == portrait(world.source)


def test_a_place_without_a_parent_is_refused(world: World) -> None:
    world.back_up()
    with pytest.raises(UnavailableError, match="could not work in"):
        world.restore(world.root / "no/where/restored")


def test_the_newest_backup_that_is_not_later_is_found(world: World) -> None:
    times, backups = [], []
    for number in range(3):
        (world.source / "number").write_text(str(number))
        backups.append(world.back_up().backup)
        times.append(world.clock.now())
        world.clock.advance(3600)
    hour = timedelta(hours=1)
    assert find_backup(world.repository, dataset="letters").backup == backups[2]
    assert find_backup(world.repository, dataset="letters", at=times[1]).backup == backups[1]
    assert find_backup(world.repository, dataset="letters", at=times[1] + hour / 2).backup == backups[1]
    with pytest.raises(MissingError, match="could not find a good backup"):
        find_backup(world.repository, dataset="letters", at=times[0] - hour)
    world.restore(world.root / "restored", backup=backups[0])
    assert (world.root / "restored/number").read_text() == "0"


def test_a_damaged_backup_is_passed_over_for_an_older_good_one(world: World, stored: Path) -> None:
    world.clock.advance(60)
    newer = world.back_up()
    root = stored.parent / newer.backup
    release(root)
    (root / "data.00000").unlink()
    assert find_backup(world.repository, dataset="letters").backup == stored.name
    world.restore(world.root / "restored")
    assert portrait(world.root / "restored") == portrait(world.source)
