"""A SQLite database: heartbeats are rows of the table `atp_heartbeat (id, at)`; declared SQL can read it, no more."""

import sqlite3
import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from urllib.parse import quote

from atp.errors import InvalidError, MissingError, TamperedError, UnavailableError
from atp.limits import HEARTBEATS_MAX
from atp.ops.backups.act.parts import unwatched
from atp.ops.backups.format.checking import file_sha256
from atp.ops.backups.format.contents import ContentsReader
from atp.ops.backups.format.database import check_database, inspect_database
from atp.ops.declaration.durations import format_duration
from atp.ops.drills.act.kinds.files import living
from atp.ops.drills.act.kinds.shape import Living, Row

HEARTBEAT_TABLE = "atp_heartbeat"
_BUSY_SECONDS = 10.0
_LOOK_STEPS = 100_000  # of the machine of SQLite, between two looks at the clock: a few milliseconds
_READING = {sqlite3.SQLITE_SELECT, sqlite3.SQLITE_READ, sqlite3.SQLITE_FUNCTION, sqlite3.SQLITE_RECURSIVE}


@dataclass(frozen=True, slots=True)
class SqliteProduction:
    """See Production. A look reads every byte."""

    source: Path
    addresses: Sequence[str] = ()

    def look(self) -> Living | None:
        """See Production. Its journal counts too, since that holds commits; what readers share beside it does not."""
        return living(self.source, _files(self.source))

    def beat(self, name: str, at: datetime) -> None:
        """See Production."""
        if not self.source.exists():
            raise MissingError(f"could not write a heartbeat: {self.source} does not exist", hint="check source.place")
        try:
            with closing(sqlite3.connect(self.source, timeout=_BUSY_SECONDS, isolation_level=None)) as database:
                _beat(database, name, at)
        except sqlite3.Error as error:
            raise UnavailableError(f"{self.source} did not take it: {error}") from None


@dataclass(frozen=True, slots=True)
class SqliteCopy:
    """See Copy."""

    place: Path

    def open(self) -> str:
        """See Copy."""
        with closing(_opened(self.place)) as database:
            return f"{len(_tables(database))} tables"

    def whole(self, contents: ContentsReader) -> str:
        """See Copy."""
        for _ in contents.entries():
            pass
        found = inspect_database(self.place)
        if contents.head.database is None:
            raise TamperedError("the backup does not say what tables the database had")
        check_database(self.place, contents.head.database)
        return f"integrity_check ok, {len(found.tables)} tables with as many rows as were backed up"

    def beats(self) -> Iterator[tuple[str, datetime]]:
        """See Copy."""
        query = f"SELECT id, at FROM {HEARTBEAT_TABLE} ORDER BY at DESC, id DESC LIMIT {HEARTBEATS_MAX}"
        with closing(_opened(self.place)) as database:
            if HEARTBEAT_TABLE in _tables(database):
                for name, at in reversed(database.execute(query).fetchall()):
                    yield str(name), datetime.fromisoformat(at)

    def count(self, table: str, *, within: timedelta) -> int:
        """See Copy."""
        quoted = table.replace('"', '""')
        ((count,),) = self.select(f'SELECT count(*) FROM "{quoted}"', rows_max=1, within=within)
        assert isinstance(count, int)
        return count

    def select(self, sql: str, *, rows_max: int, within: timedelta) -> Sequence[Row]:
        """See Copy."""
        deadline = time.monotonic() + within.total_seconds()
        with closing(_opened(self.place)) as database:
            database.set_authorizer(_only_reading)
            database.set_progress_handler(lambda: time.monotonic() > deadline, _LOOK_STEPS)
            try:
                return [tuple(row) for row in database.execute(sql).fetchmany(rows_max)]
            except sqlite3.OperationalError as error:
                if time.monotonic() > deadline:
                    raise UnavailableError(f"no answer within {format_duration(within)}") from None
                raise error

    def verify(self) -> str:
        """See Copy."""
        raise InvalidError("could not verify a database: it is no trail", hint="checks: [{sql: ..., expect: ...}]")

    def close(self) -> None:
        """See Copy."""


def _beat(database: sqlite3.Connection, name: str, at: datetime) -> None:
    database.execute("PRAGMA synchronous = FULL")
    database.execute("BEGIN IMMEDIATE")
    database.execute(f"CREATE TABLE IF NOT EXISTS {HEARTBEAT_TABLE} (id TEXT PRIMARY KEY, at TEXT NOT NULL)")
    database.execute(f"INSERT INTO {HEARTBEAT_TABLE} VALUES (?, ?)", (name, at.isoformat()))
    database.execute(
        f"DELETE FROM {HEARTBEAT_TABLE} WHERE id IN"
        f" (SELECT id FROM {HEARTBEAT_TABLE} ORDER BY at DESC, id DESC LIMIT -1 OFFSET {HEARTBEATS_MAX})"
    )
    database.execute("COMMIT")


def _files(source: Path) -> Iterator[bytes]:
    for path in (source, source.with_name(f"{source.name}-wal"), source.with_name(f"{source.name}-journal")):
        if path.exists() and (path == source or path.stat().st_size):
            yield path.name.encode() + b" " + file_sha256(path, moved=unwatched).encode()


def _opened(place: Path) -> sqlite3.Connection:
    """Opened as its service would open it; what was in a journal is in it then."""
    return sqlite3.connect(f"file:{quote(str(place))}?mode=rw", uri=True, isolation_level=None)


def _tables(database: sqlite3.Connection) -> list[str]:
    return [row[0] for row in database.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")]


def _only_reading(action: int, *_: object) -> int:
    return sqlite3.SQLITE_OK if action in _READING else sqlite3.SQLITE_DENY
