"""The operators' trail: what is told, how often, and that what it remembers stays bounded."""

import json
from concurrent.futures import Future

from atp.adapters.memory import FrozenClock
from atp.app.trail import WINDOW_SECONDS, Throttle, Trail
from atp.errors import UnavailableError
from atp.limits import TRAIL_QUESTION_CHARS_MAX, TRAIL_QUESTIONS_MAX
from atp.log.append import Outcome
from atp.log.event import Event, Resource, prepare_event
from atp.observe import Meters


class Told:
    """A trail on a clock that stands still, and what it has noted; with `is_full`, nothing can be noted."""

    def __init__(self, *, is_full: bool = False) -> None:
        self.clock = FrozenClock()
        self.meters = Meters()
        self.events: list[Event] = []
        self._is_full = is_full
        self.trail = Trail(self._note, now=lambda: "2026-01-01T00:00:00Z", clock=self.clock, meters=self.meters)

    def _note(self, event: Event) -> "Future[Outcome]":
        if self._is_full:
            raise UnavailableError("could not record: the queue is full")
        prepare_event(event)
        self.events.append(event)
        done: Future[Outcome] = Future()
        done.set_result(Outcome(1, 0, []))
        return done

    def ask(self, person: str = "alice", tenant: str = "acme", action: str = "events.query", **question: str) -> None:
        self.trail.read(action, person=person, tenant=tenant, ip="192.0.2.1", question=question)


def data(event: Event) -> object:
    return json.loads(bytes(event.data))  # type: ignore[arg-type]


def test_a_question_is_told_once_in_a_window_for_each_person_tenant_and_action() -> None:
    told = Told()
    for _ in range(3):
        told.ask(text="x")
        told.ask(text="y")
        told.ask(text="x", person="bob")
        told.ask(text="x", tenant="globex")
        told.ask(text="x", action="event.read")
    assert len(told.events) == 5
    told.clock.advance(WINDOW_SECONDS)
    told.ask(text="x")
    assert len(told.events) == 6


def test_questions_differ_by_name_and_value_and_not_by_order() -> None:
    told = Told()
    told.ask(actor="a", action_="b")
    told.ask(action_="b", actor="a")
    told.ask(actor="b", action_="a")
    assert len(told.events) == 2


def test_a_person_with_endless_questions_is_told_of_once_more_and_no_longer_apart() -> None:
    told = Told()
    for number in range(TRAIL_QUESTIONS_MAX + 500):
        told.ask(text=str(number))
    assert TRAIL_QUESTIONS_MAX <= len(told.events) <= TRAIL_QUESTIONS_MAX + 2
    assert "more than" in str(data(told.events[-1]))
    told.ask(person="bob", text="1")
    assert told.events[-1].actor.id == "bob"


def test_what_the_throttle_remembers_is_bounded_and_forgotten() -> None:
    clock = FrozenClock()
    throttle = Throttle(clock)
    assert throttle.is_due("alice", "x")
    assert not throttle.is_due("alice", "x")
    clock.advance(WINDOW_SECONDS - 0.001)
    assert not throttle.is_due("alice", "x")
    clock.advance(0.001)
    assert throttle.is_due("alice", "x")


def test_an_act_is_told_every_time() -> None:
    told = Told()
    for _ in range(2):
        done = told.trail.act("key.issue", person="root", resource=Resource("k", type="key"), ip=None, data={"a": 1})
        assert done.result(0).accepted == 1
    assert [(event.action, event.outcome, event.context, data(event)) for event in told.events] == [
        ("key.issue", "success", None, {"a": 1})
    ] * 2


def test_a_refusal_names_door_code_and_tenant() -> None:
    told = Told()
    for _ in range(2):
        told.trail.refuse(person="nobody", door="GET /x", code="missing", tenant="t" * 100_000, ip="192.0.2.1")
    (event,) = told.events
    assert (event.action, event.outcome, event.resource) == (
        "request.refuse",
        "denied",
        Resource("GET /x", type="door"),
    )


def test_a_long_question_is_cut_so_that_it_is_always_an_entry() -> None:
    told = Told()
    told.ask(**{f"name-{number}": "\x01" * 100_000 for number in range(12)})
    (event,) = told.events
    assert str(data(event)).count("\\x01") == 12 * TRAIL_QUESTION_CHARS_MAX


def test_a_full_queue_loses_reads_and_counts_them() -> None:
    told = Told(is_full=True)
    told.ask(text="x")
    told.trail.refuse(person="nobody", door="GET /x", code="missing", tenant=None, ip=None)
    assert "atp_trail_lost_total 2\n" in told.meters.render()
