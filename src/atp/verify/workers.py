"""Maps a function over many pieces with all cores, in order, and never with more than a few pieces in flight."""

import os
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from itertools import islice
from multiprocessing import get_context
from multiprocessing.context import BaseContext
from typing import TypeVar

from atp.errors import AtpError, UnavailableError

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
    """The results in the order of the pieces; with one job in this process, each when it is asked for.

    With more jobs other processes begin at once. An error of the pieces comes after the results of those before it.
    UnavailableError when a process dies.
    """
    if jobs <= 1:
        keep_freed_memory()
        return map(work, pieces)
    pool, failed = ProcessPoolExecutor(jobs, mp_context=_context(), initializer=keep_freed_memory), list[AtpError]()
    waiting = _until_failure(pieces, failed)
    running = deque(pool.submit(work, piece) for piece in islice(waiting, jobs * _IN_FLIGHT_PER_JOB))
    return _results(pool, work, waiting, running, failed)


def _until_failure(pieces: Iterable[_Piece], failed: list[AtpError]) -> Iterator[_Piece]:
    try:
        yield from pieces
    except AtpError as error:
        failed.append(error)


def _results(
    pool: ProcessPoolExecutor,
    work: Callable[[_Piece], _Result],
    waiting: Iterator[_Piece],
    running: deque[Future[_Result]],
    failed: list[AtpError],
) -> Iterator[_Result]:
    try:
        while running:
            yield running.popleft().result()
            running.extend(pool.submit(work, piece) for piece in islice(waiting, 1))
        for error in failed:
            raise error
    except BrokenProcessPool:
        died = "could not verify: a worker process died"
        raise UnavailableError(died, hint="is memory short? use --jobs 1") from None
    finally:
        pool.shutdown(cancel_futures=True)


def _context() -> BaseContext:
    """Processes that are forked work after 10 ms, fresh ones after 200 ms, most of it on a core of their own.

    A fork keeps locked whatever another thread had locked, so it is only made where there is no other thread.
    """
    return get_context("fork" if sys.platform == "linux" and threading.active_count() == 1 else "spawn")
