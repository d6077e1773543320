"""The yardstick of ingest: PostgreSQL taking the same events by binary COPY, durable at each commit.

It is made as strong as it can be without effort: it gets rows in its own binary format, its buffers and WAL are
large enough that no checkpoint falls into a run, and values are compressed with lz4.
"""

import os
import pwd
import shutil
import struct
import subprocess
import tempfile
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Lock

import psycopg

from benchmarks.corpus import Drawn, Sample
from tests.services.loopback import free_port, running
from tests.services.postgres import find_programs

CONNECTIONS = 4  # more, and fewer, were slower on two cores
_USER = "postgres"
_SETTINGS = {
    "fsync": "on",
    "synchronous_commit": "on",
    "shared_buffers": "1GB",
    "max_wal_size": "16GB",
    "wal_buffers": "64MB",
    "default_toast_compression": "lz4",
    "listen_addresses": "127.0.0.1",
}
_TABLE = """CREATE TABLE events (id text NOT NULL, at timestamptz NOT NULL, actor text NOT NULL, action text NOT NULL,
    resource text NOT NULL, outcome text NOT NULL, body bytea NOT NULL)"""
_INDEXES = tuple(f"CREATE INDEX ON events ({column}, at)" for column in ("actor", "action", "resource"))
_COPY = "COPY events FROM STDIN (FORMAT binary)"
_EPOCH_MICROS = 946_684_800_000_000  # binary timestamps count from 2000-01-01
_HEADER = b"PGCOPY\n\xff\r\n\x00" + bytes(8)  # https://www.postgresql.org/docs/current/sql-copy.html
_TRAILER = b"\xff\xff"
_ROW = struct.Struct(">hi")
_LENGTH = struct.Struct(">i")
_TIMESTAMP = struct.Struct(">iq")


@dataclass(frozen=True, slots=True)
class Copied:
    """What COPY did: how many rows in how many seconds, the last of them durable."""

    rows: int
    seconds: float

    @property
    def per_second(self) -> float:
        """Rows a second."""
        return self.rows / self.seconds


@contextmanager
def serving(folder: Path) -> Iterator[str]:
    """A private PostgreSQL that syncs, its data on the file system of `folder`; gives its DSN.

    AbsentError without PostgreSQL.
    """
    programs, port = find_programs(), free_port()
    owner = pwd.getpwnam(_USER).pw_uid if os.geteuid() == 0 else None  # the server refuses to run as root
    home = Path(tempfile.mkdtemp(prefix="postgres-", dir=folder))
    try:
        if owner is not None:
            os.chown(home, owner, -1)
        make = [str(programs / "initdb"), "--username=atp", "--auth=trust", "--encoding=UTF8", "--locale=C"]
        subprocess.run([*make, home / "data"], user=owner, check=True, capture_output=True)
        settings = _SETTINGS | {"port": str(port), "unix_socket_directories": str(home)}
        flags = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        dsn = f"postgresql://atp@127.0.0.1:{port}/postgres"
        command = [str(programs / "postgres"), "-D", str(home / "data"), *flags]
        with running(command, is_ready=lambda: _accepts(dsn), log=home / "log", owner=owner):
            yield dsn
    finally:
        shutil.rmtree(home, ignore_errors=True)


def copy(dsn: str, batches: Iterable[list[Drawn]], *, is_indexed: bool) -> Copied:
    """Copy batches into a new table, each in a transaction of its own, over all connections at once."""
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute("DROP TABLE IF EXISTS events")
        for statement in (_TABLE, *(_INDEXES if is_indexed else ())):
            connection.execute(statement.encode())
        connection.execute("CHECKPOINT")
    waiting, turn = iter(batches), Lock()
    began = time.perf_counter()

    def work() -> int:
        rows = 0
        with psycopg.connect(dsn, autocommit=True) as connection:
            while batch := _next(waiting, turn):
                with connection.cursor().copy(_COPY) as stream:
                    stream.write(b"%b%b%b" % (_HEADER, b"".join(_row(*drawn) for drawn in batch), _TRAILER))
                rows += len(batch)
        return rows

    with ThreadPoolExecutor(CONNECTIONS) as pool:
        rows = sum(worker.result() for worker in [pool.submit(work) for _ in range(CONNECTIONS)])
    return Copied(rows, time.perf_counter() - began)


def _next(waiting: Iterator[list[Drawn]], turn: Lock) -> list[Drawn] | None:
    with turn:
        return next(waiting, None)


def _row(event_id: bytes, sample: Sample) -> bytes:
    body = sample.body(event_id)
    texts = (sample.actor, sample.action, sample.resource, sample.outcome)
    columns = [_LENGTH.pack(len(text)) + text for text in map(str.encode, texts)]
    at = _TIMESTAMP.pack(8, sample.at - _EPOCH_MICROS)
    return b"".join((_ROW.pack(7, len(event_id)), event_id, at, *columns, _LENGTH.pack(len(body)), body))


def _accepts(dsn: str) -> bool:
    try:
        psycopg.connect(dsn, connect_timeout=2).close()
    except psycopg.OperationalError:
        return False
    return True
