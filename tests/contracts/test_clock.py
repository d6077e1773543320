"""What every Clock keeps."""

from datetime import UTC, datetime, timedelta

import pytest

from atp.adapters.memory import FrozenClock
from atp.ports.clock import Clock


def test_the_wall_clock_is_aware_and_utc(clock: Clock) -> None:
    assert clock.now().utcoffset() == timedelta(0)


def test_the_monotonic_clock_never_goes_back(clock: Clock) -> None:
    readings = [clock.monotonic() for _ in range(100)]
    assert readings == sorted(readings)


def test_random_bytes_are_as_many_as_asked_and_never_twice_the_same(clock: Clock) -> None:
    assert clock.random_bytes(0) == b""
    drawn = {clock.random_bytes(16) for _ in range(1_000)}
    assert len(drawn) == 1_000
    assert {len(one) for one in drawn} == {16}


def test_a_frozen_clock_stands_still_until_it_is_told() -> None:
    clock = FrozenClock(datetime(2026, 3, 1, tzinfo=UTC))
    assert clock.now() == clock.now() == datetime(2026, 3, 1, tzinfo=UTC)
    clock.advance(1.5)
    assert clock.now() == datetime(2026, 3, 1, 0, 0, 1, 500_000, tzinfo=UTC)
    assert clock.monotonic() == 1.5


def test_a_frozen_clock_can_be_set_back_while_time_goes_on() -> None:
    clock = FrozenClock()
    before, monotonic = clock.now(), clock.monotonic()
    clock.step(-3_600)
    assert clock.now() == before - timedelta(hours=1)
    assert clock.monotonic() == monotonic
    with pytest.raises(ValueError):
        clock.advance(-1)


def test_equal_seeds_draw_equal_bytes() -> None:
    one, same, other = FrozenClock(seed=1), FrozenClock(seed=1), FrozenClock(seed=2)
    drawn = [one.random_bytes(8) for _ in range(3)]
    assert [same.random_bytes(8) for _ in range(3)] == drawn
    assert [other.random_bytes(8) for _ in range(3)] != drawn
