"""One line on a terminal that says how far a long command is; nothing at all when nobody watches."""

import sys
import time
from contextlib import suppress
from typing import TextIO

_PAUSE_SECONDS = 0.1
_ERASE_LINE = "\r\x1b[K"


class Progress:
    """Shows `done` of `total` (0: unknown) at most ten times a second; erases itself at the end of its context."""

    def __init__(self, what: str, *, total: int = 0, stream: TextIO | None = None) -> None:
        self._what = what
        self._total = total
        self._stream = stream or sys.stderr
        self._is_shown = self._stream.isatty()
        self._began = self._due = time.monotonic()

    def __enter__(self) -> "Progress":
        return self

    def __exit__(self, *_: object) -> None:
        if self._is_shown:
            self._write(_ERASE_LINE)

    def show(self, done: int, *, count: int | None = None, total: int | None = None) -> None:
        """So much of the total is done; `count` of what the line speaks of."""
        now = time.monotonic()
        if not self._is_shown or now < self._due:
            return
        self._due = now + _PAUSE_SECONDS
        self._total = total or self._total
        self._write(_ERASE_LINE + self._line(done, done if count is None else count, now - self._began))

    def _line(self, done: int, count: int, seconds: float) -> str:
        share = f"{100 * done / self._total:5.1f} %  " if self._total else ""
        rate = f", {count / seconds:,.0f}/s" if seconds > 0.5 else ""
        return f"{share}{count:,} {self._what}{rate}"

    def _write(self, text: str) -> None:
        with suppress(OSError, ValueError):  # a terminal that is gone is no reason to stop
            self._stream.write(text)
            self._stream.flush()
