"""Revenue hours in real time: over changes of the clock, over midnight, and against counting minute by minute."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atp.ops.estate.declare.hours import is_open, length_of_week, open_time
from atp.ops.estate.declare.values import RevenueHours, Weekday

ALL: tuple[Weekday, ...] = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
DAY = timedelta(days=1)


def berlin(opens: str, closes: str, *weekdays: Weekday) -> RevenueHours:
    return RevenueHours(zone="Europe/Berlin", weekdays=weekdays or ALL, opens=opens, closes=closes)


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("day", "hours"),
    [("2026-03-28", 24), ("2026-03-29", 23), ("2026-10-25", 25), ("2026-07-01", 24)],
)
def test_a_whole_day_has_the_hours_that_it_really_has(day: str, hours: int) -> None:
    zone = ZoneInfo("Europe/Berlin")
    start = datetime.fromisoformat(day).replace(tzinfo=zone)
    end = (datetime.fromisoformat(day) + DAY).replace(tzinfo=zone)
    assert open_time(berlin("00:00", "24:00"), start.astimezone(UTC), end.astimezone(UTC)) == timedelta(hours=hours)


def test_an_hour_that_happens_twice_counts_twice() -> None:
    night = (at("2026-10-24T12:00"), at("2026-10-25T12:00"))
    assert open_time(berlin("02:00", "03:00"), *night) == timedelta(hours=2)


def test_an_hour_that_the_clock_jumps_over_does_not_count() -> None:
    night = (at("2026-03-28T12:00"), at("2026-03-29T12:00"))
    assert open_time(berlin("02:00", "03:00"), *night) == timedelta()
    assert open_time(berlin("02:30", "04:00"), *night) == timedelta(hours=1), "from the jump, which shows 03:00"
    assert open_time(berlin("01:00", "02:30"), *night) == timedelta(hours=1), "until the jump"


def test_hours_over_midnight_belong_to_the_day_they_begin_on() -> None:
    friday = berlin("22:00", "02:00", "fri")
    assert is_open(friday, at("2026-11-27T22:30"))  # Friday 23:30 there
    assert is_open(friday, at("2026-11-28T00:59"))  # Saturday 01:59
    assert not is_open(friday, at("2026-11-28T01:00"))
    assert not is_open(friday, at("2026-11-26T23:30"))  # Friday 00:30
    assert length_of_week(friday) == timedelta(hours=4)


def test_the_last_minute_is_no_longer_part() -> None:
    hours = berlin("08:00", "20:00", "thu")
    assert is_open(hours, at("2026-11-26T07:00"))
    assert is_open(hours, at("2026-11-26T18:59:59"))
    assert not is_open(hours, at("2026-11-26T19:00"))
    assert not is_open(hours, at("2026-11-25T12:00")), "a Wednesday"


def test_a_week_is_what_the_clock_says() -> None:
    assert length_of_week(berlin("05:30", "22:00")) == timedelta(hours=115.5)
    assert length_of_week(berlin("00:00", "24:00", "sun")) == DAY


CLOCKS = st.integers(0, 24 * 12 - 1).map(lambda five: f"{five // 12:02}:{five % 12 * 5:02}")
# Two changes of the clock in each zone; the last one jumps by half an hour.
CHANGES = st.sampled_from(
    [
        ("Europe/Berlin", "2026-03-28T00:00"),
        ("Europe/Berlin", "2026-10-24T00:00"),
        ("America/New_York", "2026-03-07T05:00"),
        ("America/New_York", "2026-10-31T05:00"),
        ("Australia/Lord_Howe", "2026-04-04T00:00"),
        ("Australia/Lord_Howe", "2026-10-03T00:00"),
    ]
)


@given(CHANGES, CLOCKS, CLOCKS, st.sets(st.sampled_from(ALL), min_size=1))
def test_time_is_what_counting_every_five_minutes_gives(
    change: tuple[str, str], opens: str, closes: str, weekdays: set[Weekday]
) -> None:
    if opens == closes:
        closes = "24:00" if opens != "00:00" else "12:00"
    hours = RevenueHours(zone=change[0], weekdays=tuple(weekdays), opens=opens, closes=closes)
    since, step = at(change[1]), timedelta(minutes=5)
    counted = sum(is_open(hours, since + step * number) for number in range(2 * 24 * 12))
    assert open_time(hours, since, since + 2 * DAY) == counted * step


@given(CHANGES, CLOCKS, CLOCKS, st.integers(0, 2 * 24 * 60 - 1))
def test_within_one_day_the_wall_clock_decides(change: tuple[str, str], one: str, other: str, minutes: int) -> None:
    opens, closes = sorted((one, other))
    if opens == closes:
        closes = "24:00"
    hours = RevenueHours(zone=change[0], weekdays=ALL, opens=opens, closes=closes)
    moment = at(change[1]) + timedelta(minutes=minutes)
    wall = moment.astimezone(ZoneInfo(change[0]))
    shows = f"{wall:%H:%M}"
    expected = opens <= shows < closes
    # Where the clock goes back, hours that begin or end in the repeated time hold all of it.
    is_repeated = wall.utcoffset() != wall.replace(fold=1 - wall.fold).utcoffset()
    assert is_open(hours, moment) == expected or is_repeated
