"""Bytes from one process to another: through memory that both see, while two pipes tell what is full and what is free.

A pipe copies every byte into the kernel and out of it, a page at a time: half a second for a gibibyte. Of the pipes
here only their behaviour is used: who waits is woken, and when one side is gone, however it went, the other finds out.
"""

import mmap
import os
from collections.abc import Sequence
from contextlib import suppress
from io import BufferedReader, RawIOBase
from typing import Any, Protocol

_SLOT_BYTES = 1 << 18
_SLOTS = 8
_SIZE_BYTES = 4


class Target(Protocol):
    """What takes bytes."""

    def write(self, data: bytes, /) -> object:
        """Take all of it. BrokenPipeError: nobody reads any more."""


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

    def reading(self) -> BufferedReader:
        """This process reads. The stream ends when the other side has closed or died."""
        _close(self.writing_ends)
        return BufferedReader(_Reading(memoryview(self._memory), *self.reading_ends), _SLOT_BYTES)

    def writing(self) -> "Writing":
        """This process writes."""
        _close(self.reading_ends)
        return Writing(memoryview(self._memory), *self.writing_ends)


class _Reading(RawIOBase):
    def __init__(self, memory: memoryview, full: int, free: int) -> None:
        self._memory = memory
        self._full = full
        self._free = free
        self._slot = self._at = self._end = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any, /) -> int:
        """Of one slot as much as there is room for; nothing at the end."""
        if self._at == self._end and not self._next():
            return 0
        into = memoryview(buffer)
        taken = min(len(into), self._end - self._at)
        into[:taken] = self._memory[self._at : self._at + taken]
        self._at += taken
        if self._at == self._end:
            with suppress(BrokenPipeError):  # who wrote it has ended
                os.write(self._free, b"\0")
        return taken

    def _next(self) -> bool:
        told = os.read(self._full, _SIZE_BYTES)
        self._at = self._slot * _SLOT_BYTES
        self._end = self._at + int.from_bytes(told)
        self._slot = (self._slot + 1) % _SLOTS
        return bool(told)

    def close(self) -> None:
        if not self.closed:
            _close((self._full, self._free))
        super().close()


class Writing:
    """The side that writes; waits while all slots are full."""

    def __init__(self, memory: memoryview, free: int, full: int) -> None:
        self._memory = memory
        self._free = free
        self._full = full
        self._slot = 0
        self._room = _SLOTS

    def write(self, data: bytes, /) -> None:
        """See Target."""
        left = memoryview(data)
        while left:
            self._put(left[:_SLOT_BYTES])
            left = left[_SLOT_BYTES:]

    def _put(self, piece: memoryview) -> None:
        if not self._room:
            self._room = len(os.read(self._free, _SLOTS))
        if not self._room:
            raise BrokenPipeError("nobody reads any more")
        begin = self._slot * _SLOT_BYTES
        self._memory[begin : begin + len(piece)] = piece
        os.write(self._full, len(piece).to_bytes(_SIZE_BYTES))
        self._slot, self._room = (self._slot + 1) % _SLOTS, self._room - 1

    def __enter__(self) -> "Writing":
        return self

    def __exit__(self, *_: object) -> None:
        _close((self._free, self._full))


def _close(ends: Sequence[int]) -> None:
    for end in ends:
        os.close(end)
