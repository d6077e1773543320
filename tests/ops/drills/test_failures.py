"""What may go wrong on the way back: each is its own clear verdict, and production is never touched."""

import os
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from hashlib import sha256
from pathlib import Path

import pytest

from atp.errors import TamperedError, UnavailableError
from atp.ops.backups.act.parts import Parts, store_manifest
from atp.ops.backups.format.contents import FORMAT as CONTENTS
from atp.ops.backups.format.contents import Database, Entry, Head, Tail, encode_line
from atp.ops.backups.format.database import inspect_database
from atp.ops.backups.format.manifest import FORMAT, Manifest, backup_prefix, begun_at, encode_manifest
from atp.ops.backups.format.seal import draw_identity, parse_recipients, seal
from atp.ops.drills.act.kinds.choose import production_of
from atp.ops.drills.evidence.figures import Done
from atp.ops.estate.declare.values import Scenario
from tests.contracts.machine import small_disk
from tests.contracts.vaults import release
from tests.ops.drills.world import CLOCK, World, filled, left_in, verdicts

ENDLESS = '"with recursive n (x) as (select 1 union all select x + 1 from n) select count(*) from n"'
BACKUP = "20260101T000000Z-0123456789ab"


def red(world: World, drill: Callable[[], Done], *, verdict: str, cause: str, told: str) -> Done:
    """The drill has this verdict for this cause, and leaves everything as it was."""
    before = production_of(world.declared).look()
    done = drill()
    assert (done.verdict, done.cause) == (verdict, cause), done
    assert told in done.reason
    assert verdicts(done)["content"] == verdict and verdicts(done)["source"] == "pass"
    assert verdicts(done)["rto"] == verdict and done.rto_seconds is None and done.rpo_seconds is None
    assert production_of(world.declared).look() == before
    assert left_in(world.scratch) == []
    assert len(world.done_events()) == 1 and world.done_events()[0].outcome == "failure"
    return done


def part(world: World) -> Path:
    [found] = world.root.glob(f"vault/{world.dataset}/*/data.00000")
    return found


@pytest.fixture
def ready(world: World) -> World:
    world.beat()
    world.back_up()
    return world


@pytest.fixture(params=["catalogue", "letters"])
def either(request: pytest.FixtureRequest, ready: World, letters: World) -> World:
    """A database or a directory, with a heartbeat and a backup."""
    if request.param == "catalogue":
        return ready
    letters.beat()
    letters.back_up()
    return letters


def test_a_corrupted_backup(either: World) -> None:
    stored = bytearray(part(either).read_bytes())
    stored[len(stored) // 2] ^= 1
    part(either).write_bytes(stored)
    red(either, either.drill, verdict="fail", cause="corrupted", told="data.00000")


def test_a_truncated_backup(either: World) -> None:
    os.truncate(part(either), part(either).stat().st_size - 100)
    red(either, either.drill, verdict="fail", cause="truncated", told="bytes instead of")


def test_a_part_that_is_gone(either: World) -> None:
    part(either).unlink()
    red(either, either.drill, verdict="fail", cause="part-missing", told="data.00000 is missing")


def test_a_manifest_that_is_none(either: World) -> None:
    (part(either).parent / "manifest.json").write_text("{}")
    red(either, either.drill, verdict="fail", cause="manifest", told="manifest")


def test_the_wrong_key(either: World) -> None:
    other, _ = draw_identity()
    red(either, lambda: either.drill(private=other), verdict="fail", cause="wrong-key", told="none of the keys")


def test_a_vanished_repository(either: World) -> None:
    shutil.move(either.root / "vault", either.root / "elsewhere")
    red(either, either.drill, verdict="fail", cause="repository-gone", told="no such directory")


def test_no_backup_at_all(world: World) -> None:
    red(world, world.drill, verdict="fail", cause="no-backup", told="has no backup")


def test_a_newest_backup_that_is_bad_is_not_passed_over_for_an_older_one(ready: World) -> None:
    old = part(ready)
    shutil.copytree(old.parent, ready.root / "vault/catalogue" / "29990101T000000Z-0123456789ab")
    red(ready, ready.drill, verdict="fail", cause="manifest", told="manifest")


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (("expect: [[0]]", "expect: [[1]]"), "[[0]] instead of [[1]]"),
        (("at_least: 100", "at_least: 501"), "500 rows, fewer than 501"),
        (("title is null", "no_such_column is null"), "no such column"),
        (("select count(*) from letter where title is null", f"{ENDLESS}, within: 1s"), "no answer within 1s"),
    ],
)
def test_a_question_with_the_wrong_answer(ready: World, change: tuple[str, str], told: str) -> None:
    ready.changes = [change]
    done = red(ready, ready.drill, verdict="fail", cause="wrong-answer", told=told)
    assert len(done.failed) == 1 and len(done.answers) == 4, "the others are asked all the same"


