"""The platform verifies itself: rounds and runs find what is wrong, name it, and wake somebody once."""

import io
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from atp.adapters.memory import FrozenClock
from atp.app import acts
from atp.app.health import Health
from atp.app.inspect import read_frame
from atp.app.integrity import Run
from atp.app.patrol import begin_patrol
from atp.app.platform import Platform
from atp.app.status import Counter
from atp.errors import ConflictError, ForbiddenError, MissingError
from atp.limits import INTEGRITY_ROUND_SECONDS_MIN
from atp.log.project.follow import frames_due
from atp.merkle.checkpoints import Checkpoint, sign_checkpoint
from atp.merkle.keys import SigningKey
from atp.tenants.access import SCOPES, Caller
from atp.verify.report import Level
from tests.app.opened import ROOT, record, running, told, until

SIZE = 1_300
BUNDLE = "logs/default/tile/entries/002.zst"


def verified(platform: Platform, tenant: str | None = None, level: Level | None = None) -> Run:
    """A run on demand, done."""
    run = acts.verify(platform, acts.choose_logs(platform, tenant, by=ROOT), level=level)
    until(lambda: run.finished_at)
    return run


def walk(platform: Platform, clock: FrozenClock) -> None:
    """One round over all logs, as the standing verification does it."""
    clock.advance(INTEGRITY_ROUND_SECONDS_MIN)
    while platform.integrity.step():
        pass


def flip(path: Path, at: int = -20) -> None:
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.write_bytes(data)


def health(platform: Platform) -> str:
    return Health(platform, Counter(platform)).report(["verified"]).status


def test_a_round_finds_whole_logs_whole_and_takes_time_between_rounds(tmp_path: Path) -> None:
    clock = FrozenClock()
    with running(tmp_path, clock=clock) as platform:
        record(platform, range(SIZE))
        assert not platform.integrity.step(), "no round begins with the start"
        walk(platform, clock)
        assert platform.integrity.mismatches == {} and platform.integrity.round_ended_at
        counted = [line for line in platform.meters.render().splitlines() if "integrity_entries_total" in line]
        assert int(counted[0].split()[1]) in (SIZE + 1, SIZE + 2), "the operators' trail has one or two"
        assert not platform.integrity.step()


