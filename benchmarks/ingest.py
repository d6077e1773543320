"""Acknowledged = durable ingest over HTTP, in batches of real events, against PostgreSQL COPY and Tessera."""

from collections.abc import Iterator
from contextlib import ExitStack

from benchmarks import postgres, tessera
from benchmarks.figures import SKIPPED, Figure, Row, Unmeasured
from benchmarks.load import drive, run
from benchmarks.run import Run
from benchmarks.server import Server, serving_anew
from tests.services.absent import APT_LINE, AbsentError

CONNECTIONS = 8
BURST_EVENTS = 50_000  # below the backlog that makes senders wait for the views: `sustained` measures that
BURSTS = 4
_WHAT = f"burst ingest, durable, {CONNECTIONS} × 500"


def measure(bench: Run) -> Iterator[Row]:
    """Bursts into an empty log with a rest after each, in turn with the same bursts into PostgreSQL."""
    with ExitStack() as stack:
        server = stack.enter_context(serving_anew(bench.scratch, "ingest"))
        dsn = _postgres(bench, stack)
        stack.enter_context(bench.profiled(_WHAT, server.pid))
        ours, theirs = list[float](), list[float]()
        for seed in range(BURSTS):
            ours.append(_burst(bench, server, seed))
            batches = bench.batches(seed=seed, events=BURST_EVENTS)
            theirs += [postgres.copy(dsn, batches, is_indexed=False).per_second] if dsn else []
        cpu_seconds = server.cpu_seconds()
    yield _against_postgres(max(ours), theirs, cpu_seconds)
    yield _against_tessera(bench, max(ours))


def _postgres(bench: Run, stack: ExitStack) -> str | None:
    try:
        return stack.enter_context(postgres.serving(bench.scratch))
    except AbsentError:
        return None


def _burst(bench: Run, server: Server, seed: int) -> float:
    posts = bench.posts(bench.batches(seed=seed, events=BURST_EVENTS), key=server.key)
    seconds = run(lambda: drive(server.port, posts, connections=CONNECTIONS)).seconds
    server.settle()
    return BURST_EVENTS / seconds


def _against_postgres(ours: float, theirs: list[float], cpu_seconds: float) -> Row:
    if not theirs:
        return Unmeasured(_WHAT, SKIPPED, f"could not find PostgreSQL (hint: {APT_LINE})")
    return Figure(
        what=_WHAT,
        measured=ours,
        unit="events/s",
        yardstick=max(theirs),
        against="PostgreSQL COPY, no index",
        goal=1.2,
        floor=0.6,
        note=f"the best of {BURSTS} bursts of {BURST_EVENTS:,} events each, in turn; "
        f"server {cpu_seconds / BURSTS / BURST_EVENTS * 1e6:.1f} µs CPU an event",
    )


def _against_tessera(bench: Run, ours: float) -> Row:
    try:
        theirs = tessera.per_second(bench)
    except AbsentError as error:
        return Unmeasured("the same against Tessera", SKIPPED, str(error))
    return Figure(
        what="the same against Tessera",
        measured=ours,
        unit="events/s",
        yardstick=theirs,
        against=f"Tessera POSIX, HTTP, {tessera.CONNECTIONS} connections",
        goal=5,
    )
