"""An act is a fold over its events: every state has its events, and nothing else makes it."""

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from atp.errors import ConflictError, MalformedError
from atp.ops.record.act import Told, check_may_intend, fold, fold_all
from tests.ops.acting import told

Event = tuple[str, str | None, dict[str, Any]]
INTENDED: Event = ("intended", "copy", {})
TABLE: list[tuple[list[Event], str, int]] = [
    ([INTENDED], "unknown", 1),
    ([INTENDED, ("done", "copy", {})], "done", 1),
    ([INTENDED, ("failed", "copy", {"error": "no space"})], "failed", 1),
    ([INTENDED, ("settled", "copy", {"found": "done", "reason": "seen"})], "done", 1),
    ([INTENDED, ("settled", "copy", {"found": "failed", "reason": "seen"})], "failed", 1),
    ([INTENDED, ("settled", "copy", {"found": "nothing", "reason": "seen"})], "nothing", 1),
    ([INTENDED, ("failed", "copy", {}), INTENDED], "unknown", 2),
    ([INTENDED, INTENDED, ("done", "copy", {})], "done", 2),
]


def numbered(events: list[Event]) -> list[Told]:
    begun: list[Event] = [("intended", None, {"settling": "repeat"}), *events]
    return [told(phase, step, index=index, **members) for index, (phase, step, members) in enumerate(begun)]


@pytest.mark.parametrize(("events", "state", "attempts"), TABLE)
def test_a_step_is_what_its_events_tell(events: list[Event], state: str, attempts: int) -> None:
    act = fold(numbered(events))
    step = act.steps["copy"]
    assert (step.state, step.attempts, act.remarks) == (state, attempts, ())
    assert (act.state, act.ended_at) == ("unknown", None)


def test_an_act_tells_who_did_what_and_when() -> None:
    act = fold(numbered([INTENDED, ("done", "copy", {}), ("done", None, {})]))
    assert (act.noun, act.verb, act.resource, act.person.id, act.person.is_bound) == (
        "backup",
        "run",
        "b-1",
        "alice",
        True,
    )
    assert (act.begun_at, act.ended_at, act.state) == ("2026-01-01T00:00:00Z", "2026-01-01T00:00:03Z", "done")
    assert (act.data, act.outcome, act.settling) == ({"size": 0}, {"size": 3}, "repeat")
    assert (act.steps["copy"].intention, act.steps["copy"].outcome) == ({"size": 1}, {"size": 2})


def test_what_does_not_fit_together_is_remarked() -> None:
    assert fold([told("done", "copy", index=4)]).remarks == (
        "its beginning is not told (index 4)",
        "an outcome of 'copy' without its intention (index 4)",
    )
    twice = fold(numbered([INTENDED, ("done", "copy", {}), ("failed", "copy", {})]))
    assert twice.remarks == ("another outcome of 'copy', which was done (index 3)",)
    ended = fold(numbered([("done", None, {}), ("failed", None, {})]))
    assert (ended.state, ended.remarks) == ("done", ("it begins or ends twice (index 2)",))


def test_an_event_that_was_sent_and_spooled_counts_once() -> None:
    events = numbered([INTENDED])
    twin = msgspec.structs.replace(
        events[-1].event,
        id="spool.machine-1.7",
        data=msgspec.Raw(bytes(events[-1].event.data)[:-1] + b',"sent_as":"a-1.1"}'),  # type: ignore[arg-type]
    )
    for both in ([*events, Told(twin, "bob", 9)], [events[0], Told(twin, "bob", 9), events[1]]):
        act = fold(both)
        assert (act.steps["copy"].attempts, act.remarks) == (1, ())


def test_acts_are_told_apart_and_other_events_passed_over() -> None:
    data = msgspec.Raw(b'{"act":"a-2","phase":"intended"}')
    other = msgspec.structs.replace(told("intended", index=1).event, data=data)
    foreign = msgspec.structs.replace(other, data=msgspec.Raw(b'{"seconds":3}'))
    events = [told("intended", index=0), Told(foreign), Told(msgspec.structs.replace(other, id="a-2.0"), "bob", 5)]
    assert {name: act.index for name, act in fold_all(events).items()} == {"a-1": 0, "a-2": 5}
    with pytest.raises(MalformedError, match="of 2 acts"):
        fold(events)
    with pytest.raises(MalformedError, match="of 0 acts"):
        fold([Told(foreign)])


@pytest.mark.parametrize(
    ("settling", "events", "is_refused"),
    [
        ("person", [], False),
        ("person", [INTENDED], True),
        ("probe", [INTENDED], True),
        ("repeat", [INTENDED], False),
        ("repeat", [INTENDED, ("done", "copy", {})], True),
        ("person", [INTENDED, ("failed", "copy", {})], False),
        ("person", [INTENDED, ("settled", "copy", {"found": "nothing", "reason": "r"})], False),
        ("person", [INTENDED, ("settled", "copy", {"found": "done", "reason": "r"})], True),
        ("repeat", [("done", None, {})], True),
    ],
)
def test_nothing_is_silently_run_again(settling: str, events: list[Event], is_refused: bool) -> None:
    numbers = enumerate([("intended", None, {"settling": settling}), *events])
    act = fold(told(phase, step, index=index, **members) for index, (phase, step, members) in numbers)  # type: ignore[arg-type]
    if is_refused:
        with pytest.raises(ConflictError, match=r"^could not begin 'copy'"):
            check_may_intend(act, "copy")
    else:
        check_may_intend(act, "copy")


EVENTS = st.tuples(st.sampled_from(["intended", "done", "failed"]), st.sampled_from(["a", "b", None]))


@given(st.lists(EVENTS, max_size=9))
def test_any_events_fold_and_an_intention_without_outcome_is_unknown(events: list[tuple[str, str | None]]) -> None:
    act = fold(told(phase, step, index=index) for index, (phase, step) in enumerate([("intended", None), *events]))
    for name in {step for _, step in events if step is not None}:
        last = [phase for phase, step in events if step == name][-1]
        assert act.steps[name].state == ("unknown" if last == "intended" else last)
