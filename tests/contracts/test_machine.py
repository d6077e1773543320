"""What every Machine keeps: one key, and lines that survive whatever happens to the process that adds them."""

import subprocess
import sys
import threading
from pathlib import Path

import pytest

from atp.adapters.machine import FileMachine
from atp.errors import UnavailableError
from atp.ports.machine import Machine
from tests.contracts.keepers import Keeper
from tests.contracts.machine import killed_after, small_disk

Keepers = Keeper[Machine]
SPOOLING = str(Path(__file__).with_name("spooling.py"))


def add(machine: Machine, *lines: bytes) -> None:
    with machine.hold() as held:
        for line in lines:
            held.add(line)


def test_a_key_is_drawn_once(machines: Keepers) -> None:
    machine = machines.open()
    assert machine.secret(lambda: "first") == "first"
    assert machine.secret(lambda: "second") == "first"
    assert machines.open().secret(lambda: "third") == "first"


def test_two_that_ask_first_at_once_get_one_key(machines: Keepers) -> None:
    openers = [machines.open() for _ in range(8)]
    got = list[str]()
    threads = [threading.Thread(target=lambda k=k: got.append(openers[k].secret(lambda: f"key-{k}"))) for k in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(got) == 8 and len(set(got)) == 1


def test_a_new_machine_has_no_lines(machines: Keepers) -> None:
    machine = machines.open()
    assert machine.lines() == []
    with machine.hold() as held:
        assert (held.lines(), held.torn_bytes()) == ([], 0)


def test_lines_come_back_in_their_order(machines: Keepers) -> None:
    machine = machines.open()
    add(machine, b"one", b"two")
    add(machine, b"thr\xc3\xa9e")
    assert machine.lines() == machines.open().lines() == [b"one", b"two", b"thr\xc3\xa9e"]
    with machine.hold() as held:
        held.add(b"four")
        assert held.lines() == [b"one", b"two", b"thr\xc3\xa9e", b"four"]


def test_lines_are_replaced_whole_and_added_to_afterwards(machines: Keepers) -> None:
    machine = machines.open()
    add(machine, b"one", b"two")
    with machine.hold() as held:
        held.replace([b"three"])
        held.add(b"four")
        assert held.lines() == [b"three", b"four"]
    assert machines.open().lines() == [b"three", b"four"]
    with machine.hold() as held:
        held.replace([])
    assert machine.lines() == []


@pytest.mark.parametrize("line", [b"", b"one\ntwo", b"\n"])
def test_what_is_not_one_line_is_a_bug(machines: Keepers, line: bytes) -> None:
    machine = machines.open()
    with machine.hold() as held:
        with pytest.raises(ValueError):
            held.add(line)
        with pytest.raises(ValueError):
            held.replace([line])
    assert machine.lines() == []


def test_one_holds_while_others_wait(machines: Keepers) -> None:
    machine, other = machines.open(), machines.open()
    began, order = threading.Event(), list[str]()

    def add_later() -> None:
        began.wait()
        add(other, b"second")
        order.append("second")

    thread = threading.Thread(target=add_later)
    thread.start()
    with machine.hold() as held:
        began.set()
        thread.join(0.2)
        assert thread.is_alive()
        held.add(b"first")
        order.append("first")
    thread.join()
    assert (machine.lines(), order) == ([b"first", b"second"], ["first", "second"])


def test_files_belong_to_their_owner_alone(tmp_path: Path) -> None:
    machine = FileMachine(tmp_path / "m")
    machine.secret(lambda: "key")
    add(machine, b"one")
    with machine.hold() as held:
        held.replace([b"one"])
    modes = {path.name: path.stat().st_mode & 0o777 for path in (tmp_path / "m").iterdir()}
    assert modes == {"machine.key": 0o600, "lines": 0o600, "lock": 0o600}
    assert (tmp_path / "m").stat().st_mode & 0o777 == 0o700
    (tmp_path / "m" / "machine.key").chmod(0o640)
    with pytest.raises(UnavailableError, match=r"^could not read .*machine.key.*\(hint: chmod go= "):
        machine.secret(lambda: "other")


def test_a_file_that_was_cut_anywhere_has_its_whole_lines(tmp_path: Path) -> None:
    machine = FileMachine(tmp_path / "m")
    added = [b"one", b"two two", b"three"]
    add(machine, *added)
    path = tmp_path / "m" / "lines"
    data = path.read_bytes()
    for length in range(len(data) + 1):
        path.write_bytes(data[:length])
        whole = data[:length].count(b"\n")
        torn = length - sum(len(line) + 1 for line in added[:whole])
        assert machine.lines() == added[:whole]
        with machine.hold() as held:
            assert (held.lines(), held.torn_bytes()) == (added[:whole], torn)
            held.add(b"after")
        with machine.hold() as held:
            assert (held.lines(), held.torn_bytes()) == ([*added[:whole], b"after"], 0)


@pytest.mark.slow
def test_what_was_acknowledged_survives_a_kill(tmp_path: Path) -> None:
    number = 0
    for kill in range(5):
        said = killed_after(20 + 7 * kill, [SPOOLING, str(tmp_path / "m"), str(number)])
        with FileMachine(tmp_path / "m").hold() as held:
            lines = held.lines()
        numbers = [int(line.split(b" ")[0]) for line in lines]
        assert numbers == list(range(len(numbers)))
        assert int(said[-1]) + 1 <= len(numbers) <= int(said[-1]) + 2
        assert all(line == b"%d " % n + b"x" * (n % 700) for n, line in enumerate(lines))
        number = len(numbers)


@pytest.mark.slow
def test_two_processes_share_one_spool(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, SPOOLING, str(tmp_path / "m"), "1000000"], stdout=subprocess.PIPE, text=True
    ) as other:
        said = killed_after(50, [SPOOLING, str(tmp_path / "m")])
        other.kill()
        assert other.stdout is not None
        others = [int(line) for line in other.stdout if line.endswith("\n")]
    with FileMachine(tmp_path / "m").hold() as held:
        numbers = [int(line.split(b" ")[0]) for line in held.lines()]
    assert {*map(int, said), *others} <= set(numbers)
    assert len(set(numbers)) == len(numbers) <= len(said) + len(others) + 2


def test_a_full_disk_refuses_and_keeps_what_was_there(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", megabytes=1) as disk:
        machine = FileMachine(disk.path / "m")
        machine.secret(lambda: "key")
        add(machine, b"one")
        disk.fill()
        with machine.hold() as held:
            with pytest.raises(UnavailableError, match=r"^could not write .*No space"):
                held.add(b"x" * 100_000)
            with pytest.raises(UnavailableError, match=r"^could not write .*No space"):
                held.replace([b"y" * 100_000])
            assert held.lines() == [b"one"]
        assert machine.lines() == [b"one"]
        assert sorted(path.name for path in (disk.path / "m").iterdir()) == ["lines", "lock", "machine.key"]
        disk.free()
        add(machine, b"two")
        assert machine.lines() == [b"one", b"two"]


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(UnavailableError, match=r"^could not hold .*/file/m"), FileMachine(tmp_path / "file/m").hold():
        pass
