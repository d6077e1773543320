"""The operators' trail: what callers do beyond sending events, as events in the log `operations`.

An act (a tenant, a key, an export) is always written down. Reads and refusals are told once a minute for each person,
tenant, action and question, so that a loop over a log is one event and reading the trail itself does not feed it.
"""

import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from typing import Literal

import msgspec

from atp.errors import UnavailableError
from atp.limits import FIELD_CHARS_MAX, TRAIL_QUESTION_CHARS_MAX, TRAIL_QUESTIONS_MAX
from atp.log.append import Outcome
from atp.log.event import Actor, Context, Event, Resource
from atp.observe import Meters
from atp.ports.clock import Clock

WINDOW_SECONDS = 60.0
MANY = {"questions": f"more than {TRAIL_QUESTIONS_MAX} different ones in this minute"}
Note = Callable[[Event], "Future[Outcome]"]


def cut_question(question: Mapping[str, str]) -> dict[str, str]:
    """A question as the trail keeps it: the first `TRAIL_QUESTION_CHARS_MAX` characters of each value."""
    return {name: value[:TRAIL_QUESTION_CHARS_MAX] for name, value in question.items()}


def clock_event(seconds: float, *, at: str) -> Event:
    """That the wall clock was set by so many seconds."""
    data = msgspec.Raw(msgspec.json.encode({"seconds": round(seconds, 3)}))
    return Event(actor=Actor("atp"), action="clock.stepped", time=at, resource=Resource("clock"), data=data)


class Throttle:
    """Remembers what was told in the current window; at most `TRAIL_QUESTIONS_MAX` things a person."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._ends_at = 0.0
        self._told: dict[str, set[str]] = {}

    def is_due(self, person: str, thing: str) -> bool:
        """True the first time in a window."""
        with self._lock:
            self._turn()
            told = self._told.setdefault(person, set())
            if thing in told:
                return False
            told.add(thing)
            return True

    def is_full(self, person: str) -> bool:
        """True when this person asked so many different things in this window that they are no longer told apart."""
        with self._lock:
            self._turn()
            return len(self._told.get(person, ())) >= TRAIL_QUESTIONS_MAX

    def _turn(self) -> None:
        now = self._clock.monotonic()
        if now >= self._ends_at:
            self._told.clear()
            self._ends_at = now + WINDOW_SECONDS


class Trail:
    """Writes acts, reads and refusals down through `note`. Thread-safe."""

    def __init__(self, note: Note, *, now: Callable[[], str], clock: Clock, meters: Meters) -> None:
        self._note = note
        self._now = now
        self._meters = meters
        self._throttle = Throttle(clock)

    def act(
        self, action: str, *, person: str, resource: Resource, ip: str | None, data: Mapping[str, object]
    ) -> "Future[Outcome]":
        """Write an act down; the future is done when that is durable. UnavailableError when the queue is full."""
        return self._note(self._event(action, person, resource, "success", ip, data))

    def read(self, action: str, *, person: str, tenant: str, ip: str | None, question: Mapping[str, str]) -> None:
        """Tell once a minute that a person asked this of a tenant's log. A full queue loses it, which is counted."""
        question = MANY if self._throttle.is_full(person) else cut_question(question)
        if self._throttle.is_due(person, f"{tenant} {action} {sorted(question.items())}"):
            event = self._event(action, person, Resource(tenant, type="log"), "success", ip, {"question": question})
            self._try(event)

    def refuse(self, *, person: str, door: str, code: str, tenant: str | None, ip: str | None) -> None:
        """Tell once a minute that a door was closed to a person."""
        if self._throttle.is_full(person):
            door = "many doors"
        if self._throttle.is_due(person, f"{door} {code}"):
            data = {"code": code} if tenant is None else {"code": code, "tenant": tenant[:FIELD_CHARS_MAX]}
            self._try(self._event("request.refuse", person, Resource(door, type="door"), "denied", ip, data))

    def _try(self, event: Event) -> None:
        try:
            self._note(event)
        except UnavailableError:
            self._meters.count("atp_trail_lost")

    def _event(
        self,
        action: str,
        person: str,
        resource: Resource,
        outcome: Literal["success", "denied"],
        ip: str | None,
        data: Mapping[str, object],
    ) -> Event:
        return Event(
            actor=Actor(person),
            action=action,
            time=self._now(),
            resource=resource,
            outcome=outcome,
            context=Context(ip=ip) if ip else None,
            data=msgspec.Raw(msgspec.json.encode(data)),
        )
