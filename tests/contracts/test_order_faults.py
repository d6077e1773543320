"""The order on SQLite when the world fails: kill -9, full and read-only disks, lost files, flipped bytes."""

import re
import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path
from random import Random

import pytest

from atp.adapters.sqlite import open_order
from atp.errors import AtpError, TamperedError, UnavailableError
from atp.ports.event_store import Batch, Swap
from tests.contracts.keepers import batch, batch_of, check_whole, entry, event_id, filled, log
from tests.contracts.machine import killed_after, small_disk

ROOT = Path(__file__).resolve().parents[2]


def checkpointed(directory: Path, *sizes: int) -> int:
    """A closed store whose log `acme` has batches of these sizes, all under a checkpoint; its size."""
    store = open_order(directory, ids_in_memory_max=20)
    filled(store, "acme", *sizes)
    size = store.size("acme")
    store.swap_checkpoints([Swap("acme", None, b"note", size)])
    store.close()
    return size


def execute(directory: Path, statement: str, *values: object) -> None:
    connection = sqlite3.connect(directory / "order.db")
    with connection:
        assert connection.execute(statement, values).rowcount == 1
    connection.close()


def check_hinted(error: pytest.ExceptionInfo[AtpError], words: str) -> None:
    assert re.search(r"^could not .*: .* \(hint: .*\)$", str(error.value)), str(error.value)
    assert words in str(error.value)


def test_a_killed_writer_loses_nothing_that_it_acknowledged(
    tmp_path: Path, rng: Random, count: Callable[..., int]
) -> None:
    store = open_order(tmp_path)
    store.create_log(log("acme"))
    store.close()
    for _ in range(count(bounded=3, soak=100)):
        printed = killed_after(rng.randrange(1, 120), ["-m", "tests.contracts.endless_writer", str(tmp_path)])
        store = open_order(tmp_path, ids_in_memory_max=50)
        assert not store.is_missing_ids()
        assert store.size("acme") >= int(printed[-1])
        check_whole(store, "acme", size=store.size("acme"))
        store.close()


def test_a_second_process_is_refused(tmp_path: Path) -> None:
    store = open_order(tmp_path)
    with pytest.raises(UnavailableError) as error:
        open_order(tmp_path)
    check_hinted(error, "another process")
    store.close()
    open_order(tmp_path).close()


def test_a_closed_store_says_so(tmp_path: Path) -> None:
    store = open_order(tmp_path)
    filled(store, "acme", 1)
    store.close()
    store.close()
    for _ in range(2):
        with pytest.raises(UnavailableError) as error:
            store.read("acme", start=0, stop=1)
        check_hinted(error, "closed")
        with pytest.raises(UnavailableError):
            store.append([batch("acme", 1, 1)], {})


@pytest.mark.parametrize("blob", ["entries", "leaves", "ids"])
def test_a_flipped_byte_is_named_by_the_first_index_of_its_batch(tmp_path: Path, blob: str, rng: Random) -> None:
    checkpointed(tmp_path, *[10] * 9)
    connection = sqlite3.connect(tmp_path / "order.db")
    ((stored,),) = connection.execute(f"SELECT {blob} FROM batch WHERE first = 30")
    connection.close()
    damaged = bytearray(stored)
    damaged[rng.randrange(len(damaged))] ^= 1 << rng.randrange(8)
    execute(tmp_path, f"UPDATE batch SET {blob} = ? WHERE first = 30", bytes(damaged))
    store = open_order(tmp_path)
    assert store.read("acme", start=0, stop=30) == [entry("acme", k) for k in range(30)]
    with pytest.raises(TamperedError) as error:
        store.read("acme", start=25, stop=90)
    check_hinted(error, "entry 30 of log 'acme'")
    store.close()


def test_a_flipped_byte_of_the_newest_batch_stops_the_opening(tmp_path: Path) -> None:
    store = open_order(tmp_path)
    filled(store, "acme", 10, 10)
    store.close()
    execute(tmp_path, "UPDATE batch SET ids = zeroblob(80) WHERE first = 10")
    with pytest.raises(TamperedError) as error:
        open_order(tmp_path)
    check_hinted(error, "entry 10 of log 'acme'")


