"""Times as sources write them; foreign truth: the annotations of fail2ban's sample logs."""

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from atp.formats.times import parse_time
from atp.log.event import parse_instant


@pytest.mark.parametrize(
    ("text", "time"),
    [
        ("2023-07-10T11:42:36Z", "2023-07-10T11:42:36Z"),
        ("2023-07-10T11:42:36.123Z", "2023-07-10T11:42:36.123Z"),
        ("2023-07-10T11:42:36.123456Z", "2023-07-10T11:42:36.123456Z"),
        ("2024-12-10T02:22:58.7270280Z", "2024-12-10T02:22:58.7270280Z"),
        ("2023-07-10T11:42:36.123456789Z", "2023-07-10T11:42:36.123456789Z"),
        ("2023-07-10T11:42:36+08:00", "2023-07-10T03:42:36Z"),
        ("2023-07-10T11:42:36.5+0000", "2023-07-10T11:42:36.5Z"),
        ("2021-08-19T12:16:32.000-04:00", "2021-08-19T16:16:32.000Z"),
        ("2021-05-18T21:13:35", "2021-05-18T21:13:35Z"),
        ("2022-11-29 00:09:04.38", "2022-11-29T00:09:04.38Z"),
        ("2023-10-26T5:32:08.107Z", "2023-10-26T05:32:08.107Z"),
        ("2025-05-06 09:27:40 CEST", "2025-05-06T07:27:40Z"),
        ("2020-11-05 21:21:46Z", "2020-11-05T21:21:46Z"),
        ("2023/10/04 10:24:15", "2023-10-04T10:24:15Z"),
        ("20231026T053208Z", "2023-10-26T05:32:08Z"),
        ("1621305118", "2021-05-18T02:31:58Z"),
        ("1621305118553", "2021-05-18T02:31:58.553Z"),
        ("1621305118553123", "2021-05-18T02:31:58.553123Z"),
        ("1621305118553123456", "2021-05-18T02:31:58.553123456Z"),
        ("1682106508.209", "2023-04-21T19:48:28.209Z"),
        ("Jul 10, 2023 11:54:39 AM", "2023-07-10T11:54:39Z"),
        ("Aug 2, 2024, 12:23:24 AM", "2024-08-02T00:23:24Z"),
        ("Aug 2, 2024, 12:23:24 PM", "2024-08-02T12:23:24Z"),
        ("Thu Jul 11 01:21:41 2013", "2013-07-11T01:21:41Z"),
        ("Thu Jun 27 11:55:44.569531 2013", "2013-06-27T11:55:44.569531Z"),
        ("27/Jun/2013:11:55:44 +0200", "2013-06-27T09:55:44Z"),
        ("Mon, 02 Jan 2006 15:04:05 -0700", "2006-01-02T22:04:05Z"),
        ("2016-12-31T23:59:60+00:00", "2016-12-31T23:59:59Z"),
    ],
)
def test_each_layout_is_read(text: str, time: str) -> None:
    assert parse_time(text) == time


@pytest.mark.parametrize(
    "text",
    [
        *(
            "",
            "-",
            "0",
            "...",
            "yesterday",
            "12345678",
            "9" * 20,
            "2023-07-10",
            "Jul 10 11:54:39",
            "10/06/2013 15:50:41",
        ),
        *("0001-01-01T00:00:00Z", "0001-01-01 00:00:00", "9999-12-31T23:59:59-12:00", "2025-05-06 09:27:40 IST"),
        *("2023-13-01T00:00:00Z", "2023-02-29T00:00:00Z", "2023-07-10T25:00:00Z"),
    ],
)
def test_what_holds_no_certain_time_has_none(text: str) -> None:
    assert parse_time(text) is None


def test_a_zone_can_be_given_for_times_that_name_none() -> None:
    zone = ZoneInfo("Europe/Berlin")
    assert parse_time("2023-07-10 12:00:00", zone=zone) == "2023-07-10T10:00:00Z"
    assert parse_time("2023-01-10 12:00:00", zone=zone) == "2023-01-10T11:00:00Z"
    assert parse_time("2023-07-10 12:00:00+00:00", zone=zone) == "2023-07-10T12:00:00Z"


def test_a_time_without_year_gets_the_last_one_that_is_not_later() -> None:
    read_at = datetime(2024, 3, 1, tzinfo=UTC)
    assert parse_time("Feb 29 23:00:00", not_after=read_at) == "2024-02-29T23:00:00Z"
    assert parse_time("Dec 31 23:59:59", not_after=read_at) == "2023-12-31T23:59:59Z"
    assert parse_time("Feb 29 23:00:00", not_after=datetime(2023, 3, 1, tzinfo=UTC)) == "2020-02-29T23:00:00Z"


@given(st.integers(100_000_000_000_000, 7_000_000_000_000_000), st.timezones(), st.booleans())
def test_every_instant_comes_back_from_every_zone(micros: int, zone: ZoneInfo, is_spaced: bool) -> None:
    aware = (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=micros)).astimezone(zone)
    offset = aware.utcoffset() or timedelta()
    assume(not offset.seconds % 60)  # local mean time: RFC 3339 has no offsets with seconds
    text = parse_time(aware.isoformat(sep=" " if is_spaced else "T"))
    assert text is not None
    assert parse_instant(text) == micros


@given(st.text(max_size=40))
def test_no_text_raises(text: str) -> None:
    time = parse_time(text)
    assert time is None or parse_instant(time) is not None


def test_the_annotated_times_of_103_services_agree(shared: Path) -> None:
    folder = shared / "data/events/host_syslog/fail2ban"
    zone = ZoneInfo("Europe/Zurich")  # where those samples were annotated
    annotated = [pair for file in sorted(folder.glob("*.log")) for pair in _annotated(file)]
    found = [(expected, _first_time(line, zone)) for expected, line in annotated]
    agreed = [expected for expected, time in found if time == expected]
    assert [pair for pair in found if pair[1] not in (None, pair[0])] == []
    assert len(agreed) > 0.9 * len(annotated) > 100


def _annotated(file: Path) -> Iterator[tuple[datetime, str]]:
    expected = None
    for line in file.read_text("utf-8", "replace").splitlines():
        if match := re.match(r"#\s*failJSON:\s*(\{.*\})", line):
            expected = re.search(r'"time":\s*"([^"]+)"', match[1])
        elif line and not line.startswith("#"):
            if expected:
                yield datetime.strptime(expected[1][:19], "%Y-%m-%dT%H:%M:%S"), line  # noqa: DTZ007 - local, as annotated
            expected = None


def _first_time(line: str, zone: ZoneInfo) -> datetime | None:
    """The first stretch of a line, cut at blanks and brackets, that is a time."""
    not_after = datetime(2005, 8, 14, 11, 59, 59, tzinfo=zone)  # the clock of those samples
    for begin in [0, *(match.end() for match in re.finditer(r"[\s\[(<|\"]", line[:90]))]:
        ends = [match.start() for match in re.finditer(r"[\s\])>|\",;:]|$", line[: begin + 45])]
        for end in reversed([end for end in ends if end > begin + 7]):
            if time := parse_time(line[begin:end], zone=zone, not_after=not_after):
                return datetime.fromisoformat(time).astimezone(zone).replace(tzinfo=None, microsecond=0)
    return None
