"""An operator's desk: a machine and a memory, over as many lives of a process and of a server as one likes."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from atp.adapters.machine import FileMachine
from atp.adapters.system_clock import SystemClock
from atp.client import Client
from atp.log.event import Event, read_event
from atp.log.reader import LogReader
from atp.ops.record.act import Act, Told, fold_all
from atp.ops.record.recording import Recording, begin
from atp.ops.record.sink import ServerThenSpool
from atp.ops.record.waiting import Spool
from atp.ports.clock import Clock
from atp.verify.remember import Memory

CLOCK = SystemClock()


@dataclass
class Desk:
    """Everything of one machine below `folder`; what its commands said is in `said`."""

    folder: Path
    url: str
    said: list[str] = field(default_factory=list)

    @property
    def memory(self) -> Memory:
        return Memory(self.folder)

    def spool(self) -> Spool:
        machine = FileMachine(self.folder / "spool")
        return Spool(
            machine, server=self.url, host="desk", memory=self.memory, clock=CLOCK, tell=lambda words: self.say(words)
        )

    def say(self, words: object) -> None:
        self.said.append(str(words))

    def sink(self, client: Client | None, *, clock: Clock = CLOCK, rest_seconds: float = 0.0) -> ServerThenSpool:
        """What a command of this machine writes to; it asks a server that did not answer again at once."""
        return ServerThenSpool(
            client,
            self.spool(),
            memory=self.memory,
            clock=clock,
            user="ann",
            tell=self.say,
            rest_seconds=rest_seconds,
        )

    def begin(self, client: Client | None, **options: Any) -> Recording:
        sink = self.sink(client)
        return begin("backup", "run", by=sink.person(), sink=sink, clock=CLOCK, **options)


def acts_in(events: list[Told]) -> Mapping[str, Act]:
    return fold_all(events)


def told_by(reader: LogReader, size: int) -> list[Told]:
    """Every entry of a log, as it was told."""
    found = []
    for index, entry in enumerate(reader.durable(0, size)):
        read, event = read_event(entry)
        found.append(Told(event, read.by, index))
    return found


def data_of(event: Event) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(bytes(event.data))  # type: ignore[arg-type]
    return found
