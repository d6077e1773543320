"""A wall clock that was set is an event of the operators' trail; one that is slewed, or stands still, is none."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atp.adapters.memory import FrozenClock
from atp.app.clock_steps import ClockSteps
from atp.limits import CLOCK_AHEAD_SECONDS_MAX, CLOCK_BACK_SECONDS_MAX
from tests.app.opened import running, told, until


@given(st.lists(st.tuples(st.floats(0, 1e5), st.floats(-1e5, 1e5)), max_size=8))
def test_a_step_is_seen_once_and_as_large_as_it_was(moves: list[tuple[float, float]]) -> None:
    clock = FrozenClock()
    steps = ClockSteps(clock)
    for passed, stepped in moves:
        clock.advance(passed)
        clock.step(stepped)
        found = steps.look()
        is_step = stepped < -CLOCK_BACK_SECONDS_MAX or stepped > CLOCK_AHEAD_SECONDS_MAX
        is_near = min(abs(stepped + CLOCK_BACK_SECONDS_MAX), abs(stepped - CLOCK_AHEAD_SECONDS_MAX)) < 1e-3
        assert is_near or (found is not None) == is_step
        assert found is None or found == pytest.approx(stepped, abs=1e-3)
        assert steps.look() is None


def test_a_step_back_and_one_ahead_become_one_event_a_minute(tmp_path: Path) -> None:
    clock = FrozenClock()
    with running(tmp_path, clock=clock) as platform:
        clock.step(-3600)
        until(lambda: told(platform, "clock.stepped"))
        clock.step(7200)
        until(lambda: platform.clock.now() == clock.now() and len(told(platform, "clock.stepped")) == 1)
        clock.advance(61)
        clock.step(120)
        until(lambda: len(told(platform, "clock.stepped")) == 2)
        seconds = [event["data"]["seconds"] for event in told(platform, "clock.stepped")]
        assert seconds[0] == -3600 and seconds[1] >= 120
