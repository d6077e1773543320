"""How a dataset stands: one change at a time from what is proven; no data is grey; green only after a passed drill."""

from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atp.ops.estate.evidence.copies import Subject, subjects
from atp.ops.estate.evidence.due import due_of
from atp.ops.estate.evidence.finding import worst
from atp.ops.estate.evidence.proofs import Fact
from atp.ops.estate.evidence.review import review
from atp.ops.estate.evidence.standing import COLOURS, Standing, standing_of
from tests.ops.estate.estates import NOW, read
from tests.ops.estate.proving import HOUR, ROTATION, backup, drilled, evidence, listed, verified

DAY = timedelta(days=1)
MINUTE = timedelta(minutes=1)
GOOD = [backup(), verified(), *ROTATION]
COPIED = [backup(), verified()]
NO_DRILL = (
    "    drill: {place: /srv/drill, checks: [{rows: {table: t, at_least: 1}}], scenarios: [deletion, corruption]}\n",
    "",
)
NO_BACKUP = ("    backup: {repository: vault, schedule: 1h, recipients: [age1public]}\n", "")
SECOND = ("repositories:", "repositories:\n  cellar: {kind: directory, place: /srv/backups}")
TO_SECOND = ("{repository: vault,", "{repository: vault, copies_in: [cellar],")


def stand(*changes: tuple[str, str], facts: list[Fact], is_key_here: bool = False) -> Standing:
    estate = read(*changes)
    subject = Subject("data", estate.datasets["data"], estate, evidence(*facts).of("data"), True, NOW, is_key_here)
    return standing_of(subject)


def test_what_passed_everything_in_its_time_is_green() -> None:
    found = stand(facts=GOOD)
    assert (found.colour, found.reasons) == ("green", ())
    assert [(one.kind, one.state) for one in found.due] == [("backup", "ok"), ("verify", "ok"), ("drill", "ok")]


# (facts, colour, words of a reason of that colour)
FACTS: list[tuple[list[Fact], str, str]] = [
    ([], "grey", "never backed up"),
    (COPIED, "grey", "never drilled"),
    ([*COPIED, backup(verdict="error", ago=MINUTE)], "red", "the last backup failed"),
    ([backup(verdict="error")], "red", "the last backup failed"),
    ([*GOOD, backup(verdict="error", ago=MINUTE), backup(ago=MINUTE / 2)], "green", ""),
    ([backup(HOUR + 5 * MINUTE), verified(), *ROTATION], "amber", "one is wanted every 1h: due"),
    ([backup(HOUR + 7 * MINUTE), verified(), *ROTATION], "red", "one is wanted every 1h: overdue"),
    ([backup(HOUR + 7 * MINUTE), verified()], "red", "the RPO is 1h"),
    ([backup(point_at="2026-11-26T08:00:00Z"), verified(), *ROTATION], "red", "reaches to 2h ago"),
    ([backup(), *ROTATION], "amber", "ever read back"),
    ([backup(), verified(8 * DAY), *ROTATION], "amber", "read back 8d ago"),
    ([*GOOD, verified(HOUR, verdict="fail")], "red", "is not what was written"),
    ([*GOOD, verified(HOUR, isolated=False)], "amber", "can change vault"),
    ([backup(), verified(isolated=None), *ROTATION], "amber", "isolation of vault is unknown"),
    ([backup(), verified(immutable=None), *ROTATION], "amber", "whether the lock of vault holds is unknown"),
    ([backup(encrypted=False), verified(), *ROTATION], "amber", "not encrypted"),
    ([*GOOD, drilled(HOUR, verdict="fail", failed=["content"])], "red", "says fail (content)"),
    ([*GOOD, drilled(HOUR, verdict="error")], "red", "says error"),
    ([*GOOD, drilled(HOUR, verdict="insufficient")], "amber", "says insufficient"),
    ([*GOOD, drilled(HOUR, verdict="fail", scenario="ransomware")], "red", "the last drill of ransomware"),
    ([*GOOD, drilled(2 * HOUR, verdict="fail"), drilled(HOUR)], "green", ""),
    ([*GOOD, drilled(2 * HOUR, verdict="fail"), drilled(HOUR, scenario="corruption")], "red", "of deletion"),
    ([*COPIED, drilled()], "amber", "corruption was never rehearsed"),
    ([*COPIED, drilled(82 * DAY, scenario="corruption"), drilled(82 * DAY)], "amber", "every 90d: due"),
    ([*COPIED, drilled(91 * DAY, scenario="corruption"), drilled(91 * DAY)], "amber", "every 90d: overdue"),
    ([*COPIED, drilled(105 * DAY, scenario="corruption"), drilled(105 * DAY)], "red", "every 90d: overdue"),
    ([*COPIED, drilled(105 * DAY, verdict="insufficient")], "red", "no drill ever passed"),
    ([*COPIED, *ROTATION, drilled(HOUR, rpo_seconds=3_601)], "red", "achieved an RPO of 1h"),
    ([*COPIED, *ROTATION, drilled(HOUR, rto_seconds=7_201)], "red", "achieved an RTO of 2h"),
]


