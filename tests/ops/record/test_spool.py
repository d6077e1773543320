"""The spool is a chain: a gap, a change, another order and a foreign signature are found, and the record is named."""

import threading
from pathlib import Path

import msgspec
import pytest

from atp.adapters.memory_machine import MemoryMachine
from atp.errors import TamperedError, TooLargeError, UnavailableError
from atp.limits import SPOOL_LINES_MAX
from atp.log.event import prepare
from atp.merkle.checkpoints import Checkpoint, sign_checkpoint
from atp.merkle.hashes import EMPTY_ROOT
from atp.merkle.keys import SigningKey
from atp.ops.record.spool import BEGIN, NO_PREVIOUS, check_spool, read_record, spool_line, verify_spool
from atp.verify.remember import Memory
from tests.ops.acting import act_event, memory_spool, spool_on

ORIGIN = "example.org/operations"
KEY = SigningKey.from_seed(bytes(32), name=ORIGIN)


def spooled(folder: Path, count: int, *, seed: int = 0) -> list[bytes]:
    """A spool of so many records behind its beginning."""
    spool = memory_spool(folder, seed=seed)
    for number in range(count):
        spool.add(act_event(number))
    return spool.lines()


def note(size: int) -> bytes:
    root = EMPTY_ROOT if size == 0 else bytes([size]) * 32
    return sign_checkpoint(Checkpoint(ORIGIN, size, root), KEY)


def test_a_spool_begins_with_the_key_and_numbers_its_records(tmp_path: Path) -> None:
    lines = spooled(tmp_path, 3)
    records = check_spool(lines)
    assert [record.link.number for record in records] == [0, 1, 2, 3]
    assert [record.event.action for record in records] == [BEGIN, *["backup.run"] * 3]
    assert records[0].link.previous == NO_PREVIOUS and records[0].link.checkpoint is None
    assert [record.event.id for record in records] == [f"spool.{records[0].link.machine}.{n}" for n in range(4)]
    assert verify_spool(lines, vkey=records[0].vkey).fault is None


def test_a_line_is_the_event_as_the_log_will_hold_it(tmp_path: Path) -> None:
    for line in spooled(tmp_path, 2):
        assert prepare(line).body == line


def test_a_gap_is_found(tmp_path: Path) -> None:
    lines = spooled(tmp_path, 5)
    for missing in range(1, 5):
        report = verify_spool(lines[:missing] + lines[missing + 1 :])
        assert report.fault is not None
        assert (report.fault.position, report.fault.number, report.whole) == (missing, missing, missing)
        assert f"number {missing + 1} stands behind {missing - 1}" in report.fault.reason
    report = verify_spool(lines[1:])
    assert report.fault is not None and "its beginning is missing" in report.fault.reason


def test_any_change_is_found_and_named(tmp_path: Path) -> None:
    lines = spooled(tmp_path, 3)
    for position, line in enumerate(lines):
        for at in range(0, len(line), 7):
            changed = line[:at] + bytes([line[at] ^ 1]) + line[at + 1 :]
            report = verify_spool([*lines[:position], changed, *lines[position + 1 :]])
            assert report.fault is not None, (position, at)
            assert report.fault.position == position, (position, at)


def test_another_order_and_a_repeat_are_found(tmp_path: Path) -> None:
    lines = spooled(tmp_path, 3)
    for wrong in ([0, 2, 1, 3], [0, 1, 3, 2], [0, 1, 1, 2, 3], [1, 0, 2, 3], [0, 0, 1, 2, 3]):
        report = verify_spool([lines[n] for n in wrong])
        assert report.fault is not None
        assert report.fault.position == next(k for k, n in enumerate(wrong) if n != k)


def test_a_foreign_record_and_a_foreign_spool_are_found(tmp_path: Path) -> None:
    lines, others = spooled(tmp_path, 3), spooled(tmp_path, 3, seed=1)
    report = verify_spool([*lines[:2], others[2], lines[3]])
    assert report.fault is not None and report.fault.position == 2 and "another id" in report.fault.reason
    with pytest.raises(TamperedError, match=r"line 1: .*the key of another machine.*\(hint: put its folder aside"):
        check_spool(others, vkey=read_record(lines[0]).vkey)


