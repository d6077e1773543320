"""The platform verifies its own logs: round after round in small steps, and at once when somebody asks.

Rounds walk all logs with `Patrol`; a run on demand asks the independent verifier. The first mismatch of a log is an
alarm: a critical line, a counter, an unhealthy check, an event in the operators' trail, and a file of evidence.
"""

import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import msgspec

from atp import limits
from atp.app.evidence import keep_evidence
from atp.app.inspect import check_views
from atp.app.patrol import Patrol, begin_patrol
from atp.app.pipeline import Stores
from atp.errors import AtpError, ConflictError, MissingError, UnavailableError
from atp.log.append import Outcome
from atp.log.event import Actor, Event, Resource
from atp.log.reader import read_checkpoint
from atp.observe import Lines, Meters
from atp.ports.clock import Clock
from atp.ports.event_store import Log
from atp.verify.directory import KIND, check_data_directory
from atp.verify.options import Options, Progress
from atp.verify.report import Finding, Level, LogReport, Report

_STOP_SECONDS_MAX = 2.0


class Mismatch(msgspec.Struct, frozen=True):
    """The first thing that is wrong with a log: in which file, from which entry on (None: no single one), and why."""

    tenant: str
    place: str
    index: int | None
    reason: str
    found_at: str


class Run(msgspec.Struct):
    """A verification on demand; `report` is there when it is done, `error` when it could not be done.

    `checked` counts entries; each is counted once for its bytes and once for the views.
    """

    number: int
    tenants: list[str]
    level: Level | None
    started_at: str
    entries: int
    checked: int = 0
    finished_at: str | None = None
    tampered: bool | None = None
    report: dict[str, Any] | None = None
    error: str | None = None


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What is needed of the platform around: all logs, those that are stopped too, and whom to tell."""

    data: Path
    logs: Callable[[], Sequence[Log]]
    note: Callable[[Event], "Future[Outcome]"]
    now: Callable[[], str]
    clock: Clock
    lines: Lines
    meters: Meters


class Integrity:
    """What was verified, what was found, and the next step. Thread-safe."""

    def __init__(self, stores: Stores, around: Surroundings) -> None:
        self._stores = stores
        self._around = around
        self._waiting: deque[Log] = deque()
        self._patrol: Patrol | None = None
        self._round_at = around.clock.monotonic()
        self._mismatches: dict[str, Mismatch] = {}
        self._runs: dict[int, Run] = {}
        self._lock = threading.Lock()
        self._stepping = threading.Lock()
        self._thread = threading.Thread()
        self._is_stopping = False
        self.round_ended_at: str | None = None

    @property
    def mismatches(self) -> Mapping[str, Mismatch]:
        """The first mismatch of each log in which one was found and that was not verified to be whole since."""
        return dict(self._mismatches)

    def step(self) -> bool:
        """Verify a little more, about 0.2 s of work at most; False when there is nothing to do before the next round.

        Raises UnavailableError when a store cannot be read now.
        """
        with self._stepping:
            self._patrol = self._patrol or self._next()
            if self._patrol is None:
                return False
            patrol, before = self._patrol, self._patrol.checked
            finding = patrol.step() and patrol.step()  # taken twice before anybody is woken
            self._around.meters.count("atp_integrity_entries", patrol.checked - before)
            if finding is not None:
                self._alarm(patrol.tenant, finding, note=patrol.note, report=None)
            if finding is not None or patrol.is_done:
                self._patrol = None
            return True

    def begin_run(self, logs: Sequence[Log], *, level: Level | None) -> Run:
        """Verify these logs now, in a thread. ConflictError while another run lasts."""
        with self._lock:
            if self._thread.is_alive():
                raise ConflictError("could not begin to verify: a verification is under way", hint="wait for its end")
            number = max(self._runs, default=0) + 1
            entries = sum(self._stores.events.size(log.tenant) for log in logs) * (2 if level is None else 1)
            run = Run(number, [log.tenant for log in logs], level, self._around.now(), entries)
            self._runs[number] = run
            self._runs.pop(number - limits.INTEGRITY_RUNS_MAX, None)
            self._thread = threading.Thread(target=self._survey, args=(run,), name="verify", daemon=True)
            self._thread.start()
            return run

    def run(self, number: int) -> Run:
        """A run by its number. MissingError when there is none, or too many were begun since."""
        if number not in self._runs:
            raise MissingError(f"could not find the verification {number}", hint="atp integrity verify begins one")
        return self._runs[number]

    def stop(self) -> None:
        """Break off whatever verifies; to be called before the thread that steps is waited for."""
        self._is_stopping = True
        if self._thread.is_alive():
            self._thread.join(_STOP_SECONDS_MAX)

    def _next(self) -> Patrol | None:
        """The walk over the next log of this round, or of the next one when that is due."""
        now = self._around.clock.monotonic()
        if not self._waiting and now - self._round_at >= limits.INTEGRITY_ROUND_SECONDS_MIN:
            self._round_at = now
            self._waiting.extend(log for log in self._around.logs() if log.tenant not in self._mismatches)
        while self._waiting:
            log = self._waiting.popleft()
            if not self._waiting:
                self.round_ended_at = self._around.now()
            if patrol := begin_patrol(log, stores=self._stores):
                return patrol
        return None

    def _survey(self, run: Run) -> None:
        """A run, in its thread: whatever happens is told in it."""
        try:
            for tenant in run.tenants:
                self._survey_log(run, tenant)
        except AtpError as error:
            run.error = str(error)
        except Exception as bug:
            self._around.lines.write("error", "bug", kind=type(bug).__name__, reason=str(bug))
            run.error = "could not verify: a bug of the server, its log has more"
        run.tampered = bool(run.report and run.report["tampered"])
        run.finished_at = self._around.now()

    def _survey_log(self, run: Run, tenant: str) -> None:
        report = self._verify(tenant, level=run.level, count=lambda: self._counter(run))
        if report.is_tampered:  # a key that was retired between two of its reads looks so: not twice
            report = self._verify(tenant, level=run.level)
        found = report.as_json()
        if run.report is None:
            run.report = found
        else:
            run.report["logs"] += found["logs"]
            run.report["findings"] += [one for one in found["findings"] if one not in run.report["findings"]]
            run.report["tampered"] |= found["tampered"]
        findings = [finding for log in report.logs for finding in log.findings]
        if findings:
            self._alarm(tenant, findings[0], note=report.logs[0].note, report=report)
        elif run.level is None and not report.is_tampered:
            self._mismatches.pop(tenant, None)

    def _counter(self, run: Run) -> Progress:
        last = 0

        def count(done: int, total: int) -> None:
            nonlocal last
            self._check_going(done, total)
            run.checked += done - last if done >= last else done
            last = done

        return count

    def _check_going(self, done: int, total: int) -> None:
        if self._is_stopping:
            raise UnavailableError("could not verify: the server is stopping", hint="ask again")

    def _verify(self, tenant: str, *, level: Level | None, count: Callable[[], Progress] | None = None) -> Report:
        """The verdict of the independent verifier on the files, and that on the views; `count` makes what counts the
        entries of one walk."""
        options = Options(level=level, tenant=tenant, progress=count() if count else self._check_going)
        if level == "index":
            note = self._stores.events.checkpoint(tenant)
            log = LogReport(tenant, size=read_checkpoint(note).size if note else 0, note=note or b"")
            return check_views(Report(str(self._around.data), KIND, (log,)), self._stores, options)
        report = check_data_directory(self._around.data, options)
        if level is not None:
            return report
        return check_views(report, self._stores, replace(options, progress=count()) if count else options)

    def _alarm(self, tenant: str, finding: Finding, *, note: bytes, report: Report | None) -> None:
        """Tell everybody of the first mismatch of a log, then keep evidence of all."""
        if tenant in self._mismatches:
            return
        found = Mismatch(tenant, finding.place, finding.index, finding.reason, self._around.now())
        self._mismatches[tenant] = found
        segment = None if found.index is None else f"{tenant}/{found.index // limits.SEGMENT_ENTRIES}"
        told = {"segment": segment, "file": found.place, "index": found.index, "reason": found.reason}
        self._around.lines.write("critical", "integrity_mismatch", tenant=tenant, **told)
        self._around.meters.count("atp_integrity_mismatches")
        with suppress(UnavailableError):  # the line and the unhealthy check are there already
            self._around.note(_mismatch_event(tenant, told))
        try:
            whole = report or self._verify(tenant, level=None)
            document = {"mismatch": found, "checkpoint": note.decode(errors="replace"), "report": whole.as_json()}
            name = f"{tenant}-{0 if finding.index is None else finding.index}-{found.found_at.replace(':', '')}"
            path = keep_evidence(self._around.data, name, document)
            self._around.lines.write("critical", "integrity_evidence", tenant=tenant, file=str(path))
        except AtpError as error:
            self._around.lines.write("error", "integrity_evidence_lost", tenant=tenant, reason=str(error))


def _mismatch_event(tenant: str, told: Mapping[str, object]) -> Event:
    data = msgspec.Raw(msgspec.json.encode(told))
    log = Resource(tenant, type="log")
    return Event(actor=Actor("atp"), action="integrity.mismatch", resource=log, outcome="failure", data=data)
