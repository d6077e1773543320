"""Sinks that keep or refuse what they are told, and a spool in memory: what tests of acts stand on."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec

from atp.adapters.memory import FrozenClock
from atp.adapters.memory_machine import MemoryMachine
from atp.errors import UnavailableError
from atp.log.event import Actor, Event, Resource
from atp.ops.record.act import Act, Mark, Person, Told, fold
from atp.ops.record.waiting import Spool
from atp.ports.machine import Machine
from atp.verify.remember import Memory

ALICE = Person("alice", is_bound=True)
SERVER = "http://127.0.0.1:8600"


class ListSink:
    """Keeps what it is told; refuses the events whose numbers are in `refused`, before it keeps them."""

    def __init__(self, *, refused: Sequence[int] = ()) -> None:
        self.events: list[Event] = []
        self.expected: list[Mapping[str, int]] = []
        self._refused = set(refused)
        self._asked = 0

    def write(self, event: Event, *, expect: Mapping[str, int], is_outcome: bool) -> None:
        self._asked += 1
        if self._asked - 1 in self._refused:
            raise UnavailableError("could not begin it: no evidence, no act")
        self.events.append(event)
        self.expected.append(expect)

    def act(self) -> Act:
        """What the events tell, as anybody would read them later."""
        return fold(Told(event, "alice") for event in self.events)


def spool_on(machine: Machine, folder: Path, said: list[object] | None = None, *, seed: int = 0) -> Spool:
    """A spool whose clock stands still and whose memory is in `folder`."""
    tell = (said if said is not None else []).append
    clock = FrozenClock(seed=seed)
    return Spool(machine, server=SERVER, host="here", memory=Memory(folder), clock=clock, tell=tell)


def memory_spool(folder: Path, *, seed: int = 0) -> Spool:
    return spool_on(MemoryMachine(), folder, seed=seed)


def act_event(number: int, *, act: str = "a-1", phase: str = "intended", **data: object) -> Event:
    """An event of an act, with a step of its own."""
    told = {"act": act, "step": f"s-{number}", "phase": phase, **data}
    return Event(
        actor=Actor("alice", type="os-user"),
        action="backup.run",
        id=f"{act}.{number}",
        time="2026-01-01T00:00:00.000000Z",
        resource=Resource("b-1", type="backup"),
        data=msgspec.Raw(msgspec.json.encode(told)),
    )


def told(phase: str, step: str | None = None, *, index: int = 0, **members: object) -> Told:
    """An event of the act `a-1` as the log tells it."""
    mark = msgspec.convert({"act": "a-1", "phase": phase, "step": step, **members}, Mark)
    event = Event(
        actor=Actor("alice", type="person"),
        action="backup.run",
        id=f"a-1.{index}",
        time=f"2026-01-01T00:00:{index:02d}Z",
        resource=Resource("b-1", type="backup"),
        data=msgspec.Raw(msgspec.json.encode({**msgspec.to_builtins(mark), "size": index})),
    )
    return Told(event, "alice", index)
