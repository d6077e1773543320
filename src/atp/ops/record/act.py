"""An act of an operator is a fold over its events: nothing else says how far it got."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import msgspec

from atp.errors import ConflictError, MalformedError
from atp.log.event import Event, read_event

Phase = Literal["intended", "done", "failed", "settled"]
Found = Literal["done", "failed", "nothing"]
"""What somebody found of a step whose outcome nobody wrote down: it was done, it failed, or it never began."""
State = Literal["unknown", "done", "failed", "nothing"]
Settling = Literal["repeat", "probe", "person"]
"""How an unknown step is settled: it is run again, something is asked, or a person says what he found."""

_UNBEGUN = "its beginning is not told"
RESERVED = frozenset({"act", "step", "phase", "settling", "found", "reason", "error", "observed", "sent_as", "spool"})
"""Names in `data` that are of the record itself."""


class Mark(msgspec.Struct, frozen=True, omit_defaults=True):
    """What an event says of its act. Without a `step` it is about the act as a whole: its beginning and its end."""

    act: str
    phase: Phase
    step: str | None = None
    settling: Settling | None = None
    found: Found | None = None
    reason: str | None = None
    error: str | None = None
    observed: bool = False
    sent_as: str | None = None


@dataclass(frozen=True, slots=True)
class Person:
    """Who acts. `is_bound`: the server knows the person by the key; else it is the user of the operating system."""

    id: str
    is_bound: bool


@dataclass(frozen=True, slots=True)
class Told:
    """One event as it was told: `by` is the holder of the key that delivered it, `index` its place in the log."""

    event: Event
    by: str | None = None
    index: int | None = None


@dataclass(frozen=True, slots=True)
class Step:
    """One step: how it stands, how often it was intended, what was told before and after it."""

    name: str
    state: State
    intended_at: str | None
    attempts: int = 1
    ended_at: str | None = None
    intention: Mapping[str, Any] = field(default_factory=dict)
    outcome: Mapping[str, Any] = field(default_factory=dict)
    error: str | None = None
    settled: "Settled | None" = None


@dataclass(frozen=True, slots=True)
class Settled:
    """Who said what became of an unknown step, and why he may; `is_observed`: the act's own probe saw it."""

    by: str
    reason: str
    is_observed: bool


@dataclass(frozen=True, slots=True)
class Act:
    """An act so far. It is `unknown` until its end is told; `remarks` say what in its events does not fit together."""

    id: str
    noun: str
    verb: str
    resource: str
    person: Person
    settling: Settling
    begun_at: str | None
    state: State = "unknown"
    ended_at: str | None = None
    data: Mapping[str, Any] = field(default_factory=dict)
    outcome: Mapping[str, Any] = field(default_factory=dict)
    steps: Mapping[str, Step] = field(default_factory=dict)
    index: int | None = None
    remarks: tuple[str, ...] = ()

    @property
    def unknown_steps(self) -> list[Step]:
        """The steps that were intended and of which nobody told an outcome."""
        return [step for step in self.steps.values() if step.state == "unknown"]


def fold(told: Iterable[Told]) -> Act:
    """The one act that these events are of, in the order of the log. MalformedError unless they are of one."""
    acts = fold_all(told)
    if len(acts) != 1:
        raise MalformedError(f"could not read the act: the events are of {len(acts)} acts")
    return next(iter(acts.values()))


def fold_all(told: Iterable[Told]) -> dict[str, Act]:
    """Every act among these events, by its id; events that are of no act are passed over.

    An event that stands twice, as it was sent and once more from a spool, counts once. Costs about 10 µs an event.
    """
    acts, seen = dict[str, Act](), set[str]()
    for one in told:
        mark, detail = read_mark(one.event)
        if mark is None:
            continue
        name = mark.sent_as or one.event.id
        if name is None or name not in seen:
            acts[mark.act] = _take(acts.get(mark.act), one, mark, detail)
            seen.update([name] if name else [])
    return acts


def advance(act: Act, told: Told) -> Act:
    """The act with one event more, which has to be of it."""
    mark, detail = read_mark(told.event)
    assert mark is not None and mark.act == act.id, "the caller made the event"
    return _take(act, told, mark, detail)


def told_entry(entry: bytes, *, index: int | None = None) -> Told:
    """The event of an entry of the log, as it was told. MalformedError when the bytes are no entry."""
    read, event = read_event(entry)
    return Told(event, read.by, index)