def test_a_full_disk_in_the_scratch_place_says_nothing_of_the_backup(world: World) -> None:
    with small_disk(world.root / "small", megabytes=1):
        world.changes = [(str(world.scratch), str(world.root / "small"))]
        with closing(sqlite3.connect(world.source)) as database:
            database.execute("INSERT INTO letter (body) VALUES (randomblob(3000000))")
            database.execute("UPDATE letter SET title = ''")
            database.commit()
        world.back_up()
        red(world, world.drill, verdict="error", cause="scratch", told="No space left on device")
        assert left_in(world.root / "small") == []


def test_a_full_disk_under_a_directory_says_nothing_of_the_backup(letters: World) -> None:
    with small_disk(letters.root / "small", megabytes=1):
        letters.changes = [(str(letters.scratch), str(letters.root / "small"))]
        (letters.source / "photograph").write_bytes(os.urandom(3_000_000))
        letters.back_up()
        red(letters, letters.drill, verdict="error", cause="scratch", told="No space left on device")
        assert left_in(letters.root / "small") == []


def test_a_scratch_place_that_cannot_be_made(ready: World) -> None:
    ready.scratch.rmdir()
    ready.scratch.write_text("a file")
    with pytest.raises(UnavailableError, match="could not make a scratch directory"):
        ready.drill()


def test_a_naive_copy_of_a_living_database_is_red(world: World) -> None:
    """The trap: its bytes are stored and restored faithfully, every digest is right, and it is no database any more."""
    naive = naive_copy(world)
    register(world, naive, Database({"letter": 500}, "0" * 64))
    red(world, world.drill, verdict="fail", cause="corrupted", told="could not accept data")


def test_a_naive_copy_that_says_nothing_of_its_tables_is_red_too(world: World) -> None:
    register(world, naive_copy(world), None)
    done = red(world, world.drill, verdict="fail", cause="not-whole", told="integrity check")
    assert done.failed == ("as backed up",)


def naive_copy(world: World) -> Path:
    """What `cp` makes of a database while it is written to: the first half from before a change, the second from after.

    A copy of two moments, as a reader gets it whom a checkpoint overtakes; no race is needed to show it.
    """
    early = world.source.read_bytes()
    with closing(sqlite3.connect(world.source)) as database:
        database.execute("DELETE FROM letter WHERE id > 20")
        database.execute("CREATE TABLE received (id INTEGER PRIMARY KEY, body BLOB)")
        database.executemany("INSERT INTO received (body) VALUES (randomblob(?))", [(3_000,)] * 100)
        database.commit()
        database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    late = world.source.read_bytes()
    copy, half = world.root / "naive.db", len(early) // 2
    copy.write_bytes(early[:half] + late[half : len(early)])
    with pytest.raises(TamperedError):
        inspect_database(copy)
    return copy


