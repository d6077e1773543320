"""How the logs stand: one row for each that a caller may see, and sums over all of them that name nobody."""

import shutil
import threading
from dataclasses import dataclass

import msgspec

from atp.app.platform import Platform
from atp.limits import FRAME_ENTRIES
from atp.log.event import parse_instant, read_entry
from atp.log.project.follow import frames_due
from atp.log.reader import LogReader
from atp.tenants.access import SCOPES, Caller

_WATCHMAN = Caller("atp", "", SCOPES)
_CENSUS_SECONDS = 1.0
_LAGS_READ_MAX = 32  # logs whose lag is measured exactly in one census


class LogStatus(msgspec.Struct):
    """One log. `size` entries are durable, `published_size` of them under a checkpoint, `viewed_size` in the views;
    `complete_to` is when the newest published entry was received, `stopped` why the log takes no more entries."""

    tenant: str
    origin: str
    created_at: str
    size: int
    published_size: int
    viewed_size: int
    lag_seconds: float
    complete_to: str | None
    stopped: str | None
    parked: int


@dataclass(frozen=True, slots=True)
class Census:
    """Sums over all logs at one moment. Lags are seconds since the oldest entry was received that is not yet
    published, or not yet in the views. Disk figures are those of the data directory's file system."""

    logs: int
    entries: int
    published: int
    viewed: int
    publish_lag_seconds: float
    view_lag_seconds: float
    stopped: int
    disk_free_bytes: int
    disk_total_bytes: int


class Counter:
    """Takes a census at most once a second, whoever asks. Thread-safe; about 10 µs a log."""

    def __init__(self, platform: Platform) -> None:
        self._platform = platform
        self._lock = threading.Lock()
        self._taken_at = 0.0
        self._census: Census | None = None

    def census(self) -> Census:
        """The newest census. UnavailableError when the order cannot be read."""
        with self._lock:
            now = self._platform.clock.monotonic()
            if self._census is None or now - self._taken_at >= _CENSUS_SECONDS:
                self._census, self._taken_at = _count(self._platform), now
            return self._census


def log_statuses(platform: Platform, *, by: Caller) -> list[LogStatus]:
    """How each log stands that the caller may see. About 50 µs a log."""
    return [_status(platform, log.tenant, log.origin, log.created_at, by) for log in platform.logs(by=by)]


def _status(platform: Platform, tenant: str, origin: str, created_at: str, by: Caller) -> LogStatus:
    reader = platform.reader(tenant, by=by)
    published = reader.size()
    size = platform.stores.events.size(tenant)
    viewed = _viewed(platform, tenant, published)
    lag = platform.freshness(tenant, size=published, viewed_size=viewed)["lag_seconds"]
    return LogStatus(
        tenant=tenant,
        origin=origin,
        created_at=created_at,
        size=size,
        published_size=published,
        viewed_size=viewed,
        lag_seconds=lag,
        complete_to=read_entry(reader.entry(published - 1)).received_at if published else None,
        stopped=platform.pipeline.stopped.get(tenant),
        parked=platform.stores.events.parked_count(tenant),
    )


def _count(platform: Platform) -> Census:
    entries = published_total = viewed_total = 0
    unpublished: list[tuple[LogReader, int]] = []
    unviewed: list[tuple[LogReader, int]] = []
    logs = platform.logs(by=_WATCHMAN)
    for log in logs:
        reader = platform.reader(log.tenant, by=_WATCHMAN)
        size, published = platform.stores.events.size(log.tenant), reader.size()
        viewed = _viewed(platform, log.tenant, published)
        entries, published_total, viewed_total = entries + size, published_total + published, viewed_total + viewed
        if published < size:
            unpublished.append((reader, published))
        if viewed < published:
            unviewed.append((reader, viewed))
    disk = shutil.disk_usage(platform.config.data)
    return Census(
        logs=len(logs),
        entries=entries,
        published=published_total,
        viewed=viewed_total,
        publish_lag_seconds=_lag(platform, unpublished),
        view_lag_seconds=_lag(platform, unviewed),
        stopped=len(platform.pipeline.stopped),
        disk_free_bytes=disk.free,
        disk_total_bytes=disk.total,
    )


def _viewed(platform: Platform, tenant: str, published: int) -> int:
    """The views hold full bundles only; what is left of the last one is read from the log, so nothing lags there."""
    followed = platform.pipeline.followed(tenant)
    return followed * FRAME_ENTRIES if followed < frames_due(published) else published


def _lag(platform: Platform, waiting: list[tuple[LogReader, int]]) -> float:
    """Seconds since the oldest of these entries was received."""
    now = platform.clock.now().timestamp()
    oldest = now
    for reader, index in waiting[:_LAGS_READ_MAX]:
        for entry in reader.durable(index, index + 1):
            oldest = min(oldest, parse_instant(read_entry(entry).received_at) / 1_000_000)
    return now - oldest
