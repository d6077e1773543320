"""What is late is told once, whatever is restarted; what is run next follows from what is known."""

import io
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest

from atp.app.config import Config, Runs, load_config
from atp.app.due import Scheduler, events_of, next_run
from atp.app.estate import Declared, Seen
from atp.app.open import open_platform
from atp.app.platform import Platform
from atp.app.runner import Runner
from atp.errors import InvalidError
from atp.log.event import read_event
from atp.observe import Lines
from atp.ops.estate.declare.hosts import is_host
from atp.ops.estate.declare.parse import parse_estate
from atp.ops.estate.evidence.copies import Subject
from atp.ops.estate.evidence.proofs import Fact, fold
from atp.ops.estate.evidence.standing import standing_of
from tests.app.opened import ROOT
from tests.ops.estate.estates import NOW, small
from tests.ops.estate.proving import HOUR, ROTATION, backup, drilled, verified

DAY = timedelta(days=1)
HOURS = (
    "critical_paths:",
    "revenue_hours: {zone: UTC, weekdays: [thu], opens: '09:00', closes: '11:00'}\ncritical_paths:",
)


def seen(*facts: Fact, change: tuple[str, str] | None = None) -> Seen:
    """The small estate with these facts at `NOW`, a Thursday at ten."""
    estate = parse_estate(small(*([change] if change else [])), file="estate.yaml")
    evidence = fold(facts, now=NOW)
    subjects = (Subject(name, one, estate, evidence.of(name), True, NOW) for name, one in estate.datasets.items())
    standings = {subject.name: standing_of(subject) for subject in subjects}
    return Seen(Declared(Path("estate.yaml"), estate), NOW, evidence, standings)


# (facts, ids of what is told)
TOLD: list[tuple[list[Fact], list[str]]] = [
    ([backup(), verified(), *ROTATION], []),
    ([], ["backup.overdue.data.never", "drill.overdue.data.never"]),
    ([backup(HOUR + timedelta(minutes=5)), verified(), *ROTATION], []),
    ([backup(2 * HOUR), verified(), *ROTATION], ["backup.overdue.data.1795683960000000"]),
    ([backup(), verified(), drilled(91 * DAY)], ["drill.overdue.data.1795600800000000"]),
    ([backup(), backup(HOUR / 4, verdict="error"), verified(), *ROTATION], ["backup.failed.data.1795686300000000"]),
    ([backup(), verified(), verified(HOUR, verdict="fail"), *ROTATION], ["verify.failed.data.1795683600000000"]),
    ([backup(), verified(), *ROTATION, drilled(HOUR, verdict="fail")], ["drill.failed.data.1795683600000000"]),
    ([backup(), verified(), *ROTATION, drilled(HOUR, verdict="insufficient")], []),
]


@pytest.mark.parametrize(("facts", "ids"), TOLD)
def test_what_is_told_has_an_id_of_its_deadline(facts: list[Fact], ids: list[str]) -> None:
    assert [event.id for event in events_of(seen(*facts))] == ids


# (facts, change of the file, whether there is a key, what is run)
RUNS: list[tuple[list[Fact], tuple[str, str] | None, bool, str | None]] = [
    ([], None, True, "backup"),
    ([backup()], None, True, "verify"),
    ([backup(), verified()], None, True, "drill"),
    ([backup(), verified()], None, False, None),
    ([backup(), verified()], HOURS, True, None),
    ([backup()], HOURS, True, "verify"),
    ([backup(), verified(), *ROTATION], None, True, None),
    ([backup(HOUR + timedelta(seconds=1)), verified(), *ROTATION], None, True, "backup"),
    ([backup(verdict="error", ago=HOUR / 2)], None, True, "backup"),
    ([backup(verdict="error", ago=HOUR / 6)], None, True, None),
    ([backup(), verified(), drilled(HOUR, verdict="fail")], None, True, None),
    ([backup(), verified(), drilled(25 * HOUR, verdict="fail")], None, True, "drill"),
    ([], ("kind: sqlite", "kind: postgresql"), True, "backup"),
]


@pytest.mark.parametrize(("facts", "change", "can_drill", "kind"), RUNS)
def test_what_is_run_next(facts: list[Fact], change: tuple[str, str] | None, can_drill: bool, kind: str | None) -> None:
    if change and "postgresql" in change[1]:
        change = ("kind: sqlite\n    source: {place: /var/lib/data.db}", "kind: postgresql\n    source: {env: URL}")
    found = next_run(seen(*facts, change=change), tried={}, can_drill=can_drill)
    assert (found.kind if found else None) == kind


RUNS_ON = ("scenarios: [deletion, corruption]}", "scenarios: [deletion, corruption], runs_on: safe-1}")


def test_a_drill_that_another_machine_is_declared_for_is_told_with_its_place_and_not_run() -> None:
    state = seen(backup(), verified(), drilled(91 * DAY), change=RUNS_ON)
    [event] = events_of(state)
    assert isinstance(event.data, msgspec.Raw) and msgspec.json.decode(event.data)["runs_on"] == "safe-1"
    assert next_run(state, tried={}, can_drill=True, host="web-1") is None
    found = next_run(state, tried={}, can_drill=True, host="SAFE-1.example.org")
    assert found is not None and (found.kind, found.runs_on) == ("drill", "safe-1")
    [other] = events_of(seen(backup(), verified(), drilled(91 * DAY)))
    assert isinstance(other.data, msgspec.Raw) and b"runs_on" not in bytes(other.data)


