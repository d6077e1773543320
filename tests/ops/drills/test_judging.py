"""Plans, hours, scenarios and verdicts: pure, so every case is a line."""

from datetime import UTC, datetime, timedelta

import pytest

from atp.errors import ForbiddenError, InvalidError
from atp.limits import DRILL_SLOTS_MAX
from atp.ops.drills.declare import check_hours, declared_drill, next_scenario, plan, withheld
from atp.ops.drills.evidence.figures import Objective, Source, verdict_of
from atp.ops.drills.evidence.history import History, due, missed_slots
from atp.ops.drills.evidence.measure import Beat, Recovered, acknowledged, judge_rpo, judge_rto, judge_source
from atp.ops.estate.declare.values import Repository
from tests.ops.backups.world import RECIPIENT
from tests.ops.drills.world import World
from tests.ops.estate.estates import faults, read, small

T0 = datetime(2026, 11, 26, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)


def beats(*minutes_before: float) -> list[Beat]:
    """Heartbeats so many minutes before the loss, each taken a second later."""
    made = [T0 - timedelta(minutes=minutes) for minutes in minutes_before]
    return [Beat(f"{at:%H%M%S}", at, at + timedelta(seconds=1)) for at in made]


def test_copies_of_erasable_keys_are_no_refuge_from_ransomware_whatever_their_repository_locks() -> None:
    key = ("age1public", RECIPIENT)
    other = declared_drill(read(key), "data").repositories["vault"]
    keys = declared_drill(read(key, ("kind: sqlite", "kind: sqlite\n    erasable: true")), "data").repositories["vault"]
    assert (withheld("ransomware", other), other.lock) == ("", "compliance")
    assert "it is not locked" in withheld("ransomware", keys)
    assert [withheld(scenario, keys) for scenario in ("deletion", "host-loss", "region-loss")] == ["", "", ""]


def test_the_plan_says_what_will_be_done(world: World) -> None:
    steps = plan(world.declared, "deletion", is_fenced=True)
    assert [step.name for step in steps] == [
        "challenge",
        "declare",
        "choose",
        "restore",
        "ask",
        "measure",
        "remove",
        "evidence",
    ]
    assert [step.what for step in steps[:5]] == [
        "try to change what the lock of vault should keep",
        "declare the loss: the living data was deleted",
        "choose the newest copy in vault",
        f"restore it into a directory of its own in {world.scratch}",
        "open it, hold it against the inner manifest, ask 2 questions, behind a fence",
    ]
    assert "without a fence" in plan(world.declared, "deletion", is_fenced=False)[4].what
    assert "none is left" in plan(world.declared, "host-loss", is_fenced=True)[2].what


@pytest.mark.parametrize(
    ("copy", "ledger", "verdict", "seconds"),
    [
        (beats(40, 30), beats(40, 30, 20), "pass", 1_800),
        (beats(90, 80), beats(90, 80, 20), "fail", 4_800),
        (beats(90, 80), beats(90, 80), "insufficient", None),  # the writer rested: nobody knows what was lost
        (beats(90, 80), None, "insufficient", None),
        (beats(40, 30), None, "insufficient", None),
        ([], beats(40, 30), "fail", None),  # taken before the copy began, and not in it
        ([], beats(5), "insufficient", None),  # the first heartbeat came after the copy
        (beats(50, 30), beats(50, 40, 30), "fail", None),  # a hole
        (beats(-5), beats(-5), "insufficient", None),  # a clock was set
        (beats(40, 30), beats(4_000, 40, 30), "pass", 1_800),  # the dataset keeps only the newest
    ],
)
def test_the_rpo_is_what_heartbeats_and_ledger_say(
    copy: list[Beat], ledger: list[Beat] | None, verdict: str, seconds: float | None
) -> None:
    found = Recovered(copy, T0 - timedelta(minutes=25), ledger)
    judged = judge_rpo(found, HOUR, lost_at=T0)
    assert (judged.verdict, judged.achieved_seconds) == (verdict, seconds), judged
    assert judge_rpo(found, None, lost_at=T0).verdict != "pass", "what nobody wanted cannot be achieved"


def test_a_heartbeat_that_was_under_way_while_the_copy_began_is_no_hole() -> None:
    sums = acknowledged(Recovered(beats(40), T0 - timedelta(minutes=30) + timedelta(seconds=1), beats(40, 30)))
    assert (sums.recovered, sums.lost, sums.holes) == (1, 1, 0)


@pytest.mark.parametrize(
    ("seconds", "wanted", "failed", "verdict"),
    [
        (10, HOUR, None, "pass"),
        (3_601, HOUR, None, "fail"),
        (10, None, None, "insufficient"),
        (None, HOUR, "fail", "fail"),
        (None, HOUR, "error", "error"),
    ],
)
def test_the_rto_is_the_time_to_the_last_answer(
    seconds: float | None, wanted: timedelta | None, failed: str | None, verdict: str
) -> None:
    assert judge_rto(seconds, wanted, failed=failed).verdict == verdict  # type: ignore[arg-type]


