"""The scheduler: each minute what is due is computed from what is known, told once when it is late, and run if allowed.

Nothing is remembered that the operators' log does not say, so a restart loses no deadline: an event that was told
already has the same id and content, and is a duplicate.
"""

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from datetime import datetime, timedelta

import msgspec

from atp.app.estate import Recovery, Seen
from atp.app.runner import Ended, Runner
from atp.app.trail import Note
from atp.errors import AtpError, ConflictError, UnavailableError
from atp.limits import DUE_LOOK_SECONDS
from atp.log.event import Actor, Event, Resource, format_instant
from atp.observe import Lines, Meters
from atp.ops.estate.declare.hosts import is_host
from atp.ops.estate.declare.hours import is_open
from atp.ops.estate.evidence.due import Due, Kind
from atp.ops.estate.evidence.standing import Standing
from atp.ports.clock import Clock
from atp.tenants.access import PLATFORM

Tried = Mapping[tuple[str, Kind], datetime]
_ORDER: tuple[Kind, ...] = ("backup", "verify", "drill")
_AGAIN: Mapping[Kind, timedelta] = {
    "backup": timedelta(minutes=15),
    "verify": timedelta(hours=6),
    "drill": timedelta(days=1),
}
"""How long what failed is let be before the server tries it again; never longer than the time between two."""
_FIRST_SECONDS = 2.0
_TICK_SECONDS = 0.5
_WAIT_SECONDS_MAX = 10.0


class Scheduler:
    """A thread of its own that looks, tells and runs. Without a `runner` nothing is run, and no drill that another
    machine than `host` is declared for.

    Begins two seconds after its start, when the doors are open; looks again when a run has ended.
    """

    def __init__(
        self,
        recovery: Recovery,
        *,
        note: Note,
        runner: Runner | None,
        on_bug: Callable[[Exception], None],
        clock: Clock,
        lines: Lines,
        meters: Meters,
        host: str = "",
    ) -> None:
        self._recovery = recovery
        self._note = note
        self._runner = runner
        self._on_bug = on_bug
        self._clock = clock
        self._lines = lines
        self._meters = meters
        self._host = host
        self._told = set[str | None]()
        self._tried: dict[tuple[str, Kind], datetime] = {}
        self._look_at = clock.monotonic() + _FIRST_SECONDS
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._run, name="due", daemon=True)

    def start(self) -> None:
        """Begin; a server without an estate file has nothing to look at."""
        if self._recovery.is_declared:
            self._thread.start()

    def stop(self) -> None:
        """End, and what runs with it: within two seconds."""
        self._ending.set()
        if self._thread.is_alive():
            self._thread.join()
        if self._runner is not None:
            self._runner.stop()

    def due_once(self) -> Seen:
        """Look, and tell what is late or has failed. Raises what the operators' log raises; then it is told later."""
        seen = self._recovery.look()
        events = {event.id: event for event in events_of(seen)}
        waiting = [(event, self._note(event)) for name, event in events.items() if name not in self._told]
        for event, done in waiting:
            with suppress(ConflictError):  # told already, when the file had another schedule
                try:
                    done.result(_WAIT_SECONDS_MAX)
                except TimeoutError:
                    raise UnavailableError("could not tell what is due in time", hint="see /health") from None
            dataset = event.resource.id if event.resource else ""
            self._lines.write("error", "recovery_raised", action=event.action, dataset=dataset, **_place(event))
        self._told = set(events)
        return seen

    def _run(self) -> None:
        while not self._ending.wait(_TICK_SECONDS):
            try:
                self._turn()
            except AtpError as error:  # a log that is away: others say so, too
                self._lines.write("error", "loop_waits", loop="due", reason=str(error))
            except Exception as bug:
                self._on_bug(bug)
                return

    def _turn(self) -> None:
        if self._runner is not None and (ended := self._runner.look()) is not None:
            self._tell(ended)
            self._look_at = self._clock.monotonic() + _FIRST_SECONDS  # its events are published by then
        if self._clock.monotonic() < self._look_at:
            return
        self._look_at = self._clock.monotonic() + DUE_LOOK_SECONDS
        seen = self.due_once()
        if self._runner is None or self._runner.is_running:
            return
        if (one := next_run(seen, tried=self._tried, can_drill=self._runner.can_drill, host=self._host)) is not None:
            self._tried[one.dataset, one.kind] = seen.at
            self._runner.begin(one)
            self._lines.write("info", "recovery_runs", kind=one.kind, dataset=one.dataset)

    def _tell(self, ended: Ended) -> None:
        self._meters.count("atp_recovery_runs", kind=ended.kind, code=str(ended.code))
        self._lines.write(
            "error" if ended.code else "info",
            "recovery_ran",
            kind=ended.kind,
            dataset=ended.dataset,
            code=ended.code,
            seconds=round(ended.seconds, 1),
            tail=ended.tail,
        )