@pytest.mark.parametrize(
    ("statement", "index"),
    [
        ("DELETE FROM batch WHERE first = 30", 30),
        ("UPDATE batch SET count = 9 WHERE first = 30", 30),
        ("UPDATE batch SET first = 31 WHERE first = 30", 30),
    ],
)
def test_a_row_that_was_taken_or_moved_is_noticed(tmp_path: Path, statement: str, index: int) -> None:
    size = checkpointed(tmp_path, *[10] * 9)
    execute(tmp_path, statement)
    store = open_order(tmp_path)
    with pytest.raises(TamperedError) as error:
        store.read("acme", start=0, stop=size)
    check_hinted(error, f"entry {index} of log 'acme'")
    store.close()


def test_a_file_that_is_no_database_is_named(tmp_path: Path) -> None:
    checkpointed(tmp_path, 10)
    (tmp_path / "order.db").write_bytes(b"not a database, but long enough to look like one" * 100)
    with pytest.raises(TamperedError) as error:
        open_order(tmp_path)
    check_hinted(error, "order.db")


def test_a_directory_that_is_a_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("a file")
    with pytest.raises(UnavailableError) as error:
        open_order(tmp_path / "data")
    check_hinted(error, "data")


def test_another_version_of_the_schema_is_left_alone(tmp_path: Path) -> None:
    checkpointed(tmp_path, 10)
    execute(tmp_path, "UPDATE meta SET value = 3 WHERE key = 'schema'")
    with pytest.raises(UnavailableError) as error:
        open_order(tmp_path)
    check_hinted(error, "schema")


def trimmed_with_runs(directory: Path) -> tuple[int, list[Path]]:
    """A closed store whose old batches are gone and whose ids lie in several runs."""
    store = open_order(directory, ids_in_memory_max=10)
    filled(store, "acme", 100, 20, 4, 4)  # the last two lie in one run
    store.swap_checkpoints([Swap("acme", None, b"note", 128)])
    store.trim({"acme": 128})
    store.close()
    return 128, sorted((directory / "ids").glob("*.ids"))


def test_ids_survive_in_runs_when_their_batches_are_trimmed(tmp_path: Path) -> None:
    size, runs = trimmed_with_runs(tmp_path)
    assert len(runs) > 1
    store = open_order(tmp_path)
    assert not store.is_missing_ids()
    assert store.held_from("acme") == 124
    check_whole(store, "acme", size=size)
    store.close()


def lose(run: Path, rng: Random) -> None:
    run.unlink()


def flip(run: Path, rng: Random) -> None:
    data = bytearray(run.read_bytes())
    header_bytes_used = 44  # the last 20 of 64 are padding
    data[rng.choice([rng.randrange(header_bytes_used), rng.randrange(64, len(data))])] ^= 1 << rng.randrange(8)
    run.write_bytes(data)


def cut(run: Path, rng: Random) -> None:
    data = run.read_bytes()
    run.write_bytes(data[: rng.randrange(len(data))])


@pytest.mark.parametrize("damage", [lose, flip, cut])
@pytest.mark.parametrize("place", [0, -1])
def test_a_damaged_run_of_ids_is_noticed_and_learnt_again(
    tmp_path: Path, damage: Callable[[Path, Random], None], place: int, rng: Random
) -> None:
    size, runs = trimmed_with_runs(tmp_path)
    damage(runs[place], rng)
    store = open_order(tmp_path)
    assert store.is_missing_ids()
    with pytest.raises(UnavailableError) as error:
        store.find("acme", ["any"])
    check_hinted(error, "rebuild")
    store.learn_ids([("acme", 0, [event_id("acme", k) for k in range(size)])])
    assert not store.is_missing_ids()
    check_whole(store, "acme", size=size)
    store.append([batch("acme", size, 5)], {})
    store.close()
    store = open_order(tmp_path)
    assert not store.is_missing_ids()
    check_whole(store, "acme", size=size + 5)
    store.close()