def register(world: World, copy: Path, database: Database | None) -> None:
    """Store a file as a backup, as a tool would that copies files."""
    repository, data, now = world.open("vault"), copy.read_bytes(), CLOCK.now()
    recipients = parse_recipients(world.declared.recipients)
    prefix = backup_prefix("catalogue", BACKUP)
    head = Head(format=CONTENTS, backup=BACKUP, dataset="catalogue", source="x", consistent_at=now, database=database)
    entry = Entry(
        path="catalogue.db",
        kind="file",
        mode=0o600,
        mtime_ns=0,
        uid=os.getuid(),
        gid=os.getgid(),
        size_bytes=len(data),
        sha256=sha256(data).hexdigest(),
    )
    lines = [encode_line(line) for line in (head, entry, Tail(entries=1, total_bytes=len(data)))]
    with Parts(repository, prefix, "data") as stored:
        seal([data], recipients=recipients, into=stored)
    with Parts(repository, prefix, "contents") as listed:
        seal(lines, recipients=recipients, into=listed)
    manifest = Manifest(
        format=FORMAT,
        backup=BACKUP,
        dataset="catalogue",
        kind="sqlite",
        begun_at=begun_at(BACKUP),
        ended_at=now,
        consistent_at=now,
        data=tuple(stored.stored),
        contents=tuple(listed.stored),
        recipients=world.declared.recipients,
        tools={},
        how_to_restore="",
    )
    store_manifest(repository, manifest, encode_manifest(manifest), keep_until=None)


@pytest.mark.parametrize(
    ("scenario", "cause", "told"),
    [
        ("host-loss", "no-repository", "it is a directory of this machine"),
        ("region-loss", "no-repository", "it is not off site"),
        ("ransomware", "no-repository", "it is not locked"),
        ("key-loss", "key-lost", "there is one recipient"),
    ],
)
def test_a_scenario_that_leaves_no_copy(ready: World, scenario: Scenario, cause: str, told: str) -> None:
    red(ready, lambda: ready.drill(scenario), verdict="fail", cause=cause, told=told)


def test_the_copy_elsewhere_is_what_is_left_when_the_host_is_lost(world: World) -> None:
    (world.root / "cellar").mkdir()
    cellar = f"\n  cellar: {{kind: directory, offsite: true, place: {world.root}/cellar}}"
    world.changes = [
        ("{repository: vault, schedule: 30min,", "{repository: vault, copies_in: [cellar], schedule: 30min,"),
        (f"place: {world.root}/vault}}", f"place: {world.root}/vault}}{cellar}"),
    ]
    world.beat()
    world.back_up()
    done = world.drill("host-loss")
    assert (verdicts(done)["content"], done.repository) == ("pass", "cellar")


def test_another_key_opens_the_copy_when_the_first_is_lost(world: World) -> None:
    private, recipient = draw_identity()
    first = world.declared.recipients[0]
    world.changes = [(f"recipients: [{first}]", f"recipients: [{first}, {recipient}]")]
    world.beat()
    world.back_up()
    assert verdicts(world.drill("key-loss", private=private))["content"] == "pass"
    lost = world.drill("key-loss")
    assert (lost.verdict, lost.cause) == ("error", "choose"), "the key that was given is the one that is lost"
    both = f"{world.key.read_text().split()[0]}\n{private}"
    assert verdicts(world.drill("key-loss", private=both))["content"] == "pass", "a file may hold both"


def test_a_locked_copy_is_what_ransomware_leaves(world: World) -> None:
    if world.open("vault").lock == "none":
        pytest.skip("could not lock a file here (hint: run the tests as root, on ext4)")
    world.changes = [("vault: {kind: directory,", "vault: {kind: directory, lock: local,")]
    world.beat()
    world.back_up()
    try:
        assert verdicts(world.drill("ransomware"))["content"] == "pass"
    finally:
        release(world.root / "vault")


def test_a_file_that_is_not_what_was_backed_up(letters: World) -> None:
    letters.beat()
    letters.back_up()
    [stored] = letters.root.glob("vault/letters/*/contents.00000")
    other = World(letters.root, dataset="letters", sink=letters.sink, machine=letters.machine)
    stored.write_bytes(stored.read_bytes()[:-1] + b"x")
    red(other, other.drill, verdict="fail", cause="corrupted", told="contents.00000")


def test_a_fuller_catalogue_is_no_trouble(tmp_path: Path) -> None:
    world = World(tmp_path)
    filled(world.source, rows=5_000)
    world.beat()
    world.back_up()
    assert verdicts(world.drill())["content"] == "pass"
