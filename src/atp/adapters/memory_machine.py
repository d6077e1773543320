"""What an operator's machine keeps, in memory: the strictest keeper, and one that dies or fills up when it is told."""

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from atp.errors import UnavailableError


class MemoryMachine:
    """The Machine port on a list. `room` is how many lines it still takes; None: any number."""

    def __init__(self, *, room: int | None = None) -> None:
        self.room = room
        self._secret = ""
        self._kept: list[bytes] = []
        self._lock = threading.RLock()
        self._is_held = False

    def secret(self, draw: Callable[[], str]) -> str:
        """See Machine. ValueError when what is drawn is not one line."""
        with self._lock:
            if not self._secret:
                drawn = draw()
                if not drawn or not drawn.isprintable():
                    raise ValueError("a secret that is not one line")
                self._secret = drawn
            return self._secret

    def lines(self) -> list[bytes]:
        """See Machine."""
        with self._lock:
            return list(self._kept)

    @contextmanager
    def hold(self) -> Iterator["MemoryLines"]:
        """See Machine. ValueError when the thread that holds it asks again."""
        with self._lock:
            if self._is_held:
                raise ValueError("held twice by one thread")
            self._is_held = True
            held = MemoryLines(self, self._kept)
            try:
                yield held
            finally:
                held.is_over = True
                self._is_held = False


class MemoryLines:
    """The HeldLines port on a list; ValueError after its block has ended."""

    def __init__(self, machine: MemoryMachine, kept: list[bytes]) -> None:
        self._machine = machine
        self._kept = kept
        self.is_over = False

    def lines(self) -> list[bytes]:
        """See HeldLines."""
        self._check()
        return list(self._kept)

    def torn_bytes(self) -> int:
        """See HeldLines: memory tears nothing."""
        self._check()
        return 0

    def add(self, line: bytes) -> None:
        """See HeldLines. ValueError for what is not one line."""
        self._check(line)
        self._take_room(1)
        self._kept.append(line)

    def replace(self, lines: Sequence[bytes]) -> None:
        """See HeldLines. ValueError for what is not one line."""
        self._check(*lines)
        self._take_room(len(lines) - len(self._kept))
        self._kept[:] = lines

    def _take_room(self, count: int) -> None:
        if self._machine.room is not None:
            if count > self._machine.room:
                raise UnavailableError("could not write a line: there is no room", hint="make room")
            self._machine.room -= count

    def _check(self, *lines: bytes) -> None:
        if self.is_over:
            raise ValueError("used after its block")
        if any(b"\n" in line or not line for line in lines):
            raise ValueError("not one line")