def read_mark(event: Event) -> tuple[Mark | None, dict[str, Any]]:
    """What an event says of its act, None when it is of none, and what the act added."""
    if not isinstance(event.data, msgspec.Raw):
        return None, {}
    try:
        mark = msgspec.json.decode(event.data, type=Mark)
        data = msgspec.json.decode(event.data, type=dict[str, Any])
    except (msgspec.MsgspecError, RecursionError):
        return None, {}
    return mark, {name: value for name, value in data.items() if name not in RESERVED}


def is_of(act: str, event: Event) -> bool:
    """Whether an event is of the act of this id."""
    mark, _ = read_mark(event)
    return mark is not None and mark.act == act


def check_may_intend(act: Act, step: str) -> None:
    """ConflictError unless the step may begin now: never twice when it is done, and not again while nobody knows."""
    if act.ended_at is not None:
        raise ConflictError(f"could not begin {step!r} of {act.id}: the act has ended", hint="begin another act")
    known = act.steps.get(step)
    if known is None or known.state in ("nothing", "failed"):
        return
    if known.state == "done":
        raise ConflictError(f"could not begin {step!r} of {act.id}: it is done already", hint="go on with the next one")
    if act.settling != "repeat":
        raise ConflictError(
            f"could not begin {step!r} of {act.id} again: nobody knows whether it was done",
            hint="look, then atp act settle",
        )


def _take(act: Act | None, told: Told, mark: Mark, detail: Mapping[str, Any]) -> Act:
    if act is None:
        act = _begun(told, mark)
        if begins(mark):
            return replace(act, data=detail, settling=mark.settling or "person")
        act = _remarked(act, told, _UNBEGUN)
    act = replace(act, index=told.index if told.index is not None else act.index)
    if mark.step is None:
        return _take_end(act, told, mark, detail)
    known = act.steps.get(mark.step)
    if known is None and mark.phase != "intended":
        act = _remarked(act, told, f"an outcome of {mark.step!r} without its intention")
    elif known is not None and mark.phase != "intended" and known.state != "unknown":
        act = _remarked(act, told, f"another outcome of {mark.step!r}, which was {known.state}")
    return replace(act, steps={**act.steps, mark.step: _stepped(known, told, mark, detail)})


def _take_end(act: Act, told: Told, mark: Mark, detail: Mapping[str, Any]) -> Act:
    if mark.phase == "intended" or act.ended_at is not None:
        return _remarked(act, told, "it begins or ends twice")
    state = mark.found or "done" if mark.phase == "settled" else mark.phase
    return replace(act, state=state, ended_at=told.event.time or "", outcome=detail)


def _begun(told: Told, mark: Mark) -> Act:
    noun, _, verb = told.event.action.partition(".")
    resource = told.event.resource.id if told.event.resource else ""
    settling = mark.settling or "person"
    return Act(mark.act, noun, verb, resource, _person(told), settling, told.event.time, index=told.index)


def _person(told: Told) -> Person:
    """Who acted: whoever held the key. An event out of a spool was delivered by anyone, and no server saw its actor."""
    actor = told.event.actor
    if is_from_spool(told.event):
        return Person(actor.id, False)
    return Person(told.by, True) if told.by else Person(actor.id, actor.type == "person")


def begins(mark: Mark) -> bool:
    """Whether an event is the beginning of its act."""
    return mark.step is None and mark.phase == "intended"


def is_unbegun(remark: str) -> bool:
    """Whether a remark says that the beginning of the act is not among the events."""
    return remark.startswith(_UNBEGUN)


def is_from_spool(event: Event) -> bool:
    """Whether an event was written down on a machine first, and delivered later."""
    return event.id is not None and event.id.startswith("spool.")


def _stepped(known: Step | None, told: Told, mark: Mark, detail: Mapping[str, Any]) -> Step:
    at = told.event.time
    assert mark.step is not None, "the caller has looked"
    if mark.phase == "intended":
        return Step(mark.step, "unknown", at, attempts=known.attempts + 1 if known else 1, intention=detail)
    step = known or Step(mark.step, "unknown", None)
    if mark.phase == "settled":
        settled = Settled(_person(told).id, mark.reason or "", mark.observed)
        return replace(step, state=mark.found or "done", ended_at=at, settled=settled, outcome=detail)
    return replace(step, state=mark.phase, ended_at=at, outcome=detail, error=mark.error)


def _remarked(act: Act, told: Told, remark: str) -> Act:
    place = "" if told.index is None else f" (index {told.index})"
    return replace(act, remarks=(*act.remarks, remark + place))
