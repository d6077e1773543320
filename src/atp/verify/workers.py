"""Maps a function over many pieces with all cores, in order, and never with more than a few pieces in flight."""

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context
from typing import TypeVar

from atp.errors import UnavailableError

_Piece = TypeVar("_Piece")
_Result = TypeVar("_Result")
_IN_FLIGHT_PER_JOB = 3
_FREED_BYTES = 16 << 20


def cores() -> int:
    """How many processes can work at once."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def keep_freed_memory() -> None:
    """Makes blocks of the size of a frame cheap to allocate again and again: a third of the time of a verification.

    glibc hands freed blocks above a threshold back to the kernel, and the next one has to be faulted in page by page.
    It raises that threshold to the size of any larger block that is freed; this one is never touched.
    """
    bytes(_FREED_BYTES)


def map_ordered(work: Callable[[_Piece], _Result], pieces: Iterable[_Piece], *, jobs: int) -> Iterator[_Result]:
    """The results in the order of the pieces; with one job in this process, else in fresh (spawned) ones.

    Starting them costs 0.3 s or so. UnavailableError when one of them dies.
    """
    if jobs <= 1:
        keep_freed_memory()
        yield from map(work, pieces)
        return
    with ProcessPoolExecutor(jobs, mp_context=get_context("spawn"), initializer=keep_freed_memory) as pool:
        running = deque[Future[_Result]]()
        try:
            for piece in pieces:
                running.append(pool.submit(work, piece))
                if len(running) >= jobs * _IN_FLIGHT_PER_JOB:
                    yield running.popleft().result()
            while running:
                yield running.popleft().result()
        except BrokenProcessPool:
            raise UnavailableError(
                "could not verify: a worker process died", hint="is memory short? use --jobs 1"
            ) from None
        finally:
            for future in running:
                future.cancel()