def test_leftovers_of_a_crash_among_the_runs_are_removed(tmp_path: Path) -> None:
    size, _ = trimmed_with_runs(tmp_path)
    leftover = tmp_path / "ids" / "00000000000000000009-00000000000000000010.tmp"
    leftover.write_bytes(b"half")
    (tmp_path / "ids" / "rebuild").mkdir()
    (tmp_path / "ids" / "rebuild" / "part.ids").write_bytes(b"half")
    store = open_order(tmp_path)
    check_whole(store, "acme", size=size)
    assert not leftover.exists()
    store.learn_ids([("acme", 0, [event_id("acme", k) for k in range(size)])])
    check_whole(store, "acme", size=size)
    assert len(list((tmp_path / "ids").iterdir())) == 1
    store.close()


def test_a_full_disk_refuses_and_an_emptied_one_goes_on(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", megabytes=8) as disk:
        store = open_order(disk.path / "data", ids_in_memory_max=50)
        filled(store, "acme", 30)
        disk.fill()
        with pytest.raises(UnavailableError) as error:
            for _ in range(100):
                store.append([big(store.size("acme"))], {})
        check_hinted(error, "make room on")
        size = store.size("acme")
        assert len(store.read("acme", start=0, stop=size + 1)) == size
        assert event_id("acme", size) not in store.find("acme", [event_id("acme", size)])
        disk.free()
        store.append([big(size)], {})
        store.close()
        store = open_order(disk.path / "data")
        assert store.size("acme") == size + 1
        assert store.read("acme", start=0, stop=30) == [entry("acme", k) for k in range(30)]
        assert store.read("acme", start=size, stop=size + 1) == [b"x" * 60_000]
        store.close()


def big(index: int) -> Batch:
    return batch_of("acme", index, [b"x" * 60_000], [event_id("acme", index)])


def test_a_commit_that_was_kept_though_it_failed_is_seen_by_the_next_call(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", megabytes=8) as disk:
        checkpointed(disk.path / "data", 30)
        shutil.copytree(disk.path / "data", tmp_path / "twin")
        kept = open_order(tmp_path / "twin")
        kept.append([batch("acme", 30, 7)], {})
        kept.close()
        store = open_order(disk.path / "data")
        disk.fill()
        with pytest.raises(UnavailableError):
            store.append([batch_of("acme", 30, [b"x" * 60_000] * 150, ["never"] * 150)], {})
        disk.free()
        connection = sqlite3.connect(disk.path / "data" / "order.db", isolation_level=None)
        connection.execute("ATTACH ? AS twin", (str(tmp_path / "twin" / "order.db"),))
        connection.execute("INSERT INTO batch SELECT * FROM twin.batch WHERE first = 30")
        connection.close()
        check_whole(store, "acme", size=37)
        store.append([batch("acme", 37, 1)], {})
        check_whole(store, "acme", size=38)
        store.close()


def test_a_full_disk_loses_no_id(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", megabytes=8) as disk:
        store = open_order(disk.path / "data", ids_in_memory_max=10_000)
        filled(store, "acme", 300, 300, 300)
        store.swap_checkpoints([Swap("acme", None, b"note", 900)])
        disk.fill()
        with pytest.raises(UnavailableError) as error:
            store.trim({"acme": 900})
        check_hinted(error, "make room on")
        check_whole(store, "acme", size=900)
        disk.free()
        store.trim({"acme": 900})
        assert store.held_from("acme") == 600
        check_whole(store, "acme", size=900)
        store.close()


def test_a_read_only_disk_is_named(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", megabytes=8) as disk:
        checkpointed(disk.path / "data", 10)
        disk.set_writable(False)
        with pytest.raises(UnavailableError) as error:
            open_order(disk.path / "data")
        check_hinted(error, "disk")
        disk.set_writable(True)
        store = open_order(disk.path / "data")
        check_whole(store, "acme", size=10)
        store.close()
