"""What a connection may take before its request is known: bytes and seconds of the request's head."""

import asyncio
from collections.abc import Callable
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from atp.limits import HEAD_BYTES_MAX, HEAD_SECONDS_MAX

_TOO_LARGE = b"HTTP/1.1 431 Request Header Fields Too Large\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"


class BoundedHead:
    """The HTTP protocol of one connection, closed when a head is over `HEAD_BYTES_MAX` or takes `HEAD_SECONDS_MAX`.

    The parser below bounds neither, so that anybody could fill the memory, or hold a connection for ever.
    """

    def __init__(self, **arguments: Any) -> None:
        self._http = HttpToolsProtocol(**arguments)
        self._head_bytes = 0
        self._deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:
        """See asyncio.Protocol."""
        self._http.connection_made(transport)
        self._arm()

    def data_received(self, data: bytes) -> None:
        """See asyncio.Protocol."""
        before = self._http.cycle
        self._http.data_received(data)
        if self._http.cycle is not before:
            self._disarm()
        elif getattr(before, "response_complete", True):  # there is no cycle before the first request
            self._head_bytes += len(data)
            self._arm()
            if self._head_bytes > HEAD_BYTES_MAX:
                self._http.transport.write(_TOO_LARGE)
                self._http.transport.close()

    def connection_lost(self, error: Exception | None) -> None:
        """See asyncio.Protocol."""
        self._disarm()
        self._http.connection_lost(error)

    def eof_received(self) -> None:
        """See asyncio.Protocol."""
        self._http.eof_received()

    def pause_writing(self) -> None:
        """See asyncio.Protocol."""
        self._http.pause_writing()

    def resume_writing(self) -> None:
        """See asyncio.Protocol."""
        self._http.resume_writing()

    def _arm(self) -> None:
        if self._deadline is None:
            close: Callable[[], object] = self._http.transport.close
            self._deadline = self._http.loop.call_later(HEAD_SECONDS_MAX, close)

    def _disarm(self) -> None:
        self._head_bytes = 0
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None
