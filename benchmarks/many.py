"""Many connections that send one event a request each, against the same application with nothing behind it."""

from collections.abc import Iterator

from benchmarks.figures import Figure, Row, percentile
from benchmarks.load import Load, drive, run
from benchmarks.run import Run
from benchmarks.server import serving_anew, serving_nothing

CONNECTIONS = 64
_SEED = 11_000


def measure(bench: Run) -> Iterator[Row]:
    """Both for the same time, one after the other."""
    with serving_anew(bench.scratch, "many") as server, bench.profiled(f"{CONNECTIONS} connections", server.pid):
        ours = _load(bench, server.port, server.key)
    with serving_nothing(bench.scratch) as bare:
        theirs = _load(bench, bare.port, bare.key)
    yield Figure(
        what=f"{CONNECTIONS} connections, one event a request",
        measured=ours.per_second,
        unit="events/s",
        yardstick=theirs.per_second,
        against="the same application that stores nothing",
        goal=0.5,
        note=f"p50 {percentile(ours.latencies, 50) * 1e3:.1f} ms, p99 {percentile(ours.latencies, 99) * 1e3:.1f} ms",
    )


def _load(bench: Run, port: int, key: str) -> Load:
    async def send() -> Load:
        posts = bench.posts(bench.batches(seed=_SEED, size=1), key=key)
        return await drive(port, posts, connections=CONNECTIONS, seconds=bench.seconds)

    return run(send)
