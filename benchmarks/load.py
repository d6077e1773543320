"""The load client: kept-alive HTTP/1.1 connections that each have one request under way.

It parses no more of an answer than its length, so that it takes as little as it can of the cores it shares.
"""

import asyncio
import gc
import re
import time
from collections.abc import Callable, Coroutine, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TypeVar, cast

import uvloop

HOST = "127.0.0.1"
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_BUSY = 503
_BUSY_PAUSE_SECONDS = 0.05

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back, and the seconds until then."""

    status: int
    body: bytes
    seconds: float


class Connection(asyncio.Protocol):
    """One connection; `exchange` sends a request and gives its whole answer."""

    def __init__(self) -> None:
        self._received = bytearray()
        self._length_wanted = 0
        self._answered: asyncio.Future[bytes] | None = None
        self._transport: asyncio.Transport | None = None

    async def exchange(self, request: bytes) -> Answer:
        """Send and wait. ConnectionError when the server closes."""
        if self._transport is None or self._transport.is_closing():
            raise ConnectionResetError("the server closed the connection")
        self._received.clear()
        self._length_wanted = 0
        self._answered = asyncio.get_running_loop().create_future()
        began = time.perf_counter()
        self._transport.write(request)
        answer = await self._answered
        head, _, body = answer.partition(b"\r\n\r\n")
        return Answer(int(head[9:12]), body, time.perf_counter() - began)

    def close(self) -> None:
        """Hang up."""
        if self._transport is not None:
            self._transport.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._answered is not None and not self._answered.done():
            self._answered.set_exception(ConnectionResetError("the server closed the connection"))

    def data_received(self, data: bytes) -> None:
        self._received += data
        if not self._length_wanted:
            end = self._received.find(b"\r\n\r\n")
            if end < 0:
                return
            length = _LENGTH.search(self._received, 0, end)
            self._length_wanted = end + 4 + (int(length[1]) if length else 0)
        if len(self._received) >= self._length_wanted and self._answered is not None and not self._answered.done():
            self._answered.set_result(bytes(self._received))


@dataclass(slots=True)
class Load:
    """What a drive did: the seconds of each request, and of all together."""

    latencies: list[float] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def per_second(self) -> float:
        """Requests answered a second."""
        return len(self.latencies) / self.seconds


def request(method: str, path: str, *, key: str = "", body: bytes = b"") -> bytes:
    """The bytes of one request."""
    head = f"{method} {path} HTTP/1.1\r\nHost: {HOST}\r\nAuthorization: Bearer {key}\r\n"
    return b"%bContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b" % (head.encode(), len(body), body)


async def connect(port: int) -> Connection:
    """Open one connection."""
    _, connection = await asyncio.get_running_loop().create_connection(Connection, HOST, port)
    return connection


async def drive(port: int, requests: Iterable[bytes], *, connections: int, seconds: float = 3_600.0) -> Load:
    """Send requests over all connections until there are none left or the time is over.

    A server that is busy (503) is asked again; RuntimeError with the answer for whatever else is no success.
    """
    load, waiting = Load(), iter(requests)
    began = time.perf_counter()

    async def work() -> None:
        connection = await connect(port)
        for sent in waiting:
            answer = await succeed(connection, sent)
            load.latencies.append(answer.seconds)
            if time.perf_counter() - began >= seconds:
                break
        connection.close()

    await asyncio.gather(*(work() for _ in range(connections)))
    load.seconds = time.perf_counter() - began
    return load


async def succeed(connection: Connection, sent: bytes) -> Answer:
    """Exchange until the answer is a success; its seconds count all tries."""
    began = time.perf_counter()
    while (answer := await connection.exchange(sent)).status == _BUSY:
        await asyncio.sleep(_BUSY_PAUSE_SECONDS)
    if not 200 <= answer.status < 300:
        raise RuntimeError(f"could not {sent[:80]!r}: {answer.status} {answer.body[:500]!r}")
    return Answer(answer.status, answer.body, time.perf_counter() - began)


def run(main: Callable[[], Coroutine[object, object, T]]) -> T:
    """Run a coroutine on uvloop, without the pauses of the cycle collector."""
    with _uncollected(), asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(main())


@contextmanager
def _uncollected() -> Iterator[None]:
    gc.collect()
    gc.freeze()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
        gc.unfreeze()
