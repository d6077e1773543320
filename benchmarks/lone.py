"""One lone client that sends one event a request, against one sync of the disk."""

from collections.abc import Iterator

from benchmarks.figures import Figure, Row, percentile
from benchmarks.load import Load, drive, run
from benchmarks.machine import fdatasync_seconds
from benchmarks.run import Run
from benchmarks.server import serving_anew

_SEED = 10_000


def measure(bench: Run) -> Iterator[Row]:
    """The median of both, one after the other on the same file system."""
    with serving_anew(bench.scratch, "lone") as server:

        async def send() -> Load:
            posts = bench.posts(bench.batches(seed=_SEED, size=1), key=server.key)
            return await drive(server.port, posts, connections=1, seconds=bench.seconds)

        with bench.profiled("one lone client", server.pid):
            latencies = run(send).latencies
    syncs = fdatasync_seconds(bench.scratch, seconds=min(2.0, bench.seconds))
    yield Figure(
        what="one lone client, one event, p50",
        measured=percentile(latencies, 50) * 1e3,
        unit="ms",
        yardstick=percentile(syncs, 50) * 1e3,
        against="fdatasync of 4 KiB, p50",
        goal=3.0,
        is_ceiling=True,
        note=f"p95 {percentile(latencies, 95) * 1e3:.2f} ms, p99 {percentile(latencies, 99) * 1e3:.2f} ms, "
        f"{len(latencies) / sum(latencies):,.0f} requests/s; fdatasync p95 {percentile(syncs, 95) * 1e3:.2f} ms, "
        f"p99 {percentile(syncs, 99) * 1e3:.2f} ms; Tessera's batches wait 250 ms by default",
    )
