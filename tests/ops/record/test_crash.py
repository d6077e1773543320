"""Whatever dies, and wherever: what was acknowledged is told, nothing is invented, and each event counts once."""

import os
import subprocess
import sys
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from atp.adapters.machine import FileMachine
from atp.client import Client, Reply
from atp.errors import UnavailableError
from atp.ops.record.act import Told, fold_all
from atp.ops.record.deliver import deliver
from atp.ops.record.spool import check_spool, verify_spool
from atp.tenants.names import OPERATIONS
from atp.verify.directory import check_data_directory
from atp.verify.options import Options
from tests.contracts.machine import killed_after, small_disk
from tests.ops.acting import act_event, spool_on
from tests.ops.desk import Desk, acts_in, told_by
from tests.tidy.sources import ROOT
from tests.web.serving import Served, serving

ACTING_ON = str(Path(__file__).with_name("acting_on.py"))


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    data = tmp_path_factory.mktemp("crash") / "data"
    with serving(data) as running:
        yield running
    assert not check_data_directory(data, Options()).is_tampered


def test_a_spool_cut_at_any_byte_tells_a_prefix_of_what_was_acknowledged(tmp_path: Path) -> None:
    spool = spool_on(FileMachine(tmp_path / "m"), tmp_path)
    for number in range(3):
        spool.add(act_event(number))
    path, lines = tmp_path / "m" / "lines", spool.lines()
    data = path.read_bytes()
    for length in range(len(data) + 1):
        path.write_bytes(data[:length])
        assert spool.lines() == lines[: data[:length].count(b"\n")]
        assert verify_spool(spool.lines()).fault is None
        if length % 17 == 0:
            said = list[object]()
            spool_on(FileMachine(tmp_path / "m"), tmp_path, said).add(act_event(9))
            assert verify_spool(spool.lines()).fault is None
            assert spool.lines()[: data[:length].count(b"\n")] == lines[: data[:length].count(b"\n")]
            is_torn = length not in {0, *_ends(lines)}
            assert ["cut off the spool" in str(words) for words in said] == [True] * is_torn


@pytest.mark.slow
def test_what_was_acknowledged_before_a_kill_is_told_and_nothing_else(tmp_path: Path) -> None:
    os.environ["PYTHONPATH"] = str(ROOT)
    said = list[str]()
    for life in range(4):
        said += killed_after(15 + 8 * life, [ACTING_ON, str(tmp_path)])
        records = check_spool(FileMachine(tmp_path / "spool").lines())
    told = [f"{data['act']} {data['step']} {data['phase']}" for data in _steps(records[1:])]
    acknowledged = set(said)
    assert acknowledged <= set(told) and len(set(told)) == len(told)
    assert len(told) - len(acknowledged) <= 4, "one event a life may be durable and not yet said"
    for act in fold_all(Told(record.event) for record in records).values():
        assert act.remarks == () and len(act.unknown_steps) <= 1


@pytest.mark.slow
def test_two_terminals_share_one_spool(tmp_path: Path) -> None:
    os.environ["PYTHONPATH"] = str(ROOT)
    with subprocess.Popen([sys.executable, ACTING_ON, str(tmp_path)], stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        said = [other.stdout.readline().strip()]
        said += killed_after(60, [ACTING_ON, str(tmp_path)])
        other.kill()
        said += [line.strip() for line in other.stdout if line.endswith("\n")]
    records = check_spool(FileMachine(tmp_path / "spool").lines())
    by_act = defaultdict[str, list[str]](list)
    for data in _steps(records[1:]):
        by_act[data["act"]].append(f"{data['act']} {data['step']} {data['phase']}")
    assert len(by_act) == 2 and set(said) <= {line for lines in by_act.values() for line in lines}
    assert all(act.remarks == () for act in fold_all(Told(record.event) for record in records).values())


def test_a_full_disk_refuses_the_act_and_keeps_what_waits(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", megabytes=1) as disk:
        desk = Desk(disk.path / "desk", "http://127.0.0.1:1")
        recording = desk.begin(None)
        disk.fill()
        with pytest.raises(UnavailableError, match="no evidence, no act"):
            for number in range(100):
                recording.intend(f"s-{number}", {"text": "x" * 4_000})
                recording.outcome(f"s-{number}")
        before = check_spool(desk.spool().lines())
        disk.free()
        recording.end("done") if not recording.act.unknown_steps else recording.failed(
            recording.act.unknown_steps[0].name, "no space"
        )
        assert len(check_spool(desk.spool().lines())) == len(before) + 1


def test_a_full_disk_here_is_no_reason_to_refuse_while_the_server_answers(tmp_path: Path, served: Served) -> None:
    with small_disk(tmp_path / "disk", megabytes=1) as disk:
        desk = Desk(disk.path / "desk", served.url)
        with Client(served.url, key=served.key, tries=1) as client:
            desk.begin(client)
            desk.begin(None)
            disk.fill()
            recording = desk.begin(client)
            recording.end("done")
            disk.free()
            assert deliver(desk.spool(), client, desk.memory) in (0, 1)
        assert desk.spool().waiting() == []


class Lossy(Client):
    """A client whose calls fail by plan: before they are sent, or after, when the answer is lost."""

    def __init__(self, served: Served, plan: Callable[[], str]) -> None:
        super().__init__(served.url, key=served.key, tries=1)
        self._plan = plan

    def request(self, method: str, path: str, **given: Any) -> Reply:
        fate = self._plan()
        if fate == "unreached":
            raise UnavailableError("could not reach it: the plan says so")
        reply = super().request(method, path, **given)
        if fate == "lost":
            raise UnavailableError("could not reach it: the answer was lost")
        return reply


@pytest.mark.slow
@settings(max_examples=25)
@given(st.lists(st.sampled_from(["answered", "answered", "unreached", "lost"]), max_size=60))
def test_whatever_fails_each_event_counts_once_and_in_order(
    served: Served, tmp_path_factory: pytest.TempPathFactory, fates: list[str]
) -> None:
    desk = Desk(tmp_path_factory.mktemp("desk"), served.url)
    planned = iter(fates)
    with Lossy(served, lambda: next(planned, "answered")) as client:
        recording = desk.begin(client)
        for number in range(5):
            recording.intend(f"s-{number}")
            recording.outcome(f"s-{number}")
        recording.end("done")
    with Client(served.url, key=served.key, tries=1) as client:
        deliver(desk.spool(), client, desk.memory)
    assert desk.spool().waiting() == []
    size = served.platform.stores.events.size(OPERATIONS)
    told = told_by(served.platform.reader(OPERATIONS, by=served.root), size)
    act = acts_in(told)[recording.act.id]
    assert act.remarks == () and act.state == "done"
    assert [(step.name, step.state, step.attempts) for step in act.steps.values()] == [
        (f"s-{number}", "done", 1) for number in range(5)
    ]
    ids = [one.event.id for one in told]
    assert len(set(ids)) == len(ids)


def _steps(records: list[Any]) -> Iterator[dict[str, str]]:
    for record in records:
        data = msgspec.json.decode(record.event.data, type=dict[str, Any])
        if "step" in data:
            yield data


def _ends(lines: list[bytes]) -> list[int]:
    ends, at = list[int](), 0
    for line in lines:
        at += len(line) + 1
        ends.append(at)
    return ends
