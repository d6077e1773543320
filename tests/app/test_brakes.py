"""A freeze keeps everything where it is, maintenance keeps everything out; both survive a restart."""

from pathlib import Path

import pytest

from atp.app.acts import brake
from atp.app.brakes import FREEZE, MAINTENANCE, Kind
from atp.errors import ConflictError, ForbiddenError, UnavailableError
from atp.log.event import prepare
from atp.tenants.access import SCOPES, Caller
from tests.app.opened import ROOT, record, running, told
from tests.world import prepared, raw_event


def test_a_freeze_refuses_exports_with_its_reason_until_it_is_released(tmp_path: Path) -> None:
    with running(tmp_path) as platform:
        record(platform, range(1))
        brake(platform, FREEZE, is_pulled=True, reason="case 7", by=ROOT, ip=None)
        with pytest.raises(ConflictError, match=r"frozen since .*: case 7"):
            platform.reader("default", by=ROOT, scope="export")
        assert platform.reader("default", by=ROOT).size() == 1
        record(platform, range(1, 2))
        brake(platform, FREEZE, is_pulled=False, reason="closed", by=ROOT, ip=None)
        assert platform.reader("default", by=ROOT, scope="export").size() == 2


def test_maintenance_refuses_events_and_the_operators_trail_goes_on(tmp_path: Path) -> None:
    with running(tmp_path) as platform:
        brake(platform, MAINTENANCE, is_pulled=True, reason="new disk", by=ROOT, ip=None)
        with pytest.raises(UnavailableError, match=r"maintenance since .*: new disk") as refusal:
            platform.record(prepared(raw_event(1)), by=ROOT, tenant="default")
        assert refusal.value.retry_after_seconds > 1
        assert platform.record(prepared(raw_event(1)), by=ROOT, tenant="operations").result(10).accepted == 1
        brake(platform, MAINTENANCE, is_pulled=False, reason="moved", by=ROOT, ip=None)
        record(platform, range(1))


def test_a_brake_stands_in_the_operators_trail_with_person_and_reason(tmp_path: Path) -> None:
    alice = Caller("alice", "a" * 12, ("admin",))
    with running(tmp_path) as platform:
        for kind, name in ((FREEZE, "integrity.freeze"), (MAINTENANCE, "maintenance.on")):
            brake(platform, kind, is_pulled=True, reason="why", by=alice, ip="192.0.2.1")
            (event,) = told(platform, name)
            assert (event["actor"], event["data"], event["by"]) == ("alice", {"reason": "why"}, "atp")


@pytest.mark.parametrize("kind", [FREEZE, MAINTENANCE], ids=["freeze", "maintenance"])
def test_a_restart_finds_the_newest_word_about_a_brake(tmp_path: Path, kind: Kind) -> None:
    for is_pulled, reason in ((True, "first"), (True, "second"), (False, "done"), (True, "third")):
        with running(tmp_path) as platform:
            brake(platform, kind, is_pulled=is_pulled, reason=reason, by=ROOT, ip=None)
            expected = platform.brakes.pulled(kind)
        with running(tmp_path) as platform:
            assert platform.brakes.pulled(kind) == expected
            assert (expected is not None) == is_pulled and (expected is None or expected.reason == reason)


def test_what_somebody_else_sends_is_no_brake(tmp_path: Path) -> None:
    forged = b'{"actor":{"id":"mallory"},"action":"integrity.freeze","data":{"reason":"ha"}}'
    with running(tmp_path) as platform:
        platform.record([prepare(forged)], by=ROOT, tenant="operations").result(10)
    with running(tmp_path) as platform:
        assert platform.brakes.pulled(FREEZE) is None


def test_a_brake_that_is_not_on_cannot_be_released(tmp_path: Path) -> None:
    with running(tmp_path) as platform:
        with pytest.raises(ConflictError, match="there was no"):
            brake(platform, FREEZE, is_pulled=False, reason="x", by=ROOT, ip=None)
        assert told(platform, "integrity.unfreeze") == []


def test_only_an_administrator_of_everything_brakes(tmp_path: Path) -> None:
    with running(tmp_path) as platform:
        for caller in (Caller("bob", "b" * 12, ("read",)), Caller("eve", "e" * 12, SCOPES, ("default",))):
            with pytest.raises(ForbiddenError):
                brake(platform, FREEZE, is_pulled=True, reason="x", by=caller, ip=None)
        assert platform.brakes.pulled(FREEZE) is None
