"""A log filled under full pressure, with lag and memory sampled on the way; most measurements then read it."""

import asyncio
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from benchmarks.load import connect, drive, request, run, succeed
from benchmarks.run import TENANT, Run
from benchmarks.server import Server, log_status, serving

CONNECTIONS = 8
_SAMPLE_PAUSE_SECONDS = 0.25
_SEED = 9_000


@dataclass(slots=True)
class Filled:
    """The directory, and how filling it went. `seconds`: from the first request until all of it is in the views."""

    data: Path
    events: int
    seconds: float = 0.0
    cpu_seconds: float = 0.0
    latencies: list[float] = field(default_factory=list)
    lags: list[float] = field(default_factory=list)  # of entries not yet in the views
    rss_bytes: list[int] = field(default_factory=list)

    @property
    def per_second(self) -> float:
        """Events a second, with everything behind them."""
        return self.events / self.seconds


@contextmanager
def filling(bench: Run, events: int) -> Iterator[Filled]:
    """Fill a new directory; the server has ended when the block begins, the directory is gone when it ends."""
    filled = Filled(bench.scratch / f"filled-{events}", events)
    try:
        with serving(filled.data) as server, bench.profiled(f"sustained ingest of {events:,} events", server.pid):
            _fill(bench, server, filled)
        yield filled
    finally:
        shutil.rmtree(filled.data, ignore_errors=True)


def _fill(bench: Run, server: Server, filled: Filled) -> None:
    posts = bench.posts(bench.batches(seed=_SEED, events=filled.events), key=server.key)

    async def send() -> None:
        sampling = asyncio.create_task(_sample(server, filled))
        load = await drive(server.port, posts, connections=CONNECTIONS)
        sampling.cancel()
        filled.latencies = load.latencies

    began = time.perf_counter()
    run(send)
    server.settle()
    filled.seconds = time.perf_counter() - began
    filled.cpu_seconds = server.cpu_seconds()


async def _sample(server: Server, filled: Filled) -> None:
    connection, ask = await connect(server.port), request("GET", "/v1/status", key=server.key)
    while True:
        answer = await succeed(connection, ask)
        filled.lags.append(log_status(msgspec.json.decode(answer.body), TENANT)["lag_seconds"])
        filled.rss_bytes.append(server.rss_bytes())
        await asyncio.sleep(_SAMPLE_PAUSE_SECONDS)
