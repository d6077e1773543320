"""Lengths and instants are read as they are written, and written so that they read the same."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atp.ops.declaration.durations import about, format_duration, format_instant, parse_duration, parse_instant


@given(st.integers(1, 999_999), st.sampled_from(["s", "min", "h", "d"]))
def test_a_length_that_was_read_is_written_so_that_it_reads_the_same(number: int, unit: str) -> None:
    length = parse_duration(f"{number}{unit}")
    again = format_duration(length)
    assert parse_duration(again) == length if len(again) <= 9 else again.endswith("s")


@pytest.mark.parametrize(
    ("text", "length"),
    [
        ("45s", timedelta(seconds=45)),
        ("15min", timedelta(minutes=15)),
        ("2h", timedelta(hours=2)),
        ("90d", timedelta(days=90)),
    ],
)
def test_lengths_mean_what_they_say(text: str, length: timedelta) -> None:
    assert parse_duration(text) == length
    assert format_duration(length) == text


@pytest.mark.parametrize(
    "text", ["", "0s", "-1h", "1", "h", "1.5h", "15m", "15 min", "1h30min", "٣h", "1H", "9999999d"]
)
def test_whatever_else_is_no_length(text: str) -> None:
    with pytest.raises(ValueError):
        parse_duration(text)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0s"), (-5, "0s"), (59.9, "59s"), (61, "1min 1s"), (3_600, "1h"), (5_430, "1h 30min"), (8_553_600, "99d")],
)
def test_people_read_the_largest_units(seconds: float, text: str) -> None:
    assert about(timedelta(seconds=seconds)) == text


@given(st.datetimes(timezones=st.just(UTC)))
def test_an_instant_that_was_written_reads_the_same(moment: datetime) -> None:
    assert parse_instant(format_instant(moment)) == moment


def test_a_date_is_its_first_moment() -> None:
    assert parse_instant("2026-03-01") == datetime(2026, 3, 1, tzinfo=UTC)
    assert format_instant(datetime(2026, 3, 1, tzinfo=UTC)) == "2026-03-01"
    assert parse_instant("2026-03-01T01:00:00+02:00") == datetime(2026, 2, 28, 23, tzinfo=UTC)


@pytest.mark.parametrize(
    "text", ["", "2026", "2026-02-30", "2026-03-01T09:00", "2026-03-01T09:00:00", "0001-01-01T00:00:00+14:00", "now"]
)
def test_whatever_else_is_no_instant(text: str) -> None:
    with pytest.raises(ValueError):
        parse_instant(text)
