"""What commands share that act on their own and write down what they do: on a server, else on this machine."""

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from atp.app.machine import machine_clock, open_sink
from atp.cli.output import Output
from atp.cli.server import find_key
from atp.client import Client
from atp.ops.record.act import Person, Settling
from atp.ops.record.recording import Recording, begin
from atp.ops.record.sink import PUBLISH_SECONDS, Sink
from atp.ports.clock import Clock


@dataclass(frozen=True, slots=True)
class Acting:
    """Who acts, and where it is written down."""

    by: Person
    sink: Sink
    clock: Clock

    @contextmanager
    def recorded(
        self, noun: str, verb: str, *, resource: str, data: Mapping[str, Any], settling: Settling = "repeat"
    ) -> Iterator[Recording]:
        """Write an act down around the block: its intention first, its end when the block ends or raises."""
        recording = begin(
            noun, verb, by=self.by, sink=self.sink, clock=self.clock, resource=resource, data=data, settling=settling
        )
        try:
            yield recording
        except BaseException:
            if not recording.act.unknown_steps:
                recording.end("failed")
            raise
        recording.end("done")


@contextmanager
def acting(
    url: str, *, key_file: Path | None, output: Output, publish_seconds: float | None = PUBLISH_SECONDS
) -> Iterator[Acting]:
    """Whoever has a key acts on the server as its holder; without one, or when it is away, as user of this machine.
    `publish_seconds`: see `ServerThenSpool`."""
    key = find_key(key_file, output)
    with ExitStack() as stack:
        client = stack.enter_context(Client(url, key=key, tries=1)) if key else None
        sink = open_sink(url, client, tell=output.note, publish_seconds=publish_seconds)
        yield Acting(sink.person(), sink, machine_clock())
