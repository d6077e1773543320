"""Corruption is survived by what is from before it: another moment, another copy, and nothing that came after."""

import re
import sqlite3
import time
from contextlib import closing
from datetime import UTC, datetime, timedelta

import pytest

from atp.errors import InvalidError
from atp.ops.drills.declare import check_damage, plan
from atp.ops.drills.evidence.measure import Beat, late_beats
from atp.ops.drills.evidence.report import as_markdown
from tests.ops.drills.world import CLOCK, World, data_of, left_in, verdicts
from tests.ops.estate.estates import faults, small

T0 = datetime(2026, 11, 26, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
SOUND = ("sql: select count(*) from letter where title is null", "sql: select count(*) from letter where title = 'x'")


def spoil(world: World) -> datetime:
    """Nonsense all over the living data; the moment before the first of it."""
    damaged_at = CLOCK.now()
    if world.dataset == "letters":
        (world.source / "1899" / "may.txt").write_text("x")
    else:
        with closing(sqlite3.connect(world.source)) as database:
            database.execute("UPDATE letter SET title = 'x'")
            database.commit()
    return damaged_at


def lived(world: World) -> tuple[str, datetime]:
    """A backup, nonsense, and a newer backup of it; the older one, and the moment between."""
    world.beat()
    made = world.back_up()
    damaged_at = spoil(world)
    world.beat()
    world.back_up()
    return made.backup, damaged_at


def test_a_database_comes_back_from_the_copy_before_the_nonsense(world: World) -> None:
    world.changes = [SOUND]
    sound, damaged_at = lived(world)
    done = world.drill("corruption", at=damaged_at)
    assert (done.backup, done.damaged_at, done.cause) == (sound, damaged_at, "")
    assert (verdicts(done)["content"], verdicts(done)["rpo"]) == ("pass", "pass")
    assert done.acknowledged is not None
    assert (done.acknowledged.recovered, done.acknowledged.lost) == (1, 0), "what came after the damage is no loss"
    assert done.rpo_seconds is not None and done.rpo_seconds < (done.lost_at - damaged_at).total_seconds() + 60
    newest = world.drill("deletion")
    assert newest.cause == "wrong-answer" and newest.backup != sound, "the newest copy holds the nonsense"
    assert newest.damaged_at is None


def test_files_come_back_from_the_copy_before_the_nonsense(letters: World) -> None:
    sound, damaged_at = lived(letters)
    done = letters.drill("corruption", at=damaged_at)
    assert (done.backup, verdicts(done)["content"], verdicts(done)["rpo"]) == (sound, "pass", "pass")
    assert left_in(letters.scratch) == []


def test_a_copy_from_after_the_damage_may_be_ruined_and_one_from_before_may_not(letters: World) -> None:
    sound, damaged_at = lived(letters)
    [newest] = [one for one in (letters.root / "vault/letters").iterdir() if one.name != sound]
    for part in newest.glob("data.*"):
        part.unlink()
    assert letters.drill("deletion").cause == "part-missing"
    assert letters.drill("corruption", at=damaged_at).backup == sound
    for part in (letters.root / "vault/letters" / sound).glob("data.*"):
        part.unlink()
    found = letters.drill("corruption", at=damaged_at)
    assert (found.verdict, found.cause, found.backup) == ("fail", "part-missing", sound), "no older one is looked for"


def test_without_a_copy_from_before_the_damage_it_is_red_and_says_which_is_the_oldest(world: World) -> None:
    damaged_at = CLOCK.now()
    world.beat()
    made = world.back_up()
    world.back_up()
    done = world.drill("corruption", at=damaged_at)
    assert (done.verdict, done.cause, done.backup) == ("fail", "no-backup", None)
    assert f"from before {damaged_at.replace(tzinfo=None).isoformat()}Z" in done.reason
    assert f"the oldest, {made.backup}, is of " in done.reason


def test_what_came_back_from_after_the_damage_is_red(letters: World) -> None:
    """The copy of a directory is no snapshot: it was begun before the damage, and read its heartbeat after it."""
    letters.beat()
    begun = CLOCK.now()
    letters.beat()
    made = letters.back_up()
    manifest = letters.root / "vault/letters" / made.backup / "manifest.json"
    text = manifest.read_text()
    manifest.write_text(re.sub('("consistent_at": )"[^"]*"', rf'\1"{begun.isoformat()}"', text))
    done = letters.drill("corruption", at=begun)
    assert (done.verdict, done.cause) == ("fail", "past-the-damage"), done
    assert "1 heartbeats from after the damage" in done.reason
    assert verdicts(done)["content"] == "fail" and left_in(letters.scratch) == []


def test_what_is_noticed_at_once_is_from_just_before_the_loss(world: World) -> None:
    world.beat()
    made = world.back_up()
    done = world.drill("corruption")
    assert (done.damaged_at, done.backup, verdicts(done)["rpo"]) == (done.lost_at, made.backup, "pass")


def test_what_goes_unnoticed_for_a_time_needs_an_older_copy(world: World) -> None:
    world.changes = [
        ("scenarios: [deletion, corruption]", "scenarios: [deletion, corruption]\n      noticed_after: 1s")
    ]
    world.beat()
    made = world.back_up()
    time.sleep(1.1)
    world.back_up()
    done = world.drill("corruption")
    assert done.damaged_at == done.lost_at - timedelta(seconds=1) and done.backup == made.backup
    assert verdicts(done)["rpo"] == "pass"


def test_the_damage_is_in_the_plan_the_act_the_event_and_the_report(world: World) -> None:
    _, damaged_at = lived(world)
    told = [step.what for step in plan(world.declared, "corruption", is_fenced=True, at=damaged_at)]
    assert any(damaged_at.strftime("%Y-%m-%dT%H:%M:%S") in what for what in told)
    assert "choose the newest copy from before the damage in vault" in told
    assert "noticed at once" in plan(world.declared, "corruption", is_fenced=True)[1].what
    world.drill("corruption", at=damaged_at)
    [event] = world.done_events()
    assert datetime.fromisoformat(data_of(event)["damaged_at"]) == damaged_at
    declared = [data_of(one) for one in world.sink.events if data_of(one).get("step") == "declare"]
    assert datetime.fromisoformat(declared[-1]["damaged_at"]) == damaged_at
    assert f"corruption of {damaged_at:%Y-%m-%d}" in as_markdown("x", world.history().drills, {}).replace("\\", "")


def test_records_of_other_scenarios_are_what_they_were(world: World) -> None:
    world.beat()
    world.back_up()
    world.drill()
    [event] = world.done_events()
    assert "damaged_at" not in data_of(event)


@pytest.mark.parametrize(
    ("scenario", "at", "told"),
    [("deletion", T0 - MINUTE, "--scenario corruption --at TIME"), ("corruption", T0 + MINUTE, "yet to come")],
)
def test_damage_that_cannot_be_is_refused(scenario: str, at: datetime, told: str) -> None:
    with pytest.raises(InvalidError, match=told):
        check_damage(scenario, at, now=T0)  # type: ignore[arg-type]
    check_damage("corruption", T0, now=T0)
    check_damage("deletion", None, now=T0)


def test_a_heartbeat_is_late_by_its_own_word_or_by_that_of_the_ledger() -> None:
    def beat(name: str, minutes: int) -> Beat:
        at = T0 + minutes * MINUTE
        return Beat(name, at, at)

    copy = [beat("a", -2), beat("b", -1), beat("c", 1), beat("d", 9)]
    ledger = [beat("a", -2), beat("b", 2)]
    late = late_beats(T0, T0 + 5 * MINUTE, copy, ledger)
    assert [one.id for one in late] == ["b", "c"], "what is from after the loss tells of a clock that was set"
    assert late_beats(None, T0, copy, ledger) == []


def test_what_is_noticed_when_every_copy_from_before_is_gone_is_refused() -> None:
    def changed(length: str) -> bytes:
        return small(("scenarios: [deletion, corruption]}", f"scenarios: [corruption], noticed_after: {length}}}"))

    [fault] = faults(changed("30d"))
    assert "every copy from before is gone" in fault.reason and faults(changed("29d")) == []
