"""Many small jobs done by a few threads: the disk is asked for the next while it answers the last."""

import os
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType

_THREADS = min(4, os.cpu_count() or 1)
_JOBS_MAX = 32  # that wait or are at work: what one of them holds in memory, so often


class Jobs:
    """Takes jobs and does them in no particular order; the first that raises stops the rest."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(_THREADS, thread_name_prefix="job")
        self._given = deque[Future[None]]()

    def do(self, job: Callable[[], None]) -> None:
        """Have it done. Raises what one before it raised; waits while there are too many."""
        if len(self._given) == _JOBS_MAX:
            self._given.popleft().result()
        self._given.append(self._pool.submit(job))

    def wait(self) -> None:
        """All are done when it returns. Raises what one of them raised."""
        while self._given:
            self._given.popleft().result()

    def __enter__(self) -> "Jobs":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._pool.shutdown(cancel_futures=True)
