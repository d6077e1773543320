"""The loops behind the doors: integrate and publish what became durable, then let the views follow.

Each loop calls one bounded `*_once` step after the other and survives whatever the world does: an unavailable store is
tried again, a log whose bytes contradict its signature is stopped and named while all others go on.
"""

import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

from atp import limits
from atp.errors import AtpError, MalformedError, MissingError, TamperedError, UnavailableError
from atp.log.integrate import integrate_once, load_edge
from atp.log.project.follow import follow_bundles, frames_due
from atp.log.publish import publish_once, show_again, signing_keys
from atp.log.reader import LogReader, log_key
from atp.merkle.edge import Edge
from atp.observe import Lines, Meters
from atp.ports.event_store import EventStore
from atp.ports.key_store import KeyStore
from atp.ports.object_store import ObjectStore
from atp.ports.read_models import ReadModels

_PAUSE_SECONDS_MAX = 5.0
_TRIM_ENTRIES = 32_768
_DAMAGE = (TamperedError, MalformedError, MissingError)
"""What waiting does not cure: bytes that contradict each other, that are not what they should be, or that are gone."""

Done = TypeVar("Done")
Follow = Callable[[str, int], int]
"""Follows the next bundles of a log of so many published entries; how many frames its view holds then."""


@dataclass(frozen=True, slots=True)
class Stores:
    """The keepers that the path works on."""

    events: EventStore
    objects: ObjectStore
    models: ReadModels
    keys: KeyStore


class Loop:
    """One thread that runs `step(tenants)` for the tenants it was told of, and again while `step` gives some back."""

    def __init__(
        self,
        name: str,
        step: Callable[[set[str]], set[str]],
        *,
        lines: Lines,
        on_bug: Callable[[Exception], None],
        pause_seconds: float = 0.0,
    ) -> None:
        self.name = name
        self.trouble: str | None = None
        self._step = step
        self._lines = lines
        self._on_bug = on_bug
        self._due: set[str] = set()
        self._changed = threading.Condition()
        self._is_stopping = False
        self._pause_seconds = pause_seconds
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def wake(self, tenants: set[str]) -> None:
        """There is work for these tenants."""
        with self._changed:
            self._due |= tenants
            self._changed.notify()

    def stop(self) -> None:
        """End after the step that runs; what is left is found again at the next start."""
        with self._changed:
            self._is_stopping = True
            self._changed.notify()
        self._ending.set()
        if self._thread.is_alive():
            self._thread.join()

    def is_idle(self) -> bool:
        """True when nothing is due."""
        return not self._due

    def _run(self) -> None:
        pause = 0.05
        while (due := self._take()) is not None:
            try:
                left = self._step(due)
                self.trouble, pause = None, 0.05
            except AtpError as error:
                if self.trouble != str(error):
                    self._lines.write("error", "loop_waits", loop=self.name, reason=str(error))
                self.trouble, left = str(error), due
                self._wait(pause)
                pause = min(pause * 2, _PAUSE_SECONDS_MAX)
            except Exception as bug:
                self._on_bug(bug)
                return
            if left:
                self.wake(left)
            if self._pause_seconds:
                self._ending.wait(self._pause_seconds)

    def _take(self) -> set[str] | None:
        with self._changed:
            while not self._due and not self._is_stopping:
                self._changed.wait()
            if self._is_stopping:
                return None
            due, self._due = self._due, set()
            return due

    def _wait(self, seconds: float) -> None:
        with self._changed:
            if not self._is_stopping:
                self._changed.wait(seconds)


