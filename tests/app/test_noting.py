"""Every new checkpoint is known to the operators' log within a minute: once, also over a restart, and never idly."""

from collections.abc import Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import msgspec
import pytest

from atp.adapters.memory import FrozenClock
from atp.adapters.memory_models import MemoryReadModels
from atp.app.noting import NOTED, STATE_KEY, Noting
from atp.app.pipeline import Stores
from atp.errors import UnavailableError
from atp.limits import ENTRY_BYTES_MAX, NOTED_SECONDS, NOTED_STEP_ENTRIES
from atp.log.append import Outcome, Request
from atp.log.event import Event, prepare_event, read_event
from atp.log.reader import read_checkpoint
from atp.merkle.encodings import parse_base64
from atp.tenants.names import OPERATIONS
from atp.verify.directory import check_data_directory
from atp.verify.options import Options
from tests.app.opened import ROOT, record, running, told, until
from tests.world import World, raw_event


class Trail:
    """A world of two tenants with an operators' log, and what notes their checkpoints there."""

    def __init__(self) -> None:
        self.world = World()
        self.world.add(OPERATIONS)
        self.stores = Stores(self.world.events, self.world.objects, MemoryReadModels(), self.world.keys)
        self.is_denied = False
        self.noting = self.restarted()

    def restarted(self) -> Noting:
        """A new life of the process on the same keepers."""
        self.noting = Noting(
            self.stores,
            logs=self.world.events.logs,
            reader=self.world.reader(OPERATIONS),
            record=self.record,
            now=lambda: "2026-01-01T00:00:00.000000Z",
            clock=self.world.clock,
        )
        return self.noting

    def record(self, events: Sequence[Event]) -> "Future[Outcome]":
        (outcome,) = self.world.append(Request(OPERATIONS, "atp", [prepare_event(event) for event in events]))
        done: Future[Outcome] = Future()
        if self.is_denied:
            done.set_exception(UnavailableError("could not write: the disk failed"))
        else:
            assert isinstance(outcome, Outcome)
            done.set_result(outcome)
        return done

    def grow(self, tenant: str, number: int) -> None:
        self.world.record(raw_event(number), tenant=tenant)
        self.world.publish(tenant)

    def minute(self) -> int:
        """Let a minute pass, read on and note; how many checkpoints were noted."""
        self.world.clock.advance(NOTED_SECONDS)
        return self.noting.note_once()

    def notes(self) -> list[dict[str, int]]:
        """Every note that the operators' log holds: sizes by the tenant's name."""
        size = self.world.events.size(OPERATIONS)
        found = []
        for entry in self.world.reader(OPERATIONS).durable(0, size):
            event = read_event(entry)[1]
            if event.action == NOTED:
                data: dict[str, list[dict[str, Any]]] = msgspec.json.decode(event.data)  # type: ignore[call-overload]
                found.append({one["origin"].rpartition("/")[2]: one["size"] for one in data["checkpoints"]})
        return found


def test_all_new_checkpoints_of_a_minute_are_one_entry() -> None:
    trail = Trail()
    trail.grow("acme", 1)
    trail.grow("globex", 1)
    assert trail.noting.note_once() == 0, "the minute is not over"
    assert trail.minute() == 2
    trail.grow("acme", 2)
    trail.grow("acme", 3)
    assert trail.minute() == 1
    assert trail.notes() == [{"acme": 1, "globex": 1}, {"acme": 3}]


def test_a_note_is_what_was_signed(tmp_path: Path) -> None:
    with running(tmp_path, clock=(clock := FrozenClock())) as platform:
        record(platform, range(3))
        signed = read_checkpoint(platform.reader("default", by=ROOT).checkpoint())
        clock.advance(NOTED_SECONDS)
        until(lambda: told(platform, NOTED))
        (note,) = told(platform, NOTED)
    assert note["by"] == note["actor"] == "atp"
    found = {one["origin"]: one for one in note["data"]["checkpoints"]}
    assert parse_base64(found["example.org/default"]["root"]) == signed.root
    assert (found["example.org/default"]["size"], found["example.org/operations"]["size"]) == (3, 1)
    report = check_data_directory(tmp_path, Options())
    assert not report.is_tampered and len(report.logs) == 2


def test_the_trail_does_not_feed_itself() -> None:
    trail = Trail()
    trail.grow(OPERATIONS, 1)
    trail.grow("acme", 1)
    assert trail.minute() == 2
    for _ in range(10):
        trail.world.publish(OPERATIONS)
        assert trail.minute() == 0
    assert trail.notes() == [{"operations": 1, "acme": 1}]
    trail.grow("acme", 2)
    assert trail.minute() == 2
    assert trail.notes()[1] == {"acme": 2, "operations": 2}


@pytest.mark.parametrize("state", ["kept", "lost", "damaged", "of a longer log", "negative"])
def test_a_restart_loses_none_and_repeats_none(state: str) -> None:
    trail = Trail()
    trail.grow("acme", 1)
    assert trail.minute() == 1
    for first in range(0, NOTED_STEP_ENTRIES, 512):
        trail.world.record(*(raw_event(first + k) for k in range(512)), tenant=OPERATIONS)
    while trail.minute() == 0 and trail.noting._kept == 0:  # until it was worth keeping
        pass
    forged = {"damaged": b"{", "of a longer log": b'{"through":99999,"sizes":{"example.org/globex":9}}'}
    forged["negative"] = b'{"through":-1,"sizes":{}}'
    kept = {"lost": b"{}"} | forged
    if state != "kept":
        trail.world.objects.replace(STATE_KEY, kept[state])
    trail.restarted()
    trail.grow("globex", 1)
    assert sum(trail.minute() for _ in range(4)) == 1
    assert trail.notes() == [{"acme": 1}, {"globex": 1}]


def test_a_note_that_was_written_though_it_failed_is_not_repeated() -> None:
    trail = Trail()
    trail.grow("acme", 1)
    trail.is_denied = True
    with pytest.raises(UnavailableError):
        trail.minute()
    trail.is_denied = False
    assert (trail.minute(), trail.notes()) == (0, [{"acme": 1}])


def test_nobody_else_can_say_what_was_noted() -> None:
    trail = Trail()
    data = b'{"checkpoints":[{"origin":"example.org/acme","size":9,"root":""}]}'
    event = b'{"actor":{"id":"atp"},"action":"checkpoints.noted","data":%b}'
    trail.world.record(event % data, event % b'{"checkpoints":7}', event % b"null", tenant=OPERATIONS)
    trail.record([msgspec.json.decode(event % b'{"checkpoints":7}', type=Event)])
    trail.grow("acme", 1)
    assert trail.minute() == 1


def test_checkpoints_of_many_tenants_are_cut_into_entries_that_fit() -> None:
    trail = Trail()
    names = [f"tenant-{number:04d}" for number in range(1_500)]
    for name in names:
        trail.world.add(name)
        trail.grow(name, 1)
    assert trail.minute() == len(names)
    noted = [name for note in trail.notes() for name in note]
    assert sorted(noted) == names and len(trail.notes()) > 1
    entries = trail.world.reader(OPERATIONS).durable(0, 10)
    assert max(map(len, entries)) <= ENTRY_BYTES_MAX
    assert trail.minute() == 0


def test_a_trail_without_end_is_read_a_step_at_a_time() -> None:
    trail = Trail()
    for first in range(0, 2 * NOTED_STEP_ENTRIES, 512):
        trail.world.record(*(raw_event(first + k) for k in range(512)), tenant=OPERATIONS)
    trail.grow("acme", 1)
    assert [trail.minute() for _ in range(3)] == [0, 1, 0]
