"""Bytes from one process to another: through memory that both see, while two pipes tell what is full and what is free.

A pipe copies every byte into the kernel and out of it, a page at a time: half a second for a gibibyte. Of the pipes
here only their behaviour is used: who waits is woken, and when one side is gone, however it went, the other finds out.
"""

import mmap
import os
from collections.abc import Sequence
from contextlib import suppress

_SLOT_BYTES = 1 << 18
_SLOTS = 32
_SIZE_BYTES = 4


class Ring:
    """To be made before the fork; then one process calls `reading`, the other one `writing`, each once."""

    def __init__(self) -> None:
        self._memory = mmap.mmap(-1, _SLOTS * _SLOT_BYTES)
        self._full, self._free = os.pipe(), os.pipe()

    @property
    def reading_ends(self) -> Sequence[int]:
        """The descriptors of the side that reads."""
        return self._full[0], self._free[1]

    @property
    def writing_ends(self) -> Sequence[int]:
        """The descriptors of the side that writes."""
        return self._free[0], self._full[1]

    def reading(self) -> "Reading":
        """This process reads."""
        _close(self.writing_ends)
        return Reading(self._memory, *self.reading_ends)

    def writing(self) -> "Writing":
        """This process writes."""
        _close(self.reading_ends)
        return Writing(self._memory, *self.writing_ends)


class Reading:
    """The side that reads; waits while all slots are empty. The stream ends when the other side has closed or died."""

    def __init__(self, memory: mmap.mmap, full: int, free: int) -> None:
        self._memory = memory
        self._full = full
        self._free = free
        self._slot = self._at = self._end = 0

    def read(self, size: int, /) -> bytes:
        """So many bytes; fewer, or none, at the end."""
        if size <= self._end - self._at:
            return self._take(size)
        pieces, left = list[bytes](), size
        while left and self._is_more():
            pieces.append(self._take(left))
            left -= len(pieces[-1])
        return b"".join(pieces)

    def read_some(self) -> bytes:
        """What is there, a slot at most; none at the end."""
        return self._take(_SLOT_BYTES) if self._is_more() else b""

    def readline(self, size: int, /) -> bytes:
        """At most `size` bytes, up to and with the next line feed."""
        pieces, left = list[bytes](), size
        while left and self._is_more():
            feed = self._memory.find(b"\n", self._at, self._end)
            pieces.append(self._take(left if feed < 0 else min(left, feed + 1 - self._at)))
            left = 0 if pieces[-1].endswith(b"\n") else left - len(pieces[-1])
        return b"".join(pieces)

    def close(self) -> None:
        """Nobody reads any more."""
        _close((self._full, self._free))

    def _is_more(self) -> bool:
        return self._at < self._end or self._next()

    def _next(self) -> bool:
        told = os.read(self._full, _SIZE_BYTES)
        self._at = self._slot * _SLOT_BYTES
        self._end = self._at + int.from_bytes(told)
        self._slot = (self._slot + 1) % _SLOTS
        return bool(told)

    def _take(self, size: int) -> bytes:
        data = self._memory[self._at : min(self._end, self._at + size)]
        self._at += len(data)
        if self._at == self._end and data:
            with suppress(BrokenPipeError):  # who wrote it has ended
                os.write(self._free, b"\0")
        return data


class Writing:
    """A Sink, the side that writes; waits while all slots are full. What it wrote is seen slot by slot, the last of it
    when it is closed: to wake the other side for every few bytes would cost more than moving them."""

    def __init__(self, memory: mmap.mmap, free: int, full: int) -> None:
        self._memory = memory
        self._free = free
        self._full = full
        self._slot = self._size = 0
        self._room = _SLOTS

    def write(self, data: bytes, /) -> None:
        """See Sink. BrokenPipeError: nobody reads any more."""
        left = memoryview(data)
        while left:
            if not self._room:
                self._wait()
            piece = left[: _SLOT_BYTES - self._size]
            begin = self._slot * _SLOT_BYTES + self._size
            self._memory[begin : begin + len(piece)] = piece
            self._size += len(piece)
            left = left[len(piece) :]
            if self._size == _SLOT_BYTES:
                self._tell()

    def close(self) -> None:
        """There is no more."""
        with suppress(BrokenPipeError):  # nobody wants the last of it
            if self._size:
                self._tell()
        _close((self._free, self._full))

    def _wait(self) -> None:
        self._room = len(os.read(self._free, _SLOTS))
        if not self._room:
            raise BrokenPipeError("nobody reads any more")

    def _tell(self) -> None:
        os.write(self._full, self._size.to_bytes(_SIZE_BYTES))
        self._slot, self._size, self._room = (self._slot + 1) % _SLOTS, 0, self._room - 1


def _close(ends: Sequence[int]) -> None:
    for end in ends:
        os.close(end)
