"""Many small jobs done by a few threads: the disk is asked for the next while it answers the last."""

import os
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import TypeAlias

_THREADS = min(4, os.cpu_count() or 1)
_BATCHES_MAX = 32  # that wait or are at work: what one of them holds in memory, so often
_BATCH_JOBS = 16
_BATCH_BYTES = 1 << 18


Job: TypeAlias = Callable[[], None]


class Jobs:
    """Takes jobs and does them in no particular order, small ones in batches; the first that raises stops the rest."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(_THREADS, thread_name_prefix="job")
        self._given = deque[Future[None]]()
        self._batch = list[Job]()
        self._batch_bytes = 0

    def do(self, job: Job, *, size_bytes: int = _BATCH_BYTES) -> None:
        """Have it done; `size_bytes` is what it holds in memory. Raises what one before it raised; waits while there
        are too many."""
        self._batch.append(job)
        self._batch_bytes += size_bytes
        if len(self._batch) == _BATCH_JOBS or self._batch_bytes >= _BATCH_BYTES:
            self._give()

    def wait(self) -> None:
        """All are done when it returns. Raises what one of them raised."""
        if self._batch:
            self._give()
        while self._given:
            self._given.popleft().result()

    def _give(self) -> None:
        batch, self._batch, self._batch_bytes = self._batch, [], 0
        if len(self._given) == _BATCHES_MAX:
            self._given.popleft().result()
        self._given.append(self._pool.submit(_do_all, batch))

    def __enter__(self) -> "Jobs":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._pool.shutdown(cancel_futures=True)


def _do_all(batch: Sequence[Job]) -> None:
    for job in batch:
        job()