@pytest.mark.parametrize(("facts", "colour", "words"), FACTS)
def test_each_colour_has_its_reason(facts: list[Fact], colour: str, words: str) -> None:
    found = stand(facts=facts)
    assert found.colour == colour, found.reasons
    assert any(words in one.sentence for one in found.reasons if one.colour == colour) or colour == "green"
    assert all(one.next_move for one in found.reasons)


# (changes of the file, colour, words): everything else is proven
DECLARED: list[tuple[list[tuple[str, str]], str, str]] = [
    ([NO_DRILL], "grey", "no drill is declared"),
    ([NO_BACKUP, NO_DRILL], "red", "it has no backup"),
    ([("lock: compliance", "lock: none")], "amber", "no copy is locked"),
    ([("isolated_from: [production]", "isolated_from: []")], "amber", "no copy is isolated from production"),
    ([("recipients: [age1public]", "recipients: []")], "amber", "encrypted to nobody"),
    ([SECOND, TO_SECOND], "amber", "there is no copy in cellar"),
]


@pytest.mark.parametrize(("changes", "colour", "words"), DECLARED)
def test_what_the_file_leaves_out_keeps_it_from_green(changes: list[tuple[str, str]], colour: str, words: str) -> None:
    found = stand(*changes, facts=GOOD)
    assert found.colour == colour
    assert words in found.reasons[0].sentence


@pytest.mark.parametrize(
    ("fact", "colour", "words"),
    [
        (listed(), "green", ""),
        (listed(locked_until="2026-12-24T00:00:00Z"), "red", "locked until 2026-12-24"),
        (listed(oldest_at="2026-10-17T00:00:00Z"), "red", "has to be gone after 30d"),
        (verified(), "amber", "is unknown: nothing is recorded"),
    ],
)
def test_a_copy_that_keeps_what_has_to_be_erased_is_red(fact: Fact, colour: str, words: str) -> None:
    erasable = ("kind: sqlite", "kind: sqlite\n    erasable: true"), ("lock: compliance", "lock: none")
    found = stand(*erasable, facts=[*GOOD, fact])
    assert found.colour == colour, found.reasons
    assert not found.reasons or words in found.reasons[0].sentence


def test_a_key_beside_the_data_keeps_it_from_green() -> None:
    for found in (stand(facts=GOOD, is_key_here=True), stand(facts=[*GOOD, drilled(HOUR, key_beside=True)])):
        assert found.colour == "amber" and "key and backup on the source machine" in found.reasons[0].sentence


def test_only_a_drill_that_was_run_elsewhere_cures_a_key_beside_the_data() -> None:
    runs_on = ("scenarios: [deletion, corruption]}", "scenarios: [deletion, corruption], runs_on: safe-1}")
    beside = [*GOOD, drilled(DAY, key_beside=True)]
    found = stand(facts=beside)
    assert "drill.runs_on: HOST" in found.reasons[0].next_move
    declared = stand(runs_on, facts=beside)
    assert declared.colour == "amber", "what is declared is not shown yet"
    assert declared.reasons[0].next_move.endswith("on safe-1: atp drill run data --identity KEY.txt")
    assert stand(runs_on, facts=[*beside, drilled(HOUR, key_beside=None)]).colour == "amber", "nobody could tell"
    assert stand(runs_on, facts=[*beside, drilled(HOUR)]).colour == "green"
    assert stand(runs_on, facts=[*beside, drilled(HOUR)], is_key_here=True).colour == "amber", "it is here as well"
    assert stand(runs_on, facts=[*beside, drilled(HOUR), drilled(MINUTE, key_beside=True)]).colour == "amber"


