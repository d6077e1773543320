"""The newest batches as they were appended, so that whoever reads them next need not decode them from the file."""

import threading
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

RECENT_BYTES_MAX = 48 * 1024 * 1024
_ENTRY_BYTES = 33  # what an entry costs beside its bytes


@dataclass(frozen=True, slots=True)
class _Batch:
    first: int
    entries: Sequence[bytes]
    bytes_total: int


class RecentBatches:
    """Consecutive batches of each log, the oldest of all dropped first. Thread-safe."""

    def __init__(self, bytes_max: int = RECENT_BYTES_MAX) -> None:
        self._bytes_max = bytes_max
        self._bytes = 0
        self._lock = threading.Lock()
        self._batches: dict[str, deque[_Batch]] = {}
        self._order: deque[str] = deque()

    def add(self, tenant: str, first: int, entries: Sequence[bytes]) -> None:
        """Keep a batch that continues the log."""
        batch = _Batch(first, entries, sum(map(len, entries)) + _ENTRY_BYTES * len(entries))
        with self._lock:
            self._batches.setdefault(tenant, deque()).append(batch)
            self._order.append(tenant)
            self._bytes += batch.bytes_total
            while self._bytes > self._bytes_max:
                self._drop_oldest()

    def read(self, tenant: str, *, start: int, stop: int) -> list[bytes] | None:
        """The entries [start, stop), if all of them are kept. Costs the batches from `start` on."""
        with self._lock:
            found: list[_Batch] = []
            for batch in reversed(self._batches.get(tenant, ())):
                if batch.first < stop:
                    found.append(batch)
                if batch.first <= start:
                    break
        if not found or found[-1].first > start:
            return None
        entries = (
            [entry for batch in reversed(found) for entry in batch.entries] if len(found) > 1 else found[0].entries
        )
        cut = list(entries[start - found[-1].first : stop - found[-1].first])
        return cut if len(cut) == stop - start else None

    def forget(self) -> None:
        """Drop everything: what the file holds is not known for sure."""
        with self._lock:
            self._batches.clear()
            self._order.clear()
            self._bytes = 0

    def _drop_oldest(self) -> None:
        tenant = self._order.popleft()
        batches = self._batches[tenant]
        self._bytes -= batches.popleft().bytes_total
        if not batches:
            del self._batches[tenant]
