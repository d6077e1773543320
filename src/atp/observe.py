"""What the platform says of itself: structured lines on a stream, and numbers in the OpenMetrics text format.

No tenant's data ever goes in here: names of counters, of loops and of errors, and counts.
"""

import json
import sys
import threading
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from itertools import accumulate
from typing import TextIO

_BUCKETS_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
Labels = tuple[tuple[str, str], ...]


class Lines:
    """One JSON object a line: `at`, `level`, `what`, and whatever the caller adds. Never a secret."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream or sys.stderr
        self._lock = threading.Lock()

    def write(self, level: str, what: str, **fields: object) -> None:
        """Write one line; a stream that is gone is not an error."""
        line = {"at": datetime.now(UTC).isoformat(timespec="milliseconds"), "level": level, "what": what, **fields}
        with self._lock:
            try:
                self._stream.write(json.dumps(line, default=str) + "\n")
                self._stream.flush()
            except (OSError, ValueError):
                pass


class Meters:
    """Counters, gauges and histograms of seconds; `render` gives the OpenMetrics 1.0 text. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counters: dict[str, dict[Labels, float]] = defaultdict(lambda: defaultdict(float))
        self._gauges: dict[str, Callable[[], float]] = {}
        self._histograms: dict[str, dict[Labels, list[float]]] = defaultdict(dict)

    def count(self, name: str, amount: float = 1, **labels: str) -> None:
        """Add to a counter; its name has no `_total`."""
        with self._lock:
            self._counters[name][_key(labels)] += amount

    def gauge(self, name: str, read: Callable[[], float]) -> None:
        """Let a gauge be read whenever somebody asks."""
        self._gauges[name] = read

    def time(self, name: str, seconds: float, **labels: str) -> None:
        """Put one duration into a histogram."""
        with self._lock:
            cells = self._histograms[name].setdefault(_key(labels), [0.0] * (len(_BUCKETS_SECONDS) + 2))
            cells[bisect_left(_BUCKETS_SECONDS, seconds)] += 1
            cells[-1] += seconds

    def render(self) -> str:
        """All numbers, ending with `# EOF`."""
        with self._lock:
            lines = [*self._render_counters(), *self._render_histograms()]
        for name, read in sorted(self._gauges.items()):
            lines += [f"# TYPE {name} gauge", f"{name} {read():g}"]
        return "\n".join([*lines, "# EOF", ""])

    def _render_counters(self) -> Iterator[str]:
        for name, cells in sorted(self._counters.items()):
            yield f"# TYPE {name} counter"
            yield from (f"{name}_total{_text(labels)} {value:g}" for labels, value in sorted(cells.items()))

    def _render_histograms(self) -> Iterator[str]:
        for name, rows in sorted(self._histograms.items()):
            yield f"# TYPE {name} histogram"
            for labels, cells in sorted(rows.items()):
                *below, count = accumulate(cells[:-1])
                for bound, value in zip(_BUCKETS_SECONDS, below, strict=True):
                    yield f"{name}_bucket{_text((*labels, ('le', f'{bound:g}')))} {value:g}"
                yield f"{name}_bucket{_text((*labels, ('le', '+Inf')))} {count:g}"
                yield f"{name}_count{_text(labels)} {count:g}"
                yield f"{name}_sum{_text(labels)} {cells[-1]:g}"


def _key(labels: dict[str, str]) -> Labels:
    return tuple(sorted(labels.items()))


def _text(labels: Labels) -> str:
    return "{" + ",".join(f'{name}="{value}"' for name, value in labels) + "}" if labels else ""