ANY_FACT = st.one_of(
    st.builds(backup, st.timedeltas(MINUTE, 200 * DAY), verdict=st.sampled_from(["pass", "error"])),
    st.builds(verified, st.timedeltas(MINUTE, 200 * DAY), verdict=st.sampled_from(["pass", "fail"])),
    st.builds(
        drilled,
        st.timedeltas(MINUTE, 200 * DAY),
        key_beside=st.sampled_from([True, False, None]),
        verdict=st.sampled_from(["pass", "fail", "error", "insufficient"]),
        scenario=st.sampled_from(["deletion", "corruption"]),
    ),
)


# (what is changed in the file) of which any may come together
CHANGES = [
    NO_DRILL,
    ("    rpo: 1h\n", ""),
    ("    owner: owner\n", ""),
    ("lock: compliance", "lock: none"),
    ("isolated_from: [production], ", ""),
    (", recipients: [age1public]", ""),
    (SECOND[0], SECOND[1]),
    ("kind: sqlite", "kind: sqlite\n    erasable: true"),
]


@given(st.lists(ANY_FACT, max_size=12), st.lists(st.sampled_from(CHANGES), unique=True), st.booleans(), st.booleans())
def test_the_page_and_the_check_of_the_estate_have_one_colour(
    facts: list[Fact], changes: list[tuple[str, str]], is_read: bool, is_key_here: bool
) -> None:
    estate, known = read(*changes), evidence(*facts)
    known = replace(known, read_at=known.read_at if is_read else None, keys_here=frozenset(["data"] * is_key_here))
    found = review(estate, known, NOW)
    standings = {one.name: standing_of(one) for one in subjects(estate, known, NOW)}
    assert found.datasets == {name: one.colour for name, one in standings.items()}
    assert found.colour == worst([*found.datasets.values(), *(one.colour for one in found.findings)])


@given(st.lists(ANY_FACT, max_size=12))
def test_nothing_is_green_without_a_passed_drill_and_the_reasons_say_why(facts: list[Fact]) -> None:
    found = stand(facts=facts)
    is_passed = any(one.action == "drill.done" and one.data["verdict"] == "pass" for one in facts)
    assert found.colour != "green" or is_passed
    assert [COLOURS.index(one.colour) for one in found.reasons] == sorted(
        COLOURS.index(one.colour) for one in found.reasons
    )
    assert (found.colour == "green") == (not found.reasons)


# (facts, kind, state, scenario)
DUE: list[tuple[list[Fact], str, str, str]] = [
    ([], "backup", "overdue", ""),
    ([], "drill", "overdue", "deletion"),
    ([backup(HOUR)], "backup", "ok", ""),
    ([backup(HOUR + MINUTE)], "backup", "due", ""),
    ([backup(HOUR + 7 * MINUTE)], "backup", "overdue", ""),
    ([backup()], "verify", "overdue", ""),
    ([backup(), verified(7 * DAY + HOUR)], "verify", "due", ""),
    ([drilled()], "drill", "ok", "corruption"),
    ([drilled(82 * DAY)], "drill", "due", "corruption"),
    ([drilled(91 * DAY)], "drill", "overdue", "corruption"),
    ([drilled(HOUR, verdict="fail")], "drill", "overdue", "deletion"),
]


@pytest.mark.parametrize(("facts", "kind", "state", "scenario"), DUE)
def test_what_is_due_follows_from_what_was_done(facts: list[Fact], kind: str, state: str, scenario: str) -> None:
    dataset = read().datasets["data"]
    (found,) = [one for one in due_of("data", dataset, evidence(*facts).of("data"), NOW) if one.kind == kind]
    assert (found.state, found.scenario) == (state, scenario)


def test_a_failure_is_remembered_as_a_try() -> None:
    dataset = read().datasets["data"]
    facts = [backup(2 * HOUR), backup(MINUTE, verdict="error")]
    found = next(iter(due_of("data", dataset, evidence(*facts).of("data"), NOW)))
    assert (found.last_at, found.tried_at) == (NOW - 2 * HOUR, NOW - MINUTE)
