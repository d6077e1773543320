"""Whether the platform is well: named checks, put together for each door of `/health`.

A report has the form that health dashboards of .NET services read: a status, a total duration, an entry for each check.
No tenant is named in it.
"""

import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import msgspec

from atp import limits
from atp.app.brakes import FREEZE, MAINTENANCE, Pulled
from atp.app.platform import Platform
from atp.app.status import Census, Counter
from atp.errors import AtpError
from atp.tenants.names import OPERATIONS

Status = Literal["Healthy", "Degraded", "Unhealthy"]
_RANK: dict[Status, int] = {"Healthy": 0, "Degraded": 1, "Unhealthy": 2}
_QUEUE_DEGRADED = 0.5
_QUEUE_UNHEALTHY = 0.95
_LAG_SECONDS_DEGRADED = 5.0
_LAG_SECONDS_UNHEALTHY = 60.0
_FREE_BYTES_DEGRADED = 2 * 1024**3
_FREE_BYTES_UNHEALTHY = 2 * limits.QUEUE_BYTES_MAX

SERVICES: dict[str, tuple[str, ...]] = {
    "live": ("process",),
    "startup": ("process", "order"),
    "ready": ("process", "order", "disk", "queue"),
    "gateway": ("process", "keys"),
    "ingestion": ("process", "order", "disk", "queue", "maintenance"),
    "projection": ("views", "view_lag"),
    "query": ("order", "view_lag"),
    "export": ("signing", "disk", "freeze"),
    "integrity": ("logs", "verified", "signing", "publishing"),
    "policy": ("formats",),
    "relay": ("publishing", "publish_lag"),
    "recovery": ("estate", "recovery"),
}
"""The doors below `/health`, and what each one checks."""

EVERYTHING = tuple(dict.fromkeys(name for names in SERVICES.values() for name in names))


@dataclass(frozen=True, slots=True)
class Finding:
    """What a check found."""

    status: Status
    description: str


class CheckEntry(msgspec.Struct):
    """A check in a report; `duration` is hours:minutes:seconds with seven digits."""

    status: Status
    description: str
    duration: str


class HealthReport(msgspec.Struct, rename={"total_duration": "totalDuration"}):
    """The worst status of the checks, and each of them."""

    status: Status
    total_duration: str
    entries: dict[str, CheckEntry]


