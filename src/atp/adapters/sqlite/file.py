"""The SQLite file `order.db`: its tables, its connections, and its errors as the platform's."""

import contextlib
import fcntl
import os
import secrets
import sqlite3
from collections.abc import Iterator
from pathlib import Path

from atp.durable import disk_move, sync_directory
from atp.errors import AtpError, ConflictError, TamperedError, UnavailableError

NAME = "order.db"
SCHEMA_VERSION = 2
_PAGE_BYTES = 4_096  # what the disk writes at least: a lone event changes three pages, and waits for all of them
_BUSY_SECONDS = 5.0  # somebody who reads the file by other means may hold a lock for a moment
_WAL_PAGES_MAX = 16_000  # 64 MB; `wal` copies earlier, this is for the case that it cannot
_WAL_BYTES_KEPT = 64 * 1024 * 1024

_SCHEMA = """
CREATE TABLE IF NOT EXISTS log(
    number INTEGER PRIMARY KEY, tenant TEXT UNIQUE NOT NULL, origin TEXT UNIQUE NOT NULL, created_at TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS batch(
    seq INTEGER PRIMARY KEY AUTOINCREMENT, log INTEGER NOT NULL, first INTEGER NOT NULL, count INTEGER NOT NULL,
    entries BLOB NOT NULL, leaves BLOB NOT NULL, ids BLOB NOT NULL, crc INTEGER NOT NULL);
CREATE UNIQUE INDEX IF NOT EXISTS batch_of_log ON batch(log, first);
CREATE TABLE IF NOT EXISTS checkpoint(log INTEGER PRIMARY KEY, size INTEGER NOT NULL, note BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS parked(
    log INTEGER NOT NULL, key TEXT NOT NULL, reason TEXT NOT NULL, body BLOB NOT NULL, parked_at TEXT NOT NULL,
    PRIMARY KEY(log, key)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS meta(key TEXT PRIMARY KEY, value NOT NULL) WITHOUT ROWID;
"""

_UNAVAILABLE = {
    sqlite3.SQLITE_FULL: ("the disk is full", "move the data to a larger one"),
    sqlite3.SQLITE_BUSY: ("another process holds it", "end what else has the file open"),
    sqlite3.SQLITE_LOCKED: ("another process holds it", "end what else has the file open"),
    sqlite3.SQLITE_READONLY: ("it may not be written", "give this process's user the right to write the directory"),
    sqlite3.SQLITE_PERM: ("it may not be opened", "give this process's user the right to the directory"),
    sqlite3.SQLITE_CANTOPEN: (
        "it may not be opened",
        "does the directory exist, and may this process's user write it?",
    ),
    sqlite3.SQLITE_IOERR: ("the disk failed", "check the disk, its space and the kernel's messages"),
    sqlite3.SQLITE_NOMEM: ("memory ran out", "give the process more memory"),
    sqlite3.SQLITE_TOOBIG: ("it is too large for one row", "append smaller batches"),
}
_DAMAGED = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


def lock_directory(directory: Path) -> int:
    """Take the directory for this process: two writers of one order would end in two histories.

    Returns the file descriptor that holds the lock. UnavailableError when another process has it, or it may not be
    written.
    """
    with told("open", str(directory), directory):
        directory.mkdir(parents=True, exist_ok=True)
        sync_directory(directory.parent)
        lock = os.open(directory / "order.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(lock)
        raise UnavailableError(
            f"could not open {directory}: another process writes there", hint="stop it, or ask it instead"
        ) from None
    return lock


def connect(directory: Path) -> sqlite3.Connection:
    """A connection in autocommit mode whose commits return after they were synced."""
    with told("open", str(directory / NAME), directory):
        connection = sqlite3.connect(
            directory / NAME, timeout=_BUSY_SECONDS, isolation_level=None, check_same_thread=False
        )
        try:
            _configure(connection)
        except BaseException:
            connection.close()
            raise
        return connection


def _configure(connection: sqlite3.Connection) -> None:
    connection.execute(f"PRAGMA page_size = {_PAGE_BYTES}")
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    # Some builds of SQLite zero what is deleted: to trim would mean to write it all once more (200 ms, not 20).
    connection.execute("PRAGMA secure_delete = OFF")
    connection.execute(f"PRAGMA wal_autocheckpoint = {_WAL_PAGES_MAX}")
    connection.execute(f"PRAGMA journal_size_limit = {_WAL_BYTES_KEPT}")


def create_schema(connection: sqlite3.Connection) -> bytes:
    """Create the tables of a new file. Returns the secret key of its id hashes.

    UnavailableError when the file was written by another version of the schema.
    """
    with told("open", NAME), transaction(connection):
        for statement in _SCHEMA.split(";\n"):
            connection.execute(statement)
        new = [("schema", SCHEMA_VERSION), ("id_hash_key", secrets.token_bytes(32))]
        connection.executemany("INSERT OR IGNORE INTO meta VALUES (?, ?)", new)
        meta = dict(connection.execute("SELECT key, value FROM meta"))
    if meta["schema"] != SCHEMA_VERSION:
        raise UnavailableError(
            f"could not open {NAME}: its schema is {meta['schema']!r}, this program knows {SCHEMA_VERSION!r}",
            hint="use the version that wrote it",
        )
    return bytes(meta["id_hash_key"])


@contextlib.contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """Commit what is executed inside, durably, or nothing of it."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        # A full disk or a failed write may have rolled back by itself; what a failed rollback leaves, a reopen settles.
        with contextlib.suppress(sqlite3.Error):
            connection.execute("ROLLBACK")
        raise


@contextlib.contextmanager
def told(verb: str, thing: str, place: Path | None = None) -> Iterator[None]:
    """Turn the errors of SQLite and of the operating system into the platform's; what only a bug can cause stays.
    `place`: where the disk is that may refuse."""
    try:
        yield
    except sqlite3.Error as error:
        raise _translated(verb, thing, error, place) from error
    except OSError as error:
        hint = "check its disk and mode"
        hint = hint if place is None else disk_move(error, place, otherwise=hint)
        raise UnavailableError(f"could not {verb} {thing}: {error.strerror}", hint=hint) from None


def _translated(verb: str, thing: str, error: sqlite3.Error, place: Path | None) -> AtpError | sqlite3.Error:
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF  # the upper bits only tell details
    if code == sqlite3.SQLITE_CONSTRAINT:
        return ConflictError(f"could not {verb} {thing}: it is there already", hint="read again what is stored")
    if code in _DAMAGED:
        return TamperedError(
            f"could not {verb} {thing}: {NAME} is damaged: {error}", hint="stop, keep the file, restore from a backup"
        )
    if code in _UNAVAILABLE:
        reason, hint = _UNAVAILABLE[code]
        hint = hint if place is None else disk_move(error, place, otherwise=hint)
        return UnavailableError(f"could not {verb} {thing}: {reason} ({error})", hint=hint)
    if "closed database" in str(error):
        return UnavailableError(f"could not {verb} {thing}: the store was closed", hint="open it again")
    if isinstance(error, sqlite3.OperationalError):
        return UnavailableError(f"could not {verb} {thing}: {error}", hint=f"run PRAGMA integrity_check on {NAME}")
    return error
