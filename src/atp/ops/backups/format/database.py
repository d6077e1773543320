"""A SQLite database -> a copy that is whole, by SQLite's own backup interface (never a copy of its files).

https://www.sqlite.org/backup.html: the copy is of one moment. It is made under one read transaction: a database in WAL
mode is written on meanwhile, in the other modes writers wait.
"""

import hashlib
import json
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from atp.durable import disk_move
from atp.errors import MalformedError, MissingError, TamperedError, UnavailableError
from atp.ops.backups.format.contents import Database

_PAGES = 4_096  # copied between two looks at the progress
_BUSY_SECONDS = 30.0
_FULL, _IO = 13, 10  # SQLITE_FULL, SQLITE_IOERR


@dataclass(frozen=True, slots=True)
class Copied:
    """What the copy holds."""

    size_bytes: int
    database: Database


def copy_database(source: Path, into: Path, *, began: Callable[[], object], moved: Callable[[int], object]) -> Copied:
    """Copy a database that is in use, and check the copy. `began` is called when the moment of the copy is fixed.

    MissingError when there is none, MalformedError when it is no database, UnavailableError when it stays locked or the
    disk is full, TamperedError when the copy is not sound: then the source is not either.
    """
    if not source.is_file():
        raise MissingError(f"could not back up {source}: there is no such file", hint="check source.place")
    with _told(f"copy {source}", into), closing(_open(source)) as live, closing(sqlite3.connect(into)) as copy:
        live.execute("BEGIN")
        live.execute("SELECT count(*) FROM sqlite_schema").fetchone()  # takes the read lock
        began()
        page_bytes = live.execute("PRAGMA page_size").fetchone()[0]
        seen = [0]

        def show(_: int, remaining: int, total: int) -> None:
            moved((total - remaining - seen[0]) * page_bytes)
            seen[0] = total - remaining

        live.backup(copy, pages=_PAGES, progress=show)
    return Copied(into.stat().st_size, inspect_database(into))


def inspect_database(path: Path) -> Database:
    """The tables of a database at rest and their rows, after its integrity check. TamperedError when that fails."""
    with _told(f"check {path}", path), closing(_open(path, is_at_rest=True)) as found:
        faults = [row[0] for row in found.execute("PRAGMA integrity_check(3)")]
        if faults != ["ok"]:
            raise TamperedError(f"could not accept {path.name}: SQLite's integrity check says: {faults[0]}")
        schema = found.execute("SELECT type, name, tbl_name, sql FROM sqlite_schema ORDER BY 1, 2, 3").fetchall()
        tables = {name: _rows(found, name) for kind, name, _, sql in schema if kind == "table" and _is_plain(sql)}
    return Database(tables, hashlib.sha256(json.dumps(schema).encode()).hexdigest())


def check_database(path: Path, expected: Database) -> None:
    """TamperedError unless the database is sound and holds the same tables with as many rows."""
    found = inspect_database(path)
    if found.schema_sha256 != expected.schema_sha256:
        raise TamperedError("could not accept the restored database: its schema is another one")
    for name, rows in expected.tables.items():
        if found.tables.get(name) != rows:
            raise TamperedError(
                f"could not accept the restored database: table {name!r} has {found.tables.get(name)} rows, not {rows}"
            )


def _open(path: Path, *, is_at_rest: bool = False) -> sqlite3.Connection:
    """Read-only; at rest nobody writes, so that no file appears beside it."""
    options = "mode=ro&immutable=1" if is_at_rest else "mode=ro"
    return sqlite3.connect(f"file:{quote(str(path))}?{options}", uri=True, timeout=_BUSY_SECONDS, isolation_level=None)


def _is_plain(sql: str | None) -> bool:
    """Virtual tables may need a module that is not here; what they store is in plain tables anyway."""
    return sql is not None and not sql.lstrip().upper().startswith("CREATE VIRTUAL")


def _rows(found: sqlite3.Connection, table: str) -> int:
    quoted = table.replace('"', '""')
    return int(found.execute(f'SELECT count(*) FROM "{quoted}"').fetchone()[0])


@contextmanager
def _told(what: str, place: Path) -> Iterator[None]:
    try:
        yield
    except sqlite3.DatabaseError as error:
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF
        if code in (sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT):
            kind = MalformedError if code == sqlite3.SQLITE_NOTADB else TamperedError
            raise kind(f"could not {what}: {error}", hint="is it a SQLite database, and sound?") from None
        hint = disk_move(error, place, otherwise="TMPDIR names another place" if code in (_FULL, _IO) else "repeat")
        raise UnavailableError(f"could not {what}: {error}", hint=hint) from None