def test_one_who_signs_with_another_key_under_the_same_name_is_found(tmp_path: Path) -> None:
    lines = spooled(tmp_path, 1)
    record = read_record(lines[1])
    forged = SigningKey.from_seed(b"f" * 32, name=record.link.machine)
    data = msgspec.Raw(b'{"act":"a-1","step":"s-0","phase":"done"}')
    link = msgspec.structs.replace(record.link, signature=msgspec.UNSET)
    line = spool_line(msgspec.structs.replace(record.event, data=data), link, forged)
    report = verify_spool([lines[0], line])
    assert report.fault is not None and "signed by another key" in report.fault.reason


def test_a_spool_begins_with_the_newest_checkpoint_that_was_seen(tmp_path: Path) -> None:
    memory, spool = Memory(tmp_path), spool_on(machine := MemoryMachine(), tmp_path)
    memory.remember(note(3))
    spool.see(ORIGIN)
    assert _seen(spool.lines()) == [3]
    memory.remember(note(5))
    spool.add(act_event(0))
    memory.remember(note(7))
    spool.add(act_event(1))
    spool.see(ORIGIN)
    assert _seen(spool.lines()) == [5, 5, 5]
    begun = msgspec.json.decode(read_record(spool.lines()[0]).event.data, type=dict[str, object])
    assert begun["note"] == note(5).decode() and begun["server"] == "http://127.0.0.1:8600"
    assert spool.drop(spool.lines())
    assert _seen(machine.lines()) == [7]
    assert read_record(machine.lines()[0]).link.number == 3


def test_what_came_in_meanwhile_is_not_dropped(tmp_path: Path) -> None:
    spool = memory_spool(tmp_path)
    spool.add(act_event(0))
    delivered = spool.lines()
    spool.add(act_event(1))
    assert not spool.drop(delivered)
    assert spool.lines()[: len(delivered)] == delivered and len(spool.waiting()) == 2


def test_numbers_and_hashes_go_on_over_spools(tmp_path: Path) -> None:
    spool, all_lines = memory_spool(tmp_path), list[bytes]()
    for number in range(3):
        spool.add(act_event(number))
        all_lines += spool.lines()
        assert spool.drop(spool.lines())
    records = [read_record(line) for line in all_lines]
    assert [record.link.number for record in records] == list(range(6))
    assert [record.link.previous for record in records[1:]] == [record.digest for record in records[:-1]]


def test_a_full_spool_and_a_full_disk_refuse(tmp_path: Path) -> None:
    machine = MemoryMachine(room=3)
    spool = spool_on(machine, tmp_path)
    spool.add(act_event(0))
    spool.add(act_event(1))
    with pytest.raises(UnavailableError, match="no room"):
        spool.add(act_event(2))
    assert len(check_spool(spool.lines())) == 3
    machine.room = None
    with machine.hold() as held:
        held.replace([*held.lines()] + [held.lines()[-1]] * SPOOL_LINES_MAX)
    with pytest.raises(UnavailableError, match=r"wait already \(hint: atp spool deliver\)"):
        spool.add(act_event(3))


def test_what_the_server_would_refuse_for_its_size_is_refused_here(tmp_path: Path) -> None:
    spool = memory_spool(tmp_path)
    with pytest.raises(TooLargeError):
        spool.add(act_event(0, text="x" * 65_000))
    assert spool.waiting() == []


def test_nothing_is_added_behind_a_foreign_line(tmp_path: Path) -> None:
    machine = MemoryMachine()
    spool = spool_on(machine, tmp_path)
    spool.add(act_event(0))
    foreign = spooled(tmp_path, 1, seed=1)
    with machine.hold() as held:
        held.add(foreign[1])
    with pytest.raises(TamperedError, match="not signed by this machine"):
        spool.add(act_event(1))


def test_threads_share_one_spool(tmp_path: Path) -> None:
    machine = MemoryMachine()

    def act(name: int) -> None:
        spool = spool_on(machine, tmp_path)
        for number in range(20):
            spool.add(act_event(number, act=f"a-{name}"))

    threads = [threading.Thread(target=act, args=(name,)) for name in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(check_spool(machine.lines())) == 81


def _seen(lines: list[bytes]) -> list[int | None]:
    return [record.link.checkpoint.size if record.link.checkpoint else None for record in check_spool(lines)]