def test_the_line_of_the_log_says_where_a_late_drill_has_to_run(tmp_path: Path) -> None:
    (tmp_path / "estate.yaml").write_bytes(small(RUNS_ON))
    said = io.StringIO()
    platform = open_platform(Config(tmp_path / "data", estate=tmp_path / "estate.yaml"), lines=Lines(said)).platform
    platform.start()
    try:
        scheduler_of(platform).due_once()
    finally:
        platform.stop()
    raised = [line for line in said.getvalue().splitlines() if "recovery_raised" in line]
    assert [("safe-1" in line) for line in raised] == ["drill.overdue" in line for line in raised]
    assert len(raised) == 2


@pytest.mark.parametrize(
    ("named", "here", "is_it"),
    [
        ("safe-1", "safe-1", True),
        ("safe-1", "Safe-1.example.org", True),
        ("safe-1.example.org", "safe-1.example.org", True),
        ("safe-1.example.org", "safe-1", False),
        ("safe-1.example.org", "safe-1.example.net", False),
        ("safe-1", "safe-10", False),
        ("safe-1", "", False),
    ],
)
def test_a_machine_is_known_by_its_name(named: str, here: str, is_it: bool) -> None:
    assert is_host(named, here) == is_it


def test_what_the_server_itself_tried_is_let_be_for_a_while() -> None:
    state = seen()
    assert next_run(state, tried={("data", "backup"): NOW - timedelta(minutes=14)}, can_drill=True) is None
    assert next_run(state, tried={("data", "backup"): NOW - timedelta(minutes=16)}, can_drill=True) is not None


def test_what_is_late_is_told_once_over_restarts_and_a_changed_schedule(tmp_path: Path) -> None:
    file = tmp_path / "estate.yaml"
    file.write_bytes(small())
    for turn in range(3):
        if turn == 2:
            file.write_bytes(small(("schedule: 1h", "schedule: 30min")))
        said = io.StringIO()
        platform = open_platform(Config(tmp_path / "data", estate=file), lines=Lines(said)).platform
        platform.start()
        try:
            scheduler = scheduler_of(platform)
            scheduler.due_once()
            scheduler.due_once()
            assert told(platform) == ["backup.overdue", "drill.overdue"]
            assert said.getvalue().count("recovery_raised") == 2
        finally:
            platform.stop()


def scheduler_of(platform: Platform) -> Scheduler:
    return Scheduler(
        platform.recovery,
        note=platform.note,
        runner=None,
        on_bug=lambda bug: pytest.fail(str(bug)),
        clock=platform.clock,
        lines=platform.lines,
        meters=platform.meters,
    )


def told(platform: Platform) -> list[str]:
    entries = platform.reader("operations", by=ROOT).durable(0, platform.stores.events.size("operations"))
    actions = [read_event(entry)[1].action for entry in entries]
    return sorted(action for action in actions if action.endswith((".overdue", ".failed")))


def test_a_run_that_fails_ends_with_its_words_and_one_that_hangs_is_killed(tmp_path: Path) -> None:
    runner = Runner(
        Runs(run=True, identity=tmp_path / "KEY.txt"),
        url="http://127.0.0.1:1",
        estate=tmp_path / "none.yaml",
        data=tmp_path,
        root_key=tmp_path / "root.key",
    )
    (due,) = [one for one in seen().standings["data"].due if one.kind == "drill"]
    words = runner.words(due)
    assert words[:3] == ["drill", "run", "data"] and words[-2:] == ["--identity", str(tmp_path / "KEY.txt")]
    runner.begin(due)
    deadline = datetime.now(UTC) + timedelta(seconds=30)
    while (ended := runner.look()) is None:
        assert datetime.now(UTC) < deadline
    assert (ended.dataset, ended.kind, ended.code) == ("data", "drill", 3)
    assert "none.yaml" in ended.tail and not runner.is_running
    runner.begin(due)
    runner.stop()
    assert not runner.is_running and runner.look() is None


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("estate = 5", "estate has to be a text"),
        ("recovery = 5", "recovery has to be a table"),
        ("[recovery]\nrun = 1", "recovery.run has to be true or false"),
        ("[recovery]\nwhat = 1", "'recovery.what' is unknown"),
        ("[recovery]\nrun = true", "no estate file is named"),
        ("what = 1", "'what' is unknown"),
        ("rate_per_second = true", "has to be a number"),
    ],
)
def test_a_wrong_setting_is_named(tmp_path: Path, text: str, reason: str) -> None:
    file = tmp_path / "atp.toml"
    file.write_text(text)
    with pytest.raises(InvalidError, match=reason):
        load_config(tmp_path, listen=None, file=file)


def test_settings_of_recovery_are_read(tmp_path: Path) -> None:
    file = tmp_path / "atp.toml"
    file.write_text('estate = "/e.yaml"\n[recovery]\nrun = true\nidentity = "/k.txt"\n')
    config = load_config(tmp_path, listen=None, file=file)
    assert config.estate == Path("/e.yaml")
    assert config.recovery == Runs(run=True, identity=Path("/k.txt"))
    assert load_config(tmp_path, listen=None, file=file, estate=Path("/f.yaml")).estate == Path("/f.yaml")
    unset: Any = load_config(tmp_path, listen=None, file=None)
    assert unset.estate is None and not unset.recovery.run