def events_of(seen: Seen) -> Iterator[Event]:
    """What is to be told of this state, each with an id that says which deadline or which failure it is about. Pure."""
    for one in seen.due():
        if one.state == "overdue":
            yield _overdue(one)
    for standing in seen.standings.values():
        yield from _failures(standing)


def next_run(seen: Seen, *, tried: Tried, can_drill: bool, host: str = "") -> Due | None:
    """What to run now: backups first, then read-backs, then drills, the latest of each first. Pure.

    None that was tried just now, and no drill in revenue hours, or that has to run on another machine than `host`.
    """
    hours = seen.estate.revenue_hours
    is_quiet = hours is None or not is_open(hours, seen.at)
    for one in sorted(seen.due(), key=lambda one: _ORDER.index(one.kind)):
        standing = seen.standings[one.dataset]
        last = max(filter(None, (one.tried_at, tried.get((one.dataset, one.kind)))), default=None)
        is_tried = last is not None and seen.at - last < min(_AGAIN[one.kind], one.every)
        if is_tried:
            continue
        is_its = not one.runs_on or is_host(one.runs_on, host)
        if one.kind != "drill" or (can_drill and is_quiet and is_its and standing.subject.copies()):
            return one
    return None


def _overdue(one: Due) -> Event:
    slot = _micros(one.overdue_at) if one.overdue_at else None
    return Event(
        actor=Actor(PLATFORM),
        action=f"{one.kind}.overdue",
        id=f"{one.kind}.overdue.{one.dataset}.{slot or 'never'}",
        time=format_instant(slot) if slot else None,
        resource=Resource(one.dataset, type="dataset"),
        outcome="failure",
        data=_data(
            last_at=format_instant(_micros(one.last_at)) if one.last_at else None,
            every_seconds=one.every.total_seconds() if slot else None,
            runs_on=one.runs_on or None,
        ),
    )


def _place(event: Event) -> dict[str, str]:
    """Where what an event asks for has to be run, when it says so."""
    told = msgspec.json.decode(event.data) if isinstance(event.data, msgspec.Raw) else {}
    return {"runs_on": told["runs_on"]} if "runs_on" in told else {}


def _failures(standing: Standing) -> Iterator[Event]:
    """What came of the last backup, read-back and drill, where it was not what it should be."""
    proofs, name = standing.subject.proofs, standing.subject.name
    made_at = max((copy.made_at for copy in standing.subject.copies().values()), default=None)
    failed_at, misread_at, read_at = proofs.failed_backup_at, proofs.failed_read_back_at, proofs.read_back_at
    if failed_at is not None and (made_at is None or failed_at > made_at):
        yield _failed("backup", name, failed_at)
    if misread_at is not None and (read_at is None or misread_at > read_at):
        yield _failed("verify", name, misread_at)
    if proofs.drill is not None and proofs.drill.verdict in ("fail", "error"):
        yield _failed("drill", name, proofs.drill.at)


def _failed(kind: Kind, dataset: str, at: datetime) -> Event:
    return Event(
        actor=Actor(PLATFORM),
        action=f"{kind}.failed",
        id=f"{kind}.failed.{dataset}.{_micros(at)}",
        time=format_instant(_micros(at)),
        resource=Resource(dataset, type="dataset"),
        outcome="failure",
    )


def _data(**members: object) -> msgspec.Raw:
    return msgspec.Raw(msgspec.json.encode({name: value for name, value in members.items() if value is not None}))


def _micros(moment: datetime) -> int:
    return round(moment.timestamp() * 1_000_000)
