"""The only way in which an act is written down: its intention before each step, the outcome after it.

No evidence, no act: `begin` and `intend` return when the intention is durable, or raise, and then nothing may be done.
Between an intention and its outcome anything may die: then the step is *unknown*, and nobody runs it again silently.
"""

from collections.abc import Callable, Mapping
from typing import Any, Literal

import msgspec

from atp.errors import ConflictError, InvalidError, MissingError
from atp.log.event import Event, Resource
from atp.ops.record.act import RESERVED, Act, Found, Mark, Person, Settling, Step, Told, advance, check_may_intend, fold
from atp.ops.record.fact import fact_event
from atp.ops.record.sink import Sink
from atp.ops.secrecy import check_no_secrets, without_secrets
from atp.ports.clock import Clock

_ACT_BYTES = 8
_EVENT_BYTES = 8
_ERROR_CHARS_MAX = 2_000

Verdict = Literal["done", "failed"]
Data = Mapping[str, Any]
_OUTCOMES: dict[str, Literal["success", "failure", "unknown"]] = {"done": "success", "failed": "failure"}


class Recording:
    """An act under way. What it is told is durable when the call returns. For one thread."""

    def __init__(self, act: Act, *, by: Person, sink: Sink, clock: Clock) -> None:
        self._act = act
        self._by = by
        self._sink = sink
        self._clock = clock

    @property
    def act(self) -> Act:
        """The act so far, as its events tell it."""
        return self._act

    def intend(self, step: str, data: Data | None = None, *, expect: Mapping[str, int] | None = None) -> None:
        """Say that a step is about to begin. Only when this has returned may it.

        ConflictError when the step is done, or nobody knows whether it is; UnavailableError, and the step must not
        begin, when nothing takes the intention. `expect` as in `begin`.
        """
        check_may_intend(self._act, step)
        self._tell(Mark(self._act.id, "intended", step), data, expect=expect, is_outcome=False)

    def outcome(self, step: str, data: Data | None = None) -> None:
        """Say that a step was done, and what came of it."""
        self._check_unknown(step)
        self._tell(Mark(self._act.id, "done", step), data)

    def failed(self, step: str, error: BaseException | str, data: Data | None = None) -> None:
        """Say that a step failed, and why; it may be intended again."""
        self._check_unknown(step)
        reason = without_secrets(str(error) or type(error).__name__)[:_ERROR_CHARS_MAX]
        self._tell(Mark(self._act.id, "failed", step, error=reason), data)

    def settle(self, step: str, found: Found, reason: str, data: Data | None = None) -> None:
        """Say what a person found of a step whose outcome nobody told."""
        self._settle(step, found, reason, data, is_observed=False)

    def probe(self, step: str, observe: Callable[[Step], tuple[Found, str]], data: Data | None = None) -> Found:
        """Settle an unknown step by what `observe` finds, and say that it was found so; what it raises goes through."""
        found, reason = observe(self._check_unknown(step))
        self._settle(step, found, reason, data, is_observed=True)
        return found

    def end(self, verdict: Verdict, data: Data | None = None) -> None:
        """Say that the act is over. ConflictError while a step is unknown, or when it was said before."""
        if self._act.ended_at is not None:
            raise ConflictError(f"could not end {self._act.id}: it has ended already")
        if unknown := self._act.unknown_steps:
            raise ConflictError(
                f"could not end {self._act.id}: nobody knows what became of {unknown[0].name!r}",
                hint="look, then atp act settle",
            )
        self._tell(Mark(self._act.id, verdict), data)

    def _settle(self, step: str, found: Found, reason: str, data: Data | None, *, is_observed: bool) -> None:
        self._check_unknown(step)
        if not reason.strip():
            raise InvalidError(f"could not settle {step!r}: no reason is given", hint="say what was looked at")
        check_no_secrets(reason)
        mark = Mark(self._act.id, "settled", step, found=found, reason=reason, observed=is_observed)
        self._tell(mark, data)

    def _check_unknown(self, step: str) -> Step:
        known = self._act.steps.get(step)
        if known is None:
            raise MissingError(f"could not find the step {step!r} of {self._act.id}: it was never intended")
        if known.state != "unknown":
            raise ConflictError(f"could not say what became of {step!r} of {self._act.id}: it is {known.state} already")
        return known

    def _tell(
        self, mark: Mark, data: Data | None, *, expect: Mapping[str, int] | None = None, is_outcome: bool = True
    ) -> None:
        act = self._act
        event = _event(mark, data, noun=act.noun, verb=act.verb, resource=act.resource, by=self._by, clock=self._clock)
        self._sink.write(event, expect=expect or {}, is_outcome=is_outcome)
        self._act = advance(act, Told(event))


def begin(
    noun: str,
    verb: str,
    *,
    by: Person,
    sink: Sink,
    clock: Clock,
    resource: str | None = None,
    data: Data | None = None,
    settling: Settling = "person",
    expect: Mapping[str, int] | None = None,
) -> Recording:
    """Write the intention of an act down and return what records its steps. Its resource is the act when none is named.

    `settling` declares how a step without an outcome is settled: run again (`repeat`: both runs are recorded), asked
    for (`probe`), or by a person. `expect` maps a resource id to the index of its newest entry that the caller knows
    (-1: none): ConflictError when the server has a newer one. RefusedError for data that looks like a secret;
    UnavailableError when neither the server nor the spool takes the intention, and the act must not begin.
    """
    act = _act_id(clock)
    name = resource or act
    event = _event(
        Mark(act, "intended", settling=settling), data, noun=noun, verb=verb, resource=name, by=by, clock=clock
    )
    sink.write(event, expect=expect or {}, is_outcome=False)
    return Recording(fold([Told(event)]), by=by, sink=sink, clock=clock)


def resume(act: Act, *, by: Person, sink: Sink, clock: Clock) -> Recording:
    """Go on with an act that was folded from its events. ConflictError when it has ended."""
    if act.ended_at is not None:
        raise ConflictError(f"could not go on with {act.id}: it has ended", hint="begin another act")
    return Recording(act, by=by, sink=sink, clock=clock)


def _act_id(clock: Clock) -> str:
    """An id that sorts by its time and that nobody can predict."""
    return f"{clock.now():%Y%m%dT%H%M%S%f}-{clock.random_bytes(_ACT_BYTES).hex()}"


def _event(mark: Mark, data: Data | None, *, noun: str, verb: str, resource: str, by: Person, clock: Clock) -> Event:
    added = dict(data or {})
    if reserved := sorted(RESERVED & added.keys()):
        raise InvalidError(f"could not write {noun}.{verb} down: {reserved[0]!r} is a name of the record's own")
    if not noun.isidentifier() or not verb.isidentifier() or noun == "atp":
        raise InvalidError(f"could not write {noun}.{verb} down: it is not a noun and a verb")
    check_no_secrets({**added, "resource": resource, "step": mark.step or ""})
    state = mark.found if mark.phase == "settled" else mark.phase
    return fact_event(
        f"{noun}.{verb}",
        {**msgspec.to_builtins(mark), **added},
        of=Resource(resource, type=noun),
        by=by,
        at=clock.now(),
        event_id=f"{mark.act}.{clock.random_bytes(_EVENT_BYTES).hex()}",
        outcome=_OUTCOMES.get(state or "", "unknown"),
    )