def test_living_data_that_is_gone_or_another_file_fails() -> None:
    same = Source(before_sha256="a", after_sha256="a")
    assert judge_source(same, is_replaced=False).verdict == "pass"
    assert judge_source(same, is_replaced=True).verdict == "fail"
    assert judge_source(Source(before_sha256="a"), is_replaced=False).verdict == "fail"
    written = Source(before_sha256="a", after_sha256="b")
    assert judge_source(written, is_replaced=False).verdict == "insufficient"
    assert judge_source(written, is_replaced=False, is_walled=True).verdict == "pass"
    assert judge_source(written, is_replaced=True, is_walled=True).verdict == "fail"
    assert judge_source(Source(before_sha256="a"), is_replaced=False, is_walled=True).verdict == "fail"
    assert judge_source(Source(), is_replaced=False).verdict == "insufficient"


def test_only_when_everything_passes_does_the_drill() -> None:
    def of(**named: str) -> tuple[Objective, ...]:
        return tuple(Objective(name=name, verdict=v, told="") for name, v in named.items())  # type: ignore[arg-type]

    assert verdict_of(of(content="pass", rto="pass", rpo="pass", fence="pass", source="pass")) == "pass"
    assert verdict_of(of(content="pass", rto="pass", rpo="pass", fence="pass", source="insufficient")) == "pass"
    assert verdict_of(of(content="pass", rto="pass", rpo="pass", fence="insufficient")) == "insufficient"
    assert verdict_of(of(content="pass", rto="fail", rpo="insufficient")) == "fail"
    assert verdict_of(of(content="error", rto="fail")) == "error"
    assert verdict_of(of(content="pass", source="fail")) == "fail"
    assert verdict_of(()) == "insufficient"


def test_revenue_hours_keep_a_drill_from_beginning_unless_it_is_forced() -> None:
    hours = 'revenue_hours: {zone: UTC, weekdays: [thu], opens: "08:00", closes: "18:00"}\ndata_flows:'
    estate = read(("data_flows:", hours))
    with pytest.raises(ForbiddenError, match=r"revenue hours, until 18:00 in UTC .*--force"):
        check_hours(estate, T0, dataset="data", is_forced=False)
    check_hours(estate, T0, dataset="data", is_forced=True)
    check_hours(estate, T0 + timedelta(days=1), dataset="data", is_forced=False)
    check_hours(read(), T0, dataset="data", is_forced=False)


def test_each_scenario_takes_away_what_such_a_loss_takes() -> None:
    here = Repository(kind="directory", place="/srv/x")
    locked = Repository(kind="s3", place="s3://x", lock="compliance", offsite=True)
    assert [bool(withheld(one, here)) for one in ("deletion", "corruption", "key-loss")] == [False] * 3  # type: ignore[arg-type]
    assert all(withheld(one, here) for one in ("ransomware", "host-loss", "region-loss"))  # type: ignore[arg-type]
    assert not any(withheld(one, locked) for one in ("ransomware", "host-loss", "region-loss"))  # type: ignore[arg-type]


def test_scenarios_take_turns() -> None:
    scenarios = ("deletion", "corruption", "ransomware")
    assert next_scenario(scenarios, {}) == "deletion"
    assert next_scenario(scenarios, {"deletion": T0}) == "corruption"
    passed = {"deletion": T0, "corruption": T0 - HOUR, "ransomware": T0 - 2 * HOUR}
    assert next_scenario(scenarios, passed) == "ransomware"


def test_a_dataset_that_never_passed_is_overdue() -> None:
    one = due(History((), {}), "data", period=HOUR, scenario="deletion", now=T0)
    assert (one.state, one.due_at) == ("overdue", None)


@pytest.mark.parametrize(
    ("periods", "slots"),
    [(0.5, []), (1.05, []), (1.2, [1]), (2.05, [1]), (2.5, [1, 2]), (3.09, [1, 2]), (3.11, [1, 2, 3])],
)
def test_a_slot_is_missed_when_no_drill_came_within_a_tenth_of_its_period(periods: float, slots: list[int]) -> None:
    found = missed_slots(T0, HOUR, now=T0 + periods * HOUR)
    assert list(found) == [T0 + number * HOUR for number in slots]
    assert due(History((), {}), "d", period=HOUR, scenario="x", now=T0 + periods * HOUR, begun_at=T0).missed == found


def test_slots_that_were_missed_for_years_are_the_newest_hundred() -> None:
    found = missed_slots(T0, HOUR, now=T0 + 10_000.5 * HOUR)
    assert (len(found), found[-1]) == (DRILL_SLOTS_MAX, T0 + 10_000 * HOUR)
    assert missed_slots(None, HOUR, now=T0) == ()


def test_a_dataset_without_a_drill_is_refused() -> None:
    key, drill = ("age1public", RECIPIENT), "    drill: {place: /srv/drill, checks: [{rows: {table: t, at_least: 1}}], "
    with pytest.raises(InvalidError, match="declares no drill"):
        declared_drill(read(key, (f"{drill}scenarios: [deletion, corruption]}}\n", "")), "data")


@pytest.mark.parametrize(
    ("heartbeat", "told"),
    [
        ("{every: 1min, ledger: ledger}", "no absolute path"),
        ("{every: 1min, ledger: /var/lib/data.db/x}", "lost with the data"),
        ("{every: 2h, ledger: /srv/ledger}", "cannot measure an RPO of 1h"),
    ],
)
def test_heartbeats_that_could_not_work_are_refused(heartbeat: str, told: str) -> None:
    changed = small(("scenarios: [deletion, corruption]}", f"scenarios: [deletion], heartbeat: {heartbeat}}}"))
    assert [told in fault.reason for fault in faults(changed)] == [True]
