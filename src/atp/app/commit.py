"""Group commit: requests of all tenants that wait while one write is synced share the next one.

No timer: a lone request is written at once, under load groups grow by themselves.
"""

import threading
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass

from atp import limits
from atp.errors import AtpError, UnavailableError
from atp.log.append import Outcome, Request

Append = Callable[[Sequence[Request]], list[Outcome | AtpError]]


@dataclass(frozen=True, slots=True)
class _Waiting:
    """A request in the queue, with the events and bytes that it weighs."""

    request: Request
    future: "Future[Outcome]"
    events: int
    size: int


class Committer:
    """A bounded queue and the one thread that appends. `on_durable` is told which tenants grew."""

    def __init__(self, append: Append, *, on_durable: Callable[[set[str]], None], on_bug: Callable[[Exception], None]):
        self._append = append
        self._on_durable = on_durable
        self._on_bug = on_bug
        self._waiting: deque[_Waiting] = deque()
        self._events = self._bytes = 0
        self._changed = threading.Condition()
        self._is_stopping = False
        self._thread = threading.Thread(target=self._run, name="commit", daemon=True)

    def start(self) -> None:
        """Begin to write."""
        self._thread.start()

    def stop(self) -> None:
        """Write what waits, then end; what comes later is refused."""
        with self._changed:
            self._is_stopping = True
            self._changed.notify()
        if self._thread.is_alive():
            self._thread.join()

    def waiting_events(self) -> int:
        """How many events wait for a write."""
        return self._events

    def submit(self, request: Request) -> "Future[Outcome]":
        """Queue a request; its future is done when it is durable or refused. UnavailableError: the queue is full."""
        events, size = _weight(request)
        future: Future[Outcome] = Future()
        future.set_running_or_notify_cancel()  # whoever waits may go away, the write goes on
        with self._changed:
            if self._is_stopping:
                raise UnavailableError("could not record: the server is stopping", hint="send it again")
            if self._waiting and (
                self._events + events > limits.QUEUE_EVENTS_MAX or self._bytes + size > limits.QUEUE_BYTES_MAX
            ):
                raise UnavailableError("could not record: the queue is full", hint="send it again after Retry-After")
            self._waiting.append(_Waiting(request, future, events, size))
            self._events += events
            self._bytes += size
            self._changed.notify()
        return future

    def _run(self) -> None:
        while group := self._take():
            try:
                outcomes = self._append([waiting.request for waiting in group])
            except AtpError as error:
                for waiting in group:
                    waiting.future.set_exception(error)
                self._on_durable({waiting.request.tenant for waiting in group})  # it may be durable though it failed
                continue
            except Exception as bug:
                for waiting in group:
                    waiting.future.set_exception(bug)
                self._on_bug(bug)
                continue
            for waiting, outcome in zip(group, outcomes, strict=True):
                if isinstance(outcome, AtpError):
                    waiting.future.set_exception(outcome)
                else:
                    waiting.future.set_result(outcome)
            self._on_durable({waiting.request.tenant for waiting in group})

    def _take(self) -> list[_Waiting]:
        """The next group, waiting for one; empty when it is time to end."""
        with self._changed:
            while not self._waiting and not self._is_stopping:
                self._changed.wait()
            group: list[_Waiting] = []
            events = size = 0
            while self._waiting:
                events, size = events + self._waiting[0].events, size + self._waiting[0].size
                if group and (events > limits.GROUP_EVENTS_MAX or size > limits.GROUP_BYTES_MAX):
                    events, size = events - self._waiting[0].events, size - self._waiting[0].size
                    break
                group.append(self._waiting.popleft())
            self._events -= events
            self._bytes -= size
            return group


def _weight(request: Request) -> tuple[int, int]:
    events = len(request.events) + len(request.parked)
    return events, sum(len(event.body) for event in request.events) + sum(len(record.body) for record in request.parked)
