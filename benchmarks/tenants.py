"""Thousands of tenants with one event each: start, idle memory, and how long an event of one of them waits."""

import shutil
import time
from collections.abc import Iterable, Iterator

from benchmarks.figures import Figure, Row, percentile
from benchmarks.load import Load, drive, request, run
from benchmarks.memory import IDLE_MIB_MAX
from benchmarks.prooflatency import PROOF_SECONDS_MAX
from benchmarks.run import Run
from benchmarks.server import Server, serving
from benchmarks.start import START_SECONDS_MAX

TENANTS = 5_000
_CONNECTIONS = 16
_ASKED = 200
_SEED = 13_000
_SETTLE_SECONDS = 2.0
_MIB = 1024 * 1024


def measure(bench: Run) -> Iterator[Row]:
    """Make them, end the server, start it again."""
    data = bench.scratch / "tenants"
    try:
        with serving(data) as server, bench.profiled(f"{TENANTS:,} new tenants", server.pid):
            made = _send(server, (_creation(server, number) for number in range(TENANTS)))
            recorded = _send(server, _events(bench, server, seed=_SEED, numbers=range(TENANTS)))
        with serving(data) as server:
            time.sleep(_SETTLE_SECONDS)
            idle_mib = server.rss_bytes() / _MIB
            numbers = range(0, TENANTS, TENANTS // _ASKED)
            waited = _send(server, _events(bench, server, seed=_SEED + 1, numbers=numbers), connections=1)
    finally:
        shutil.rmtree(data, ignore_errors=True)
    pace = f"made at {made.per_second:,.0f}/s, then one event each at {recorded.per_second:,.0f}/s"
    yield _limited("start to ready", server.start_seconds, "s", START_SECONDS_MAX, note=pace)
    yield _limited("idle memory", idle_mib, "MiB", IDLE_MIB_MAX)
    yield _limited("event sent to published, p95", percentile(waited.latencies, 95), "s", PROOF_SECONDS_MAX)


def _limited(what: str, measured: float, unit: str, most: float, *, note: str = "") -> Row:
    return Figure(
        what=f"{TENANTS:,} tenants: {what}",
        measured=measured,
        unit=unit,
        yardstick=most,
        against="limit",
        is_ceiling=True,
        note=note,
    )


def _send(server: Server, requests: Iterable[bytes], *, connections: int = _CONNECTIONS) -> Load:
    return run(lambda: drive(server.port, requests, connections=connections))


def _creation(server: Server, number: int) -> bytes:
    return request("POST", "/v1/tenants", key=server.key, body=b'{"tenant":"%b"}' % _name(number).encode())


def _events(bench: Run, server: Server, *, seed: int, numbers: Iterable[int]) -> Iterator[bytes]:
    """One event for each tenant, acknowledged when it is published."""
    for number, (event_id, sample) in zip(numbers, bench.corpus.draw(seed=seed), strict=False):
        path = f"/v1/tenants/{_name(number)}/events?wait=30"
        yield request("POST", path, key=server.key, body=sample.body(event_id))


def _name(number: int) -> str:
    return f"tenant-{number}"
