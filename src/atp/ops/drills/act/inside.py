"""The process behind the fence: opens a restored copy, holds it against the inner manifest, asks it, and says so.

`python -m atp.ops.drills.act.inside`: one Question as JSON on stdin, one Found on stdout. It has no keys and no
environment, and tries the fence before it opens anything; declared SQL can read this one database and nothing else.
"""

import ctypes
import resource
import signal
import sqlite3
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial

import msgspec

from atp.errors import AtpError, MalformedError, UnavailableError
from atp.limits import DRILL_MEMORY_BYTES_MAX, DRILL_TOLD_CHARS_MAX
from atp.ops.backups.act.workplace import is_without_room
from atp.ops.backups.format.contents import ContentsReader
from atp.ops.drills.act.kinds.choose import copy_of
from atp.ops.drills.act.kinds.shape import Copy, Row
from atp.ops.drills.act.questions import Found, Question, name_of
from atp.ops.drills.act.trying import try_walls
from atp.ops.drills.evidence.figures import Answer
from atp.ops.estate.declare.values import Check, Rows

_SET_PARENT_DEATH_SIGNAL = 1  # linux/prctl.h


@dataclass(slots=True)
class _Asking:
    question: Question
    copy: Copy
    answers: list[Answer] = field(default_factory=list)
    beats: tuple[tuple[str, datetime], ...] = ()
    opened_at: float | None = None
    whole_at: float | None = None
    answered_at: float | None = None

    def ask(self) -> None:
        """Open, whole, declared; what fails ends it, since what comes after would tell nothing."""
        if not self._ask("opens", self._open):
            return
        self.opened_at = time.monotonic()
        if not self._ask("as backed up", self._whole):
            return
        self.whole_at = time.monotonic()
        for check in self.question.checks:
            self._ask(name_of(check), _asked(self.copy, check))
        if all(answer.passed for answer in self.answers):
            self.answered_at = time.monotonic()

    def _ask(self, name: str, asked: Callable[[], str]) -> bool:
        try:
            answer = Answer(name, True, asked()[:DRILL_TOLD_CHARS_MAX])
        except (AtpError, sqlite3.Error, OSError, ValueError) as error:
            if isinstance(error, (UnavailableError, sqlite3.Error, OSError)) and is_without_room(str(error)):
                raise UnavailableError(f"{name}: {error}") from None  # which tells nothing of the copy
            answer = Answer(name, False, str(error)[:DRILL_TOLD_CHARS_MAX])
        except MemoryError:
            answer = Answer(name, False, f"it takes more memory than {DRILL_MEMORY_BYTES_MAX:,} bytes")
        self.answers.append(answer)
        return answer.passed

    def _open(self) -> str:
        told = self.copy.open()
        self.beats = tuple(self.copy.beats())
        return told

    def _whole(self) -> str:
        with open(self.question.contents, "rb") as lines:
            return self.copy.whole(ContentsReader(lines))


def _asked(copy: Copy, check: Check) -> Callable[[], str]:
    if check.rows is not None:
        return partial(_count, copy, check, check.rows)
    if check.verify:
        return copy.verify
    if check.digests:
        return lambda: "every file has the digest that was taken at backup"
    return partial(_compare, copy, check)


def _count(copy: Copy, check: Check, rows: Rows) -> str:
    count = copy.count(rows.table, within=check.within)
    if count < rows.at_least:
        raise MalformedError(f"{count:,} rows, fewer than {rows.at_least:,}")
    return f"{count:,} rows, at least {rows.at_least:,}"


def _compare(copy: Copy, check: Check) -> str:
    expected = check.expect or ()
    rows = tuple(copy.select(check.sql or "", rows_max=len(expected) + 1, within=check.within))
    if rows != expected:
        raise MalformedError(f"{_shown(rows)} instead of {_shown(expected)}")
    return f"{_shown(rows)}, as declared"


def _shown(rows: Sequence[Row]) -> str:
    return msgspec.json.encode([[_plain(cell) for cell in row] for row in rows]).decode()


def _plain(cell: object) -> object:
    return f"{len(cell)} bytes" if isinstance(cell, bytes) else cell


def _end_with_the_asker() -> None:
    """Whoever kills the asker ends this process too, so that nobody works in a directory that is swept."""
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(_SET_PARENT_DEATH_SIGNAL, signal.SIGKILL)


def main() -> None:
    """Read the question, answer it."""
    _end_with_the_asker()
    resource.setrlimit(resource.RLIMIT_DATA, (DRILL_MEMORY_BYTES_MAX, DRILL_MEMORY_BYTES_MAX))
    question = msgspec.json.decode(sys.stdin.buffer.read(), type=Question)
    tried = try_walls(question)
    asking = _Asking(question, copy_of(question))
    try:
        with closing(asking.copy):
            asking.ask()
    except UnavailableError as error:
        sys.exit(str(error))
    end = time.monotonic()
    instants = (asking.opened_at, asking.whole_at, asking.answered_at)
    opened, whole, answered = (None if at is None else end - at for at in instants)
    found = Found(
        answers=tuple(asking.answers),
        opened_before_end=opened,
        whole_before_end=whole,
        answered_before_end=answered,
        beats=asking.beats,
        tried=tried,
    )
    sys.stdout.buffer.write(msgspec.json.encode(found))


if __name__ == "__main__":
    main()
