"""A SQLite database that is written to all the time: the copy is sound and of one moment; a copy of its file is not."""

import os
import shutil
import sqlite3
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from atp.errors import AtpError, MalformedError, MissingError, TamperedError
from atp.ops.backups.format.database import check_database, copy_database, inspect_database
from tests.ops.backups.world import World, nothing

WRITER = textwrap.dedent("""
    import sqlite3, sys
    live = sqlite3.connect(sys.argv[1], timeout=30, isolation_level=None)
    number = live.execute("SELECT max(number) FROM ledger").fetchone()[0]
    while True:
        number += 1
        live.execute("BEGIN IMMEDIATE")
        live.execute("INSERT INTO ledger VALUES (?, ?)", (number, "x" * (number % 3000)))
        live.execute("UPDATE total SET rows = ?", (number,))
        live.execute("DELETE FROM scratch")
        live.executemany("INSERT INTO scratch VALUES (?)", [("y" * 500,)] * 20)
        live.execute("COMMIT")
        print(number, flush=True)
""")


def filled(path: Path, *, rows: int, mode: str = "WAL") -> Path:
    """A database whose `total` always says how many rows `ledger` has: 1 to n without a gap."""
    with closing(sqlite3.connect(path)) as made:
        made.execute(f"PRAGMA journal_mode = {mode}")
        made.execute("CREATE TABLE ledger (number INTEGER PRIMARY KEY, text TEXT)")
        made.execute("CREATE TABLE total (rows INTEGER)")
        made.execute("CREATE TABLE scratch (text TEXT)")
        made.execute("CREATE INDEX by_text ON ledger (text)")
        made.executemany("INSERT INTO ledger VALUES (?, ?)", [(n, "x" * (n % 3000)) for n in range(1, rows + 1)])
        made.execute("INSERT INTO total VALUES (?)", (rows,))
        made.commit()
    return path


@contextmanager
def written_to(path: Path) -> Iterator[Callable[[], int]]:
    """Another process writes as fast as it can; what is yielded waits for one more row, and says its number."""
    with subprocess.Popen([sys.executable, "-c", WRITER, path], stdout=subprocess.PIPE, text=True) as writer:
        assert writer.stdout is not None
        lines = writer.stdout

        def acknowledged() -> int:
            return int(lines.readline())

        try:
            acknowledged()
            yield acknowledged
        finally:
            writer.kill()


def check_ledger(path: Path, *, at_least: int) -> None:
    """It is sound, of one moment, and holds what was acknowledged before the copy began."""
    with closing(sqlite3.connect(path)) as copy:
        assert copy.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        numbers = [number for (number,) in copy.execute("SELECT number FROM ledger ORDER BY number")]
        assert numbers == list(range(1, len(numbers) + 1))
        assert copy.execute("SELECT rows FROM total").fetchone() == (len(numbers),)
        assert len(numbers) >= at_least


def is_sound(path: Path) -> bool:
    try:
        check_ledger(path, at_least=0)
    except (AssertionError, sqlite3.DatabaseError):
        return False
    return True


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["WAL", "DELETE"])
def test_a_copy_under_writes_is_always_sound_and_a_copy_of_the_file_is_not(
    tmp_path: Path, count: Callable[..., int], mode: str
) -> None:
    path, turns = filled(tmp_path / "live.db", rows=3_000, mode=mode), count(bounded=8, soak=100)
    with written_to(path) as acknowledged:
        for turn in range(turns):
            before = acknowledged()
            copied = copy_database(path, tmp_path / f"{turn}.db", began=lambda: None, moved=nothing)
            check_ledger(tmp_path / f"{turn}.db", at_least=before)
            assert copied.database.tables["total"] == 1
            (tmp_path / f"{turn}.db").unlink()
        if mode == "WAL":
            assert any(not is_sound(shutil.copyfile(path, tmp_path / f"naive-{n}.db")) for n in range(50 * turns)), (
                "the trap did not close: the copies of the file were all sound"
            )


@pytest.mark.slow
def test_a_database_is_restored_with_what_was_acknowledged(world: World) -> None:
    world.kind, world.source = "sqlite", filled(world.root / "letters.db", rows=2_000)
    with written_to(world.source) as acknowledged:
        before = acknowledged()
        made = world.back_up()
        world.restore(world.root / "restored.db")
    check_ledger(world.root / "restored.db", at_least=before)
    assert made.entries == 1
    assert sorted(path.name for path in world.root.glob("restored*")) == ["restored.db"]


def test_mode_and_owner_of_a_database_come_back(world: World) -> None:
    world.kind, world.source = "sqlite", filled(world.root / "letters.db", rows=10)
    world.source.chmod(0o640)
    world.back_up()
    world.restore(world.root / "restored.db")
    found = (world.root / "restored.db").stat()
    assert (found.st_mode & 0o7777, found.st_uid) == (0o640, os.geteuid())


@pytest.mark.parametrize("left", ["-wal", "-journal", "-shm"])
def test_a_journal_that_stands_at_the_place_is_never_applied_to_the_restored_database(world: World, left: str) -> None:
    world.kind, world.source = "sqlite", filled(world.root / "letters.db", rows=10)
    made = world.back_up()
    journal = world.root / f"restored.db{left}"
    journal.write_bytes(b"of another time")
    with pytest.raises(AtpError, match="exists"):
        world.restore(world.root / "restored.db")
    world.restore(world.root / "restored.db", replace=world.root / "restored.db")
    assert not journal.exists()
    assert (world.root / f"restored.db{left}.before-{made.backup}").read_bytes() == b"of another time"
    check_ledger(world.root / "restored.db", at_least=10)


def test_what_is_no_sound_database_is_not_backed_up(tmp_path: Path) -> None:
    into = tmp_path / "copy.db"
    with pytest.raises(MissingError):
        copy_database(tmp_path / "nowhere.db", into, began=lambda: None, moved=nothing)
    (tmp_path / "text.db").write_text("this is no database, however long it is, and it is long" * 100)
    with pytest.raises(MalformedError, match="could not copy"):
        copy_database(tmp_path / "text.db", into, began=lambda: None, moved=nothing)
    path = filled(tmp_path / "corrupt.db", rows=3_000, mode="DELETE")
    with path.open("r+b") as file:
        file.seek(path.stat().st_size // 2)
        file.write(os.urandom(20_000))
    with pytest.raises(TamperedError):
        copy_database(path, tmp_path / "other.db", began=lambda: None, moved=nothing)


def test_another_database_is_not_accepted(tmp_path: Path) -> None:
    expected = inspect_database(filled(tmp_path / "a.db", rows=10))
    with pytest.raises(TamperedError, match="10"):
        check_database(filled(tmp_path / "b.db", rows=9), expected)
    with closing(sqlite3.connect(tmp_path / "a.db")) as changed:
        changed.execute("DROP INDEX by_text")
    with pytest.raises(TamperedError, match="schema"):
        check_database(tmp_path / "a.db", expected)
