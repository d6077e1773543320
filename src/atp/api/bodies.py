"""Request bodies: read within bounds of size, time and memory, and unpacked when they are gzip (RFC 1952)."""

import asyncio
import threading
import zlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from starlette.exceptions import HTTPException
from starlette.requests import Request

from atp import limits
from atp.errors import MalformedError, TooLargeError, UnavailableError

_GZIP = 16 + zlib.MAX_WBITS
_PIECE_BYTES = 64 * 1024
_STEP_BYTES = 1024 * 1024


class Room:
    """The memory that all bodies in flight may take together: `limits.BODIES_BYTES_MAX`. Thread-safe."""

    def __init__(self) -> None:
        self._taken = 0
        self._lock = threading.Lock()

    def take(self, size: int) -> None:
        """UnavailableError when there is no room for `size` more bytes."""
        with self._lock:
            if self._taken + size > limits.BODIES_BYTES_MAX:
                raise UnavailableError(
                    "could not read the body: too many are being read", hint="again after Retry-After"
                )
            self._taken += size

    def give_back(self, size: int) -> None:
        """The bytes are no longer held."""
        with self._lock:
            self._taken -= size


class Intake:
    """Reads bodies, of which all together take bounded memory."""

    def __init__(self) -> None:
        self._room = Room()

    @asynccontextmanager
    async def body(self, request: Request) -> AsyncIterator[bytes]:
        """The plain body; its memory counts until the context ends.

        TooLargeError beyond `limits.BODY_BYTES_MAX` as sent or `limits.BODY_UNPACKED_BYTES_MAX` unpacked,
        MalformedError for broken gzip, UnavailableError when all bodies together are too many; 408 for a client that
        takes longer than `limits.BODY_SECONDS_MAX`, 415 for another content encoding.
        """
        encoding = request.headers.get("content-encoding", "identity").strip().lower()
        if encoding not in ("identity", "gzip"):
            raise HTTPException(415, f"could not read the body: content encoding {encoding[:50]!r} is not gzip")
        held: list[int] = []

        def hold(size: int) -> None:
            self._room.take(size)
            held.append(size)

        try:
            sent = await _receive(request, hold)
            yield sent if encoding == "identity" else await asyncio.to_thread(unpack, sent, hold)
        finally:
            self._room.give_back(sum(held))


async def _receive(request: Request, hold: Callable[[int], None]) -> bytes:
    length = request.headers.get("content-length", "0")
    if length.isdecimal() and int(length) > limits.BODY_BYTES_MAX:
        raise _too_large(limits.BODY_BYTES_MAX)
    chunks: list[bytes] = []
    size = 0
    try:
        async with asyncio.timeout(limits.BODY_SECONDS_MAX):
            async for chunk in request.stream():
                hold(len(chunk))
                chunks.append(chunk)
                size += len(chunk)
                if size > limits.BODY_BYTES_MAX:
                    raise _too_large(limits.BODY_BYTES_MAX)
    except TimeoutError:
        raise HTTPException(408, f"could not read the body within {limits.BODY_SECONDS_MAX} seconds") from None
    return b"".join(chunks)


def unpack(packed: bytes, hold: Callable[[int], None]) -> bytes:
    """The bytes of a gzip file of one or more members; `hold` hears of each step's size before the next one.

    MalformedError when it is broken or cut, TooLargeError as soon as it unpacks to more than
    `limits.BODY_UNPACKED_BYTES_MAX`.
    """
    steps: list[bytes] = []
    size = at = members = 0
    while at < len(packed):
        members += 1
        if members > limits.GZIP_MEMBERS_MAX:
            raise TooLargeError(f"could not unpack the body: it has more than {limits.GZIP_MEMBERS_MAX:,} gzip members")
        member = zlib.decompressobj(_GZIP)
        while not member.eof:
            piece = member.unconsumed_tail or packed[at : at + _PIECE_BYTES]
            at += 0 if member.unconsumed_tail else len(piece)
            step = _unpack_step(member, piece)
            hold(len(step))
            steps.append(step)
            size += len(step)
            if size > limits.BODY_UNPACKED_BYTES_MAX:
                raise _too_large(limits.BODY_UNPACKED_BYTES_MAX)
        at -= len(member.unused_data)
    return b"".join(steps)


def _unpack_step(member: "zlib._Decompress", piece: bytes) -> bytes:
    try:
        step = member.decompress(piece, _STEP_BYTES)
    except zlib.error as error:
        raise MalformedError(f"could not unpack the body: it is not gzip: {error}") from None
    if not step and not piece:
        raise MalformedError("could not unpack the body: the gzip data ends too early")
    return step


def _too_large(most: int) -> TooLargeError:
    return TooLargeError(f"could not read the body: it has more than {most:,} bytes", hint="send several requests")
