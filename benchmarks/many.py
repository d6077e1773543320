"""Many connections that send one event a request each, against the same door with nothing behind it."""

import socket
import sys
from collections.abc import Iterator

from benchmarks.figures import Figure, Row, percentile
from benchmarks.load import HOST, Load, drive, run
from benchmarks.run import Run
from benchmarks.server import serving_anew
from tests.services.loopback import free_port, running

CONNECTIONS = 64
_SEED = 11_000


def measure(bench: Run) -> Iterator[Row]:
    """Both for the same time, one after the other."""
    with serving_anew(bench.scratch, "many") as server, bench.profiled(f"{CONNECTIONS} connections", server.pid):
        ours = _load(bench, server.port, server.key)
    port = free_port()
    command = [sys.executable, "-m", "benchmarks.bare", str(port)]
    with running(command, is_ready=lambda: _listens(port), log=bench.scratch / "bare.log"):
        theirs = _load(bench, port, server.key)
    yield Figure(
        what=f"{CONNECTIONS} connections, one event a request",
        measured=ours.per_second,
        unit="events/s",
        yardstick=theirs.per_second,
        against="Starlette that stores nothing",
        goal=0.5,
        note=f"p50 {percentile(ours.latencies, 50) * 1e3:.1f} ms, p99 {percentile(ours.latencies, 99) * 1e3:.1f} ms",
    )


def _load(bench: Run, port: int, key: str) -> Load:
    async def send() -> Load:
        posts = bench.posts(bench.batches(seed=_SEED, size=1), key=key)
        return await drive(port, posts, connections=CONNECTIONS, seconds=bench.seconds)

    return run(send)


def _listens(port: int) -> bool:
    try:
        socket.create_connection((HOST, port), timeout=1).close()
    except OSError:
        return False
    return True
