"""From sending an event to holding its proof under a signed checkpoint."""

import asyncio
import time
from collections.abc import Iterator

from benchmarks.corpus import Drawn
from benchmarks.figures import Figure, Row, percentile
from benchmarks.load import Connection, connect, request, run, succeed
from benchmarks.run import EVENTS_PATH, Run
from benchmarks.server import Server, serving_anew

CONNECTIONS = 8
PROOF_SECONDS_MAX = 0.25
_SEED = 12_000


def measure(bench: Run) -> Iterator[Row]:
    """Several clients that each send one event with `wait`, then fetch its proof."""
    with serving_anew(bench.scratch, "proofs") as server:
        samples = run(lambda: _prove_all(bench, server))
    yield Figure(
        what="event sent to proof held, p95",
        measured=percentile(samples, 95),
        unit="s",
        yardstick=PROOF_SECONDS_MAX,
        against="limit",
        is_ceiling=True,
        note=f"{CONNECTIONS} clients; p50 {percentile(samples, 50):.3f} s, p99 {percentile(samples, 99):.3f} s, "
        f"{len(samples):,} proofs",
    )


async def _prove_all(bench: Run, server: Server) -> list[float]:
    drawn, samples = bench.corpus.draw(seed=_SEED), list[float]()
    deadline = time.perf_counter() + bench.seconds

    async def work() -> None:
        connection = await connect(server.port)
        while (began := time.perf_counter()) < deadline:
            await _prove(connection, server, next(drawn))
            samples.append(time.perf_counter() - began)
        connection.close()

    await asyncio.gather(*(work() for _ in range(CONNECTIONS)))
    return samples


async def _prove(connection: Connection, server: Server, drawn: Drawn) -> None:
    event_id, sample = drawn
    await succeed(connection, request("POST", f"{EVENTS_PATH}?wait=10", key=server.key, body=sample.body(event_id)))
    await succeed(connection, request("GET", f"{EVENTS_PATH}/{event_id.decode()}/proof", key=server.key))