class Pipeline:
    """Stations 3 to 5 for all logs, and whoever waits for them."""

    def __init__(
        self,
        stores: Stores,
        *,
        reader_of: Callable[[str], LogReader],
        lines: Lines,
        meters: Meters,
        on_bug: Callable[[Exception], None],
        stopped: Mapping[str, str],
        follow: Follow | None = None,
    ) -> None:
        self.stopped = dict(stopped)
        self._follow_bundles = follow or partial(follow_bundles, object_store=stores.objects, read_models=stores.models)
        self._followed: dict[str, int] = {}
        self._stores = stores
        self._reader_of = reader_of
        self._lines = lines
        self._meters = meters
        self._origins: dict[str, str] = {}
        self._edges: dict[str, Edge] = {}
        self._trimmed: dict[str, int] = {}
        self._unshown: set[str] = set()
        self._waiters: list[tuple[str, int, Future[None]]] = []
        self._dropping: dict[str, Future[None]] = {}
        self._rebuilt_at: dict[str, int] = {}  # frames that a view has to hold again before writers wait for it
        self._lock = threading.Lock()
        self.publishing = Loop(
            "publish", self._publish_step, lines=lines, on_bug=on_bug, pause_seconds=limits.PUBLISH_PAUSE_SECONDS
        )
        self.following = Loop("follow", self._follow_step, lines=lines, on_bug=on_bug)

    def start(self) -> None:
        """Find what a crash left undone, then begin."""
        for log in self._stores.events.logs():
            self.add_log(log.tenant, log.origin)
        self.publishing.start()
        self.following.start()

    def stop(self) -> None:
        """End both loops; whoever waits is told to come again."""
        self.publishing.stop()
        self.following.stop()
        for _, _, future in self._waiters:
            if future.set_running_or_notify_cancel():
                future.set_exception(UnavailableError("could not wait: the server is stopping", hint="ask again"))

    def add_log(self, tenant: str, origin: str) -> None:
        """Take care of a log from now on."""
        self._origins[tenant] = origin
        if tenant in self.stopped:
            self._lines.write("critical", "log_stopped", tenant=tenant, reason=self.stopped[tenant])
            return
        try:
            self._show(tenant)
        except _DAMAGE as error:
            self._stop(tenant, error)
            return
        committed = self._stores.events.checkpoint(tenant)
        size = self._reader_of(tenant).size()
        if committed is None or size < self._stores.events.size(tenant):
            self.publishing.wake({tenant})
        elif self.followed(tenant) < frames_due(size):
            self.following.wake({tenant})

    def when_published(self, tenant: str, index: int) -> "Future[None]":
        """Done once the entry at `index` is under a checkpoint, and so queryable."""
        future: Future[None] = Future()
        with self._lock:
            if self._reader_of(tenant).size() > index:
                future.set_result(None)
            else:
                self._waiters.append((tenant, index, future))
        return future

    def rebuild(self, tenant: str) -> "Future[None]":
        """Drop the view of a log and follow the log again from its beginning; done when it is dropped.

        The loop that follows does both, so a view has one writer. Until it has caught up, nobody waits for it.
        """
        with self._lock:
            future = self._dropping.setdefault(tenant, Future())
            self._rebuilt_at[tenant] = frames_due(self._reader_of(tenant).size())
        self.following.wake({tenant})
        return future

    def is_rebuilding(self, tenant: str) -> bool:
        """Whether a view was dropped and does not yet hold again what it held."""
        due = self._rebuilt_at.get(tenant)
        if due is None or (tenant not in self._dropping and self.followed(tenant) >= due):
            self._rebuilt_at.pop(tenant, None)
            return False
        return True

    def followed(self, tenant: str) -> int:
        """How many frames the view held when it was followed last; the disk is asked only before that."""
        if tenant not in self._followed:
            self._followed[tenant] = self._stores.models.followed(tenant)
        return self._followed[tenant]

    def check_open(self, tenant: str) -> None:
        """UnavailableError when the log was stopped because its bytes contradict each other."""
        if tenant in self.stopped:
            raise UnavailableError(
                f"could not record: the log of {tenant} is stopped: {self.stopped[tenant]}",
                hint="run atp verify, put right what it names, then start the server again",
            )

    def _publish_step(self, due: set[str]) -> set[str]:
        began = time.perf_counter()
        edges, failed = self._each(due, self._integrate)
        left = {tenant for tenant, edge in edges.items() if edge.size < self._stores.events.size(tenant)}
        try:
            publish_once(
                edges,
                origins=self._origins,
                event_store=self._stores.events,
                object_store=self._stores.objects,
                key_store=self._stores.keys,
            )
        except AtpError:
            self._unshown |= edges.keys()
            raise
        self._tell()
        self.following.wake({tenant for tenant, edge in edges.items() if self.followed(tenant) < frames_due(edge.size)})
        self._trim(edges)
        self._meters.time("atp_publish_seconds", time.perf_counter() - began)
        if failed:
            raise failed
        return left

    def _integrate(self, tenant: str) -> Edge:
        events, objects = self._stores.events, self._stores.objects
        if tenant in self._unshown:
            self._show(tenant)
            self._unshown.discard(tenant)
        signing_keys(tenant, key_store=self._stores.keys)  # who cannot sign must not hold up those who can
        if tenant not in self._edges:
            self._edges[tenant] = load_edge(self._reader_of(tenant), event_store=events)
        edge = integrate_once(self._edges[tenant], tenant=tenant, event_store=events, object_store=objects)
        self._edges[tenant] = edge
        return edge

    def _show(self, tenant: str) -> None:
        shown = _shown(tenant, self._stores.objects)
        show_again(tenant, event_store=self._stores.events, object_store=self._stores.objects, shown=shown)

    def _tell(self) -> None:
        with self._lock:
            sizes = {tenant: self._reader_of(tenant).size() for tenant, _, _ in self._waiters}
            done = [waiter for waiter in self._waiters if sizes[waiter[0]] > waiter[1]]
            waiting = [waiter for waiter in self._waiters if sizes[waiter[0]] <= waiter[1]]
            self._waiters = [waiter for waiter in waiting if not waiter[2].cancelled()]
        for _, _, future in done:
            if future.set_running_or_notify_cancel():
                future.set_result(None)

    def _trim(self, edges: dict[str, Edge]) -> None:
        below = {name: edge.size - edge.size % limits.TILE_WIDTH for name, edge in edges.items()}
        due = {name: bound for name, bound in below.items() if bound - self._trimmed.get(name, 0) >= _TRIM_ENTRIES}
        if due:
            self._stores.events.trim(due)
            self._trimmed |= due

    def _follow_step(self, due: set[str]) -> set[str]:
        is_behind, failed = self._each(due, self._follow)
        if failed:
            raise failed
        return {tenant for tenant, is_so in is_behind.items() if is_so}

    def _follow(self, tenant: str) -> bool:
        """Whether the view is still behind after another step."""
        if tenant in self._dropping:
            self._stores.models.clear(tenant)
            self._followed[tenant] = 0
            with self._lock:
                self._dropping.pop(tenant).set_result(None)
        size = self._reader_of(tenant).size()
        self._followed[tenant] = self._follow_bundles(tenant, size)
        return self._followed[tenant] < frames_due(size)

    def _each(self, due: set[str], step: Callable[[str], Done]) -> tuple[dict[str, Done], AtpError | None]:
        """What `step` made of each log, and the newest failure that may pass. A damaged log is stopped for good; none
        holds up the others."""
        done: dict[str, Done] = {}
        failed: AtpError | None = None
        for tenant in due - self.stopped.keys():
            try:
                done[tenant] = step(tenant)
            except _DAMAGE as error:
                self._stop(tenant, error)
            except AtpError as error:
                failed = error
        return done, failed

    def _stop(self, tenant: str, error: AtpError) -> None:
        self.stopped[tenant] = str(error)
        self._lines.write("critical", "log_stopped", tenant=tenant, reason=str(error))
        self._meters.count("atp_tampered_logs")


def _shown(tenant: str, objects: ObjectStore) -> bytes | None:
    try:
        return objects.get(log_key(tenant, "checkpoint"))
    except MissingError:
        return None
