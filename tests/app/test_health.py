"""What the health doors say of a platform that is well, and of one that is not."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atp.app.config import Config
from atp.app.health import EVERYTHING, SERVICES, Health, format_duration
from atp.app.open import open_platform
from atp.app.platform import Platform
from atp.app.status import Counter, log_statuses
from atp.log.append import Outcome
from atp.log.event import prepare
from atp.tenants.access import SCOPES, Caller
from tests.world import raw_event

ROOT = Caller("root", "", SCOPES)


@contextmanager
def running(data: Path) -> Iterator[Platform]:
    platform = open_platform(Config(data)).platform
    platform.start()
    try:
        yield platform
    finally:
        platform.stop()


def record(platform: Platform, number: int) -> Outcome:
    """Record one event and wait until it is published."""
    outcome = platform.record([prepare(raw_event(number))], by=ROOT, tenant="default").result(10)
    platform.pipeline.when_published("default", number).result(10)
    return outcome


def health(platform: Platform) -> Health:
    return Health(platform, Counter(platform))


def test_a_new_platform_is_well_in_every_service(tmp_path: Path) -> None:
    with running(tmp_path / "data") as platform:
        record(platform, 0)
        for service, checks in SERVICES.items():
            report = health(platform).report(checks)
            assert report.status == "Healthy", (service, report)
            assert set(report.entries) == set(checks)


def test_a_bug_makes_the_process_unhealthy_and_is_not_described(tmp_path: Path) -> None:
    with running(tmp_path / "data") as platform:
        platform.bug = ValueError("acme's secret")
        report = health(platform).report(SERVICES["live"])
    assert report.status == "Unhealthy"
    assert "acme" not in str(report)


def test_a_log_that_contradicts_its_signature_makes_integrity_unhealthy_and_is_not_named(tmp_path: Path) -> None:
    data = tmp_path / "data"
    with running(data) as platform:
        record(platform, 0)
    with running(data) as platform:
        older = (data / "logs/default/checkpoint").read_bytes()
        record(platform, 1)
        newer = (data / "logs/default/checkpoint").read_bytes()
    assert older != newer
    forged = newer.replace(b"\n2\n", b"\n3\n", 1)
    (data / "logs/default/checkpoint").write_bytes(forged)
    with running(data) as platform:
        report = health(platform).report(EVERYTHING)
        (row,) = [log for log in log_statuses(platform, by=ROOT) if log.tenant == "default"]
    assert report.entries["logs"].status == report.status == "Unhealthy"
    assert "default" not in str(report)
    assert row.stopped is not None


def test_a_status_row_says_how_far_a_log_is(tmp_path: Path) -> None:
    with running(tmp_path / "data") as platform:
        platform.add_tenant("empty")
        record(platform, 0)
        rows = {row.tenant: row for row in log_statuses(platform, by=ROOT)}
    row = rows["default"]
    assert (row.size, row.published_size, row.viewed_size, row.parked, row.stopped) == (1, 1, 1, 0, None)
    assert row.complete_to is not None
    assert rows["empty"].size == 0
    assert rows["empty"].complete_to is None


def test_a_status_shows_only_what_a_caller_sees(tmp_path: Path) -> None:
    with running(tmp_path / "data") as platform:
        rows = log_statuses(platform, by=Caller("carol", "", ("read",), ("default",)))
    assert [row.tenant for row in rows] == ["default"]


def test_a_census_is_taken_at_most_once_a_second(tmp_path: Path) -> None:
    with running(tmp_path / "data") as platform:
        counter = Counter(platform)
        assert counter.census() is counter.census()


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.0123456, "00:00:00.0123456"), (3_661.5, "01:01:01.5000000"), (0.0, "00:00:00.0000000")]
)
def test_a_duration_is_written_as_dashboards_read_it(seconds: float, text: str) -> None:
    assert format_duration(seconds) == text


@given(st.floats(min_value=0, max_value=1e6))
def test_every_duration_has_one_form(seconds: float) -> None:
    text = format_duration(seconds)
    assert re.fullmatch(r"[0-9]{2,}:[0-5][0-9]:[0-5][0-9]\.[0-9]{7}", text)
    hours, minutes, rest = text.split(":")
    assert abs(int(hours) * 3600 + int(minutes) * 60 + float(rest) - seconds) < 1e-6
