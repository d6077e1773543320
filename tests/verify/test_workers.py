"""Work is done in the order of the pieces, a few pieces ahead at most, however many processes there are."""

import multiprocessing
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from atp.errors import TamperedError, UnavailableError
from atp.verify.workers import map_ordered

AHEAD_PER_JOB = 3


@contextmanager
def beside_a_thread() -> Iterator[None]:
    """What is done here may not fork."""
    done = threading.Event()
    thread = threading.Thread(target=done.wait)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


@given(st.integers(0, 40), st.integers(1, 3))
@settings(max_examples=10)
def test_results_come_in_the_order_of_the_pieces(pieces: int, jobs: int) -> None:
    assert list(map_ordered(abs, range(-pieces, 0), jobs=jobs)) == list(range(pieces, 0, -1))


@pytest.mark.slow
def test_processes_beside_other_threads_do_the_same() -> None:
    with beside_a_thread():
        assert list(map_ordered(abs, range(-9, 0), jobs=2)) == list(range(9, 0, -1))


@pytest.mark.parametrize("jobs", [1, 2])
def test_few_pieces_are_made_before_their_results_are_taken(jobs: int) -> None:
    made = list[int]()

    def pieces() -> Iterator[int]:
        for number in range(100):
            made.append(number)
            yield number

    for taken, result in enumerate(map_ordered(abs, pieces(), jobs=jobs), 1):
        assert result == taken - 1
        assert len(made) - taken < AHEAD_PER_JOB * jobs


@given(st.integers(0, 12), st.integers(1, 3))
@settings(max_examples=10)
def test_an_error_of_the_pieces_comes_after_the_results_of_those_before_it(pieces: int, jobs: int) -> None:
    def failing() -> Iterator[int]:
        yield from range(pieces)
        raise TamperedError("it is cut off")

    taken = list[int]()
    with pytest.raises(TamperedError, match="it is cut off"):
        taken += map_ordered(abs, failing(), jobs=jobs)
    assert taken == list(range(pieces))


def test_processes_begin_before_a_result_is_asked_for_and_end_with_the_results() -> None:
    before = multiprocessing.active_children()
    results = map_ordered(abs, range(100), jobs=2)
    assert len(multiprocessing.active_children()) == len(before) + 2
    assert next(results) == 0
    del results
    assert multiprocessing.active_children() == before


def test_a_process_that_dies_is_said() -> None:
    with pytest.raises(UnavailableError, match="could not verify: a worker process died"):
        list(map_ordered(os._exit, range(10), jobs=2))
