"""Resident memory of the server: idle, and whether it stays flat under load."""

import time
from collections.abc import Iterator

from benchmarks.figures import Figure, Row
from benchmarks.fill import Filled
from benchmarks.run import Run
from benchmarks.server import serving, serving_anew

IDLE_MIB_MAX = 120
GROWTH_MAX = 1.1
_SETTLE_SECONDS = 2.0
_MIB = 1024 * 1024


def measure(bench: Run, filled: Filled) -> Iterator[Row]:
    """Idle on an empty and on the filled directory; under load from the samples that filling it took."""
    with serving_anew(bench.scratch, "idle") as server:
        time.sleep(_SETTLE_SECONDS)
        empty = server.rss_bytes() / _MIB
    with serving(filled.data) as server:
        time.sleep(_SETTLE_SECONDS)
        full = server.rss_bytes() / _MIB
    yield Figure(
        what="memory of an idle server",
        measured=empty,
        unit="MiB",
        yardstick=IDLE_MIB_MAX,
        against="limit",
        is_ceiling=True,
        note=f"{full:.0f} MiB idle on {filled.events:,} events",
    )
    third = len(filled.rss_bytes) // 3
    middle, last = filled.rss_bytes[third : 2 * third], filled.rss_bytes[2 * third :]
    yield Figure(
        what="memory under load: last third of the run",
        measured=max(last) / _MIB,
        unit="MiB",
        yardstick=max(middle or last) / _MIB,
        against="the middle third",
        goal=GROWTH_MAX,
        is_ceiling=True,
        note=f"largest {max(filled.rss_bytes) / _MIB:.0f} MiB in the whole run",
    )
