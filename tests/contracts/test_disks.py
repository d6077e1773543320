"""A disk that refuses is named, with what is left on it, whoever wanted to write there."""

import re
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest

from atp.adapters.directory import DirectoryRepository
from atp.adapters.filesystem import FilesystemObjectStore
from atp.adapters.keyfile import FileKeyStore
from atp.adapters.machine import FileMachine
from atp.adapters.memory import FrozenClock
from atp.adapters.sqlite import open_order
from atp.errors import UnavailableError
from atp.ops.backups.act.kinds.trail.shipped import Shipped, ShippedLog, write_shipped
from atp.ops.backups.act.workplace import workplace
from atp.ops.drills.act.keeping import Keep
from atp.ops.drills.act.scratch import scratch
from tests.contracts.keepers import filled
from tests.contracts.machine import SmallDisk, small_disk

SHIPPED = Shipped(
    series="0" * 16, number=1, covers=datetime(2026, 11, 26, tzinfo=UTC), state="", logs={"acme": ShippedLog("acme", 1)}
)
Write = Callable[[], object]


def repository(place: Path) -> Write:
    opened = DirectoryRepository(place, clock=FrozenClock())

    def write() -> None:
        with opened.store("ledger/one") as sink:
            sink.write(bytes(1_000_000))

    return write


def objects(place: Path) -> Write:
    store = FilesystemObjectStore(place)
    return lambda: store.put({"one": bytes(1_000_000)})


def keys(place: Path) -> Write:
    store = FileKeyStore(place)
    return lambda: store.put_evidence_key("k" * 100_000)


def spool(place: Path) -> Write:
    machine = FileMachine(place)

    def write() -> None:
        with machine.hold() as held:
            held.add(b"x" * 100_000)

    with machine.hold() as held:
        held.add(b"there")
    return write


def order(place: Path) -> Write:
    store = open_order(place)
    filled(store, "acme", 1)

    def write() -> None:
        with closing(store):
            for number in range(10_000):
                filled(store, f"acme-{number}", 50)

    return write


def room(place: Path) -> Write:
    def write() -> None:
        with workplace("ledger", below=place) as made:
            made.begin("20261126T000000Z-0123456789ab")

    return write


def followed(place: Path) -> Write:
    return lambda: write_shipped(place / "shipped.json", SHIPPED)


def statements(place: Path) -> Write:
    return lambda: Keep(place).keep(1, bytes(100_000))


def drill(place: Path) -> Write:
    def write() -> None:
        with scratch(place, act="act", dataset="ledger", clock=FrozenClock()):
            pass

    return write


WRITERS = (repository, objects, keys, spool, order, room, followed, statements, drill)


@pytest.mark.parametrize("writer", WRITERS)
def test_a_full_disk_is_named_with_what_is_left_on_it(tmp_path: Path, writer: Callable[[Path], Write]) -> None:
    with small_disk(tmp_path / "disk", megabytes=2) as disk:
        write = writer(disk.path)
        disk.fill()
        said = refused(write)
        assert f"(hint: make room on {disk.path} (0.0 of 2.0 MiB are free" in said, said


@pytest.mark.parametrize("writer", [one for one in WRITERS if one not in (order, spool)])
def test_a_disk_that_may_only_be_read_is_named(tmp_path: Path, writer: Callable[[Path], Write]) -> None:
    with small_disk(tmp_path / "disk", megabytes=2) as disk:
        write = writer(disk.path)
        disk.set_writable(False)
        said = refused(write)
        assert f"(hint: mount {disk.path} for writing" in said, said


def test_a_disk_without_room_for_more_files_says_that(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", megabytes=2) as disk:
        write = repository(disk.path)
        disk.limit_files(8)
        for number in range(8):
            if not more(disk, number):
                break
        assert "no more files can be made" in refused(write)


def more(disk: SmallDisk, number: int) -> bool:
    try:
        (disk.path / f"file-{number}").touch()
    except OSError:
        return False
    return True


def refused(write: Write) -> str:
    with pytest.raises(UnavailableError, match=r"^could not .*: .*\(hint: ") as error:
        write()
    return re.sub(r"\s+", " ", str(error.value))