DAMAGES: dict[str, tuple[Callable[[Path], None], str, int]] = {
    "a bundle": (lambda data: flip(data / BUNDLE), "tile/entries/002.zst", 512),
    "a tile": (lambda data: flip(data / "logs/default/tile/0/001", 33), "tile/0/001", 257),
    "a lost bundle": (lambda data: (data / BUNDLE).unlink(), "tile/entries/002.zst", 512),
    "a lost tile": (lambda data: (data / "logs/default/tile/0/003").unlink(), "tile/0/003", 768),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_damage_is_an_alarm_once_that_names_the_file_and_the_first_entry(tmp_path: Path, damage: str) -> None:
    hurt, place, index = DAMAGES[damage]
    clock, said = FrozenClock(), io.StringIO()
    with running(tmp_path, clock=clock, said=said) as platform:
        record(platform, range(SIZE))
        assert health(platform) == "Healthy"
        hurt(tmp_path)
        for _ in range(2):
            walk(platform, clock)
        found = platform.integrity.mismatches["default"]
        assert place in found.place and found.index == index
        assert health(platform) == "Unhealthy"
        until(lambda: told(platform, "integrity.mismatch"))
        (event,) = told(platform, "integrity.mismatch")
        assert event["data"]["segment"] == "default/0"
        assert event["resource"] == "default" and event["data"]["index"] == index and place in event["data"]["file"]
        assert "atp_integrity_mismatches_total 1" in platform.meters.render()
    (line,) = [line for line in map(json.loads, said.getvalue().splitlines()) if line["what"] == "integrity_mismatch"]
    assert (line["level"], line["tenant"], line["index"]) == ("critical", "default", index)
    (evidence,) = (tmp_path / "evidence").iterdir()
    document = json.loads(evidence.read_bytes())
    assert document["checkpoint"].startswith("example.org/default\n1300\n") and document["report"]["tampered"]
    assert document["mismatch"]["index"] == index and evidence.stat().st_mode & 0o777 == 0o600


def test_a_log_that_is_stopped_already_is_verified_and_leaves_evidence_too(tmp_path: Path) -> None:
    clock = FrozenClock()
    with running(tmp_path, clock=clock) as platform:
        record(platform, range(SIZE), is_followed=True)
        platform.pipeline.stopped["default"] = "its bytes contradict each other"
        (tmp_path / BUNDLE).unlink()
        walk(platform, clock)
        assert platform.integrity.mismatches["default"].index == 512
        assert list((tmp_path / "evidence").iterdir())


def test_a_view_that_hides_an_entry_is_a_mismatch(tmp_path: Path) -> None:
    clock = FrozenClock()
    with running(tmp_path, clock=clock) as platform:
        record(platform, range(SIZE), is_followed=True)
        models, reader = platform.stores.models, platform.reader("default", by=ROOT)
        frames = [read_frame(number, reader.frame(number)) for number in range(frames_due(SIZE))]
        frames[3] = replace(frames[3], terms=frames[3].terms[::2])
        models.clear("default")
        models.extend("default", frames)
        walk(platform, clock)
        found = platform.integrity.mismatches["default"]
        assert (found.place, found.index) == ("views", 3 * 64)


def test_a_bundle_and_its_tile_that_were_changed_together_do_not_lead_to_the_signed_root(tmp_path: Path) -> None:
    clock = FrozenClock()
    with running(tmp_path / "one", clock=clock) as platform:
        record(platform, range(SIZE))
        with running(tmp_path / "other", clock=FrozenClock(seed=5)) as other:
            record(other, range(1_000_000, 1_000_000 + SIZE))
        for path in ("tile/0/002", "tile/entries/002.zst"):
            forged = (tmp_path / "other/logs/default" / path).read_bytes()
            (tmp_path / "one/logs/default" / path).write_bytes(forged)
        walk(platform, clock)
        assert platform.integrity.mismatches["default"].place == "checkpoint"


def test_a_checkpoint_of_a_foreign_key_is_a_mismatch(tmp_path: Path) -> None:
    clock = FrozenClock()
    with running(tmp_path, clock=clock) as platform:
        record(platform, range(10))
        log = next(log for log in platform.logs(by=ROOT) if log.tenant == "default")
        foreign = SigningKey.from_seed(bytes(32), name=log.origin).public().vkey
        platform.stores.objects.replace("logs/default/vkey", f"{foreign}\n".encode())
        patrol = begin_patrol(log, stores=platform.stores)
        assert patrol is not None
        finding = patrol.step()
        assert finding is not None and finding.place == "checkpoint" and "no trusted key" in finding.reason
        assert not patrol.is_done and patrol.checked == 0


def test_a_log_that_grows_and_changes_its_keys_while_it_is_walked_is_no_mismatch(tmp_path: Path) -> None:
    clock = FrozenClock()
    with running(tmp_path, clock=clock) as platform:
        record(platform, range(5_000))
        log = next(log for log in platform.logs(by=ROOT) if log.tenant == "default")
        patrol = begin_patrol(log, stores=platform.stores)
        assert patrol is not None and patrol.step() is None and not patrol.is_done
        (old,) = platform.log_keys.keys("default")
        acts.rotate_key(platform, "default", by=ROOT)
        acts.retire_key(platform, "default", old.key_id.hex(), by=ROOT)
        record(platform, range(5_000, 9_000))
        acts.rebuild(platform, [log])
        assert patrol.step() is None and patrol.is_done and patrol.checked == 5_000


def test_a_run_reports_every_level_of_every_log(tmp_path: Path) -> None:
    with running(tmp_path) as platform:
        record(platform, range(SIZE), is_followed=True)
        run = verified(platform)
        assert run.tampered is False and run.error is None and run.report is not None
        logs = {log["log"]: log for log in run.report["logs"]}
        assert set(logs) == {"default", "operations"} and logs["default"]["size"] == SIZE
        assert {level["verdict"] for level in logs["default"]["levels"].values()} == {"ok"}
        assert set(logs["default"]["levels"]) == {"structure", "payload", "index"}
        assert run.checked == run.entries == 2 * (SIZE + 1)
        only = verified(platform, "default", "index")
        assert only.report is not None and list(only.report["logs"][0]["levels"]) == ["index"]


def test_a_run_finds_damage_wakes_somebody_and_a_whole_log_ends_the_alarm(tmp_path: Path) -> None:
    with running(tmp_path) as platform:
        record(platform, range(SIZE))
        flip(tmp_path / BUNDLE)
        run = verified(platform, "default")
        assert run.tampered and platform.integrity.mismatches["default"].index == 704, "the verifier knows the frame"
        until(lambda: told(platform, "integrity.mismatch"))
        assert len(list((tmp_path / "evidence").iterdir())) == 1
        flip(tmp_path / BUNDLE)
        assert verified(platform, "default").tampered is False
        assert platform.integrity.mismatches == {} and health(platform) == "Healthy"


def test_one_run_at_a_time_and_runs_are_found_by_their_number(tmp_path: Path) -> None:
    with running(tmp_path) as platform:
        for start in range(0, 30_000, 10_000):
            record(platform, range(start, start + 10_000))
        logs = acts.choose_logs(platform, None, by=ROOT)
        run = acts.verify(platform, logs, level=None)
        with pytest.raises(ConflictError, match="under way"):
            acts.verify(platform, logs, level=None)
        assert acts.find_run(platform, run.number, by=ROOT) is run
        with pytest.raises(MissingError):
            acts.find_run(platform, 99, by=ROOT)
    assert run.finished_at and run.error and "stopping" in run.error, "a stop breaks it off"


def test_who_may_not_see_a_log_learns_nothing_of_its_verification(tmp_path: Path) -> None:
    with running(tmp_path) as platform:
        run = verified(platform)
        with pytest.raises(MissingError):
            acts.find_run(platform, run.number, by=Caller("eve", "e" * 12, SCOPES, ("default",)))
        with pytest.raises(ForbiddenError):
            acts.find_run(platform, run.number, by=Caller("bob", "b" * 12, ("read",)))


def test_a_forged_public_checkpoint_is_found(tmp_path: Path) -> None:
    with running(tmp_path) as platform:
        record(platform, range(300))
        forged = Checkpoint("example.org/default", 300, bytes(32))
        foreign = SigningKey.from_seed(bytes(32), name="example.org/default")
        platform.stores.objects.replace("logs/default/checkpoint", sign_checkpoint(forged, foreign))
        assert verified(platform, "default").tampered
