"""From `atp serve` to ready, with a filled directory on disk."""

import statistics
from collections.abc import Iterator

from benchmarks.figures import Figure, Row
from benchmarks.fill import Filled
from benchmarks.run import Run
from benchmarks.server import serving

START_SECONDS_MAX = 2.0
STARTS = 3


def measure(bench: Run, filled: Filled) -> Iterator[Row]:
    """The median of a few starts, on a warm page cache."""
    starts = []
    for _ in range(STARTS):
        with serving(filled.data) as server:
            starts.append(server.start_seconds)
    yield Figure(
        what=f"start to ready, {filled.events:,} events on disk",
        measured=statistics.median(starts),
        unit="s",
        yardstick=START_SECONDS_MAX,
        against="limit",
        is_ceiling=True,
        note=f"slowest of {STARTS}: {max(starts):.2f} s",
    )