class Health:
    """Runs checks on a platform. Thread-safe; costs at most one census a second, however often it is asked."""

    def __init__(self, platform: Platform, counter: Counter) -> None:
        self._platform = platform
        self.counter = counter
        self._checks: dict[str, Callable[[], Finding]] = {
            "process": self._process,
            "order": self._order,
            "disk": self._disk,
            "queue": self._queue,
            "keys": self._keys,
            "views": self._views,
            "view_lag": lambda: _lag("the views", self._census().view_lag_seconds),
            "publish_lag": lambda: _lag("the checkpoints", self._census().publish_lag_seconds),
            "publishing": self._publishing,
            "logs": self._logs,
            "verified": self._verified,
            "freeze": lambda: _braked("exports and erasure", platform.brakes.pulled(FREEZE)),
            "maintenance": lambda: _braked("events", platform.brakes.pulled(MAINTENANCE)),
            "signing": self._signing,
            "formats": self._formats,
            "estate": self._estate,
            "recovery": self._recovery,
        }

    def report(self, names: Sequence[str]) -> HealthReport:
        """Run the named checks. Raises nothing: a check that cannot be made is unhealthy."""
        began = time.perf_counter()
        entries = {name: self._run(name) for name in names}
        worst: Status = max((entry.status for entry in entries.values()), key=_RANK.__getitem__, default="Healthy")
        return HealthReport(worst, format_duration(time.perf_counter() - began), entries)

    def _run(self, name: str) -> CheckEntry:
        began = time.perf_counter()
        try:
            found = self._checks[name]()
        except AtpError as error:  # its sentence may name a tenant
            found = Finding("Unhealthy", f"could not be checked: {error.code}")
        except OSError as error:
            found = Finding("Unhealthy", f"could not be checked: {error.strerror}")
        return CheckEntry(found.status, found.description, format_duration(time.perf_counter() - began))

    def _census(self) -> Census:
        return self.counter.census()

    def _process(self) -> Finding:
        bug = self._platform.bug
        return Finding("Unhealthy", f"a bug: {type(bug).__name__}") if bug else Finding("Healthy", "the loops run")

    def _order(self) -> Finding:
        self._platform.stores.events.checkpoint(OPERATIONS)
        if os.access(self._platform.config.data, os.W_OK):
            return Finding("Healthy", "the durable order is readable, its directory writable")
        return Finding("Unhealthy", "the data directory cannot be written")

    def _disk(self) -> Finding:
        census = self._census()
        free = census.disk_free_bytes
        text = f"{free / 1024**3:.1f} GiB of {census.disk_total_bytes / 1024**3:.1f} GiB are free"
        return Finding(_grade(-free, -_FREE_BYTES_DEGRADED, -_FREE_BYTES_UNHEALTHY), text)

    def _queue(self) -> Finding:
        waiting = self._platform.committer.waiting_events()
        full = waiting / limits.QUEUE_EVENTS_MAX
        return Finding(_grade(full, _QUEUE_DEGRADED, _QUEUE_UNHEALTHY), f"{waiting} events wait for the disk")

    def _keys(self) -> Finding:
        count = len(self._platform.stores.keys.api_keys())
        return Finding("Healthy" if count else "Unhealthy", f"{count} API keys are issued")

    def _views(self) -> Finding:
        behind = self._census().published - self._census().viewed
        if self._platform.pipeline.following.trouble:
            return Finding("Unhealthy", f"the views wait for a store, {behind} entries behind")
        return Finding("Healthy", f"the views are {behind} entries behind")

    def _publishing(self) -> Finding:
        waiting = self._census().entries - self._census().published
        if self._platform.pipeline.publishing.trouble:
            return Finding("Unhealthy", f"publishing waits for a store, {waiting} entries are not published")
        return Finding("Healthy", f"{waiting} entries are not yet published")

    def _logs(self) -> Finding:
        census = self._census()
        if census.stopped:
            return Finding("Unhealthy", f"{census.stopped} of {census.logs} logs contradict their signatures")
        return Finding("Healthy", f"{census.logs} logs, none of them stopped")

    def _verified(self) -> Finding:
        integrity = self._platform.integrity
        if integrity.mismatches:
            return Finding("Unhealthy", f"{len(integrity.mismatches)} logs are not as they were signed")
        ended_at = integrity.round_ended_at
        return Finding("Healthy", f"all logs were verified at {ended_at}" if ended_at else "no mismatch was found")

    def _signing(self) -> Finding:
        count = len(self._platform.stores.keys.log_keys(OPERATIONS))
        return Finding("Healthy" if count else "Unhealthy", "signing keys are readable")

    def _formats(self) -> Finding:
        return Finding("Healthy", f"{len(self._platform.formats.names)} formats are loaded")

    def _estate(self) -> Finding:
        """Never unhealthy: what is declared of others says nothing against this server."""
        if not self._platform.recovery.is_declared:
            return Finding("Healthy", "no estate file is named")
        declared = self._platform.recovery.look().declared
        if declared.problem is None:
            return Finding("Healthy", "the estate file is read")
        if not declared.faults:
            return Finding("Degraded", "the estate file cannot be read")
        first, count = declared.faults[0], len(declared.faults)
        return Finding("Degraded", f"the estate file is refused: line {first.line}: {first.field}; {count} in all")

    def _recovery(self) -> Finding:
        if not self._platform.recovery.is_declared:
            return Finding("Healthy", "no estate file is named")
        try:
            seen = self._platform.recovery.look()
        except AtpError as error:
            return Finding("Degraded", f"could not be checked: {error.code}")
        overdue, red = sum(one.state == "overdue" for one in seen.due()), seen.count("red")
        if overdue or red:
            return Finding("Degraded", f"{overdue} backups, read-backs or drills are overdue, {red} datasets are red")
        return Finding("Healthy", f"nothing is overdue for {len(seen.standings)} datasets")


def format_duration(seconds: float) -> str:
    """Hours, minutes and seconds with seven digits, as a .NET TimeSpan is written."""
    ticks = round(seconds * 10_000_000)
    minutes, ticks = divmod(ticks, 600_000_000)
    return f"{minutes // 60:02d}:{minutes % 60:02d}:{ticks // 10_000_000:02d}.{ticks % 10_000_000:07d}"


def _braked(what: str, pulled: Pulled | None) -> Finding:
    if pulled:
        return Finding("Degraded", f"{what} are refused since {pulled.since}")
    return Finding("Healthy", f"{what} are not held up")


def _lag(whose: str, seconds: float) -> Finding:
    return Finding(_grade(seconds, _LAG_SECONDS_DEGRADED, _LAG_SECONDS_UNHEALTHY), f"{whose} lag {seconds:.1f} s")


def _grade(value: float, degraded: float, unhealthy: float) -> Status:
    if value >= unhealthy:
        return "Unhealthy"
    return "Degraded" if value >= degraded else "Healthy"
