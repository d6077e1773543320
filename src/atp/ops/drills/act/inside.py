"""The process behind the fence: opens a restored copy, holds it against the inner manifest, asks it, and says so.

`python -m atp.ops.drills.act.inside`: one Question as JSON on stdin, one Found on stdout. It has no keys and no
environment, and tries the fence before it opens anything; declared SQL can read this one database and nothing else.
"""

import ctypes
import os
import signal
import sqlite3
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from urllib.parse import quote

import msgspec

from atp.errors import AtpError, MalformedError, TamperedError
from atp.limits import DRILL_TOLD_CHARS_MAX, HEARTBEAT_LINE_BYTES_MAX, HEARTBEATS_MAX
from atp.ops.backups.format.checking import check_tree
from atp.ops.backups.format.contents import ContentsReader
from atp.ops.backups.format.database import check_database, inspect_database
from atp.ops.drills.act.questions import HEARTBEAT_FILE, HEARTBEAT_TABLE, Found, Question, name_of
from atp.ops.drills.act.trying import try_walls
from atp.ops.drills.evidence.figures import Answer
from atp.ops.estate.declare.values import Check

_READING = {sqlite3.SQLITE_SELECT, sqlite3.SQLITE_READ, sqlite3.SQLITE_FUNCTION, sqlite3.SQLITE_RECURSIVE}
_SET_PARENT_DEATH_SIGNAL = 1  # linux/prctl.h


@dataclass(slots=True)
class _Asking:
    question: Question
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
            self._ask(name_of(check), _asked(self.question, check))
        if all(answer.passed for answer in self.answers):
            self.answered_at = time.monotonic()

    def _ask(self, name: str, asked: Callable[[], str]) -> bool:
        try:
            answer = Answer(name, True, asked()[:DRILL_TOLD_CHARS_MAX])
        except (AtpError, sqlite3.Error, OSError, ValueError) as error:
            answer = Answer(name, False, str(error)[:DRILL_TOLD_CHARS_MAX])
        self.answers.append(answer)
        return answer.passed

    def _open(self) -> str:
        place = self.question.place
        if self.question.kind == "files":
            self.beats = tuple(_file_beats(place / HEARTBEAT_FILE))
            return f"{len(os.listdir(place))} names at its top"
        with closing(_opened(place)) as database:
            tables = [row[0] for row in database.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")]
            self.beats = tuple(_table_beats(database)) if HEARTBEAT_TABLE in tables else ()
        return f"{len(tables)} tables"

    def _whole(self) -> str:
        with open(self.question.contents, "rb") as lines:
            contents = ContentsReader(lines)
            if self.question.kind == "files":
                count = check_tree(self.question.place, contents.entries(), moved=_nothing)
                return f"{count:,} entries, every byte as it was backed up"
            found = inspect_database(self.question.place)
            if contents.head.database is None:
                raise TamperedError("the backup does not say what tables the database had")
            check_database(self.question.place, contents.head.database)
            return f"integrity_check ok, {len(found.tables)} tables with as many rows as were backed up"


def _asked(question: Question, check: Check) -> Callable[[], str]:
    def ask() -> str:
        if check.digests:
            return "every file has the digest that was taken at backup"
        with closing(_opened(question.place)) as database:
            database.set_authorizer(_only_reading)
            if check.rows is not None:
                return _count(database, check.rows.table, check.rows.at_least)
            return _compare(database, check)

    return ask


def _count(database: sqlite3.Connection, table: str, at_least: int) -> str:
    quoted = table.replace('"', '""')
    count = int(database.execute(f'SELECT count(*) FROM "{quoted}"').fetchone()[0])
    if count < at_least:
        raise MalformedError(f"{count:,} rows, fewer than {at_least:,}")
    return f"{count:,} rows, at least {at_least:,}"


def _compare(database: sqlite3.Connection, check: Check) -> str:
    expected = check.expect or ()
    rows = tuple(database.execute(check.sql or "").fetchmany(len(expected) + 1))
    if rows != expected:
        raise MalformedError(f"{_shown(rows)} instead of {_shown(expected)}")
    return f"{_shown(rows)}, as declared"


def _shown(rows: tuple[tuple[object, ...], ...]) -> str:
    return msgspec.json.encode([[_plain(cell) for cell in row] for row in rows]).decode()


def _plain(cell: object) -> object:
    return f"{len(cell)} bytes" if isinstance(cell, bytes) else cell


def _opened(place: Path) -> sqlite3.Connection:
    """Opened as its service would open it; what was in a journal is in it then."""
    return sqlite3.connect(f"file:{quote(str(place))}?mode=rw", uri=True, isolation_level=None)


def _only_reading(action: int, *_: object) -> int:
    return sqlite3.SQLITE_OK if action in _READING else sqlite3.SQLITE_DENY


def _table_beats(database: sqlite3.Connection) -> Iterator[tuple[str, datetime]]:
    query = f"SELECT id, at FROM {HEARTBEAT_TABLE} ORDER BY at DESC, id DESC LIMIT {HEARTBEATS_MAX}"
    for name, at in reversed(database.execute(query).fetchall()):
        yield str(name), datetime.fromisoformat(at)


def _file_beats(path: Path) -> Iterator[tuple[str, datetime]]:
    if not path.is_file() or path.is_symlink():
        return
    with path.open("rb") as file:
        for _ in range(HEARTBEATS_MAX + 1):
            if not (line := file.readline(HEARTBEAT_LINE_BYTES_MAX)):
                return
            name, _, at = line.decode("ascii").strip().partition(" ")
            yield name, datetime.fromisoformat(at)


def _end_with_the_asker() -> None:
    """Whoever kills the asker ends this process too, so that nobody works in a directory that is swept."""
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(_SET_PARENT_DEATH_SIGNAL, signal.SIGKILL)


def _nothing(_: int) -> None:
    """Nobody watches."""


def main() -> None:
    """Read the question, answer it."""
    _end_with_the_asker()
    question = msgspec.json.decode(sys.stdin.buffer.read(), type=Question)
    tried = try_walls(question)
    asking = _Asking(question)
    asking.ask()
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
