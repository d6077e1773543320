"""Sustained ingest with everything behind it: tiles, checkpoints and views, against PostgreSQL COPY with indexes."""

from collections.abc import Iterator

from benchmarks import postgres
from benchmarks.figures import SKIPPED, Figure, Row, Unmeasured, percentile
from benchmarks.fill import CONNECTIONS, Filled
from benchmarks.run import Run
from tests.services.absent import AbsentError

LAG_SECONDS_MAX = 1.0
_WHAT = f"sustained ingest, all behind it, {CONNECTIONS} × 500"
_ROWS_MAX = 1_000_000
_SEED = 9_100


def measure(bench: Run, filled: Filled) -> Iterator[Row]:
    """How fast the log was filled, and how far the views were behind meanwhile."""
    yield _against_postgres(bench, filled)
    yield Figure(
        what="lag of the views meanwhile, p95",
        measured=percentile(filled.lags, 95),
        unit="s",
        yardstick=LAG_SECONDS_MAX,
        against="limit",
        is_ceiling=True,
        note=f"p50 {percentile(filled.lags, 50):.2f} s, longest {max(filled.lags):.2f} s, {len(filled.lags)} samples",
    )


def _against_postgres(bench: Run, filled: Filled) -> Row:
    rows = min(filled.events, _ROWS_MAX)
    try:
        with postgres.serving(bench.scratch) as dsn:
            theirs = postgres.copy(dsn, bench.batches(seed=_SEED, events=rows), is_indexed=True).per_second
    except AbsentError as error:
        return Unmeasured(_WHAT, SKIPPED, str(error))
    latencies = [f"p{percent} {percentile(filled.latencies, percent) * 1e3:.0f} ms" for percent in (50, 95, 99)]
    return Figure(
        what=_WHAT,
        measured=filled.per_second,
        unit="events/s",
        yardstick=theirs,
        against=f"PostgreSQL COPY, 3 indexes, {rows:,} rows",
        goal=1.6,
        floor=1.0,
        note=f"{filled.events:,} events; server {filled.cpu_seconds / filled.events * 1e6:.1f} µs CPU an event; "
        f"a batch is acknowledged in {', '.join(latencies)}",
    )
