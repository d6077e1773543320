"""Heartbeats: small writes into a dataset, each noted in a ledger outside of it once the dataset has taken it.

In a database a row of the table `atp_heartbeat (id, at)`; in a directory a line of the file `.atp-heartbeat`. The
ledger has a line for each: its id, when it was made, when it was taken. It only grows.
"""

import os
import sqlite3
from contextlib import closing
from datetime import datetime
from pathlib import Path
from tempfile import mkstemp

from atp.durable import sync_directory
from atp.errors import InvalidError, MissingError, UnavailableError
from atp.limits import HEARTBEAT_LINE_BYTES_MAX, HEARTBEATS_MAX
from atp.ops.drills.act.questions import HEARTBEAT_FILE, HEARTBEAT_TABLE
from atp.ops.drills.declare import Declared
from atp.ops.drills.evidence.measure import Beat
from atp.ports.clock import Clock

_RANDOM_BYTES = 8
_BUSY_SECONDS = 10.0


def beat(declared: Declared, clock: Clock) -> Beat:
    """Write one, durably: into the dataset, then into the ledger.

    InvalidError when none is declared, MissingError when there is no dataset, UnavailableError when it does not take
    it; then the ledger knows nothing of it. Costs a sync of each; a directory's file is replaced whole.
    """
    heartbeat, source = declared.heartbeat, declared.source
    if heartbeat is None:
        raise InvalidError(
            f"could not write a heartbeat of {declared.dataset!r}: it declares none",
            hint=f"edit estate.yaml: datasets.{declared.dataset}.drill.heartbeat: {{every: 1min, ledger: /PATH}}",
        )
    if not source.exists():
        raise MissingError(f"could not write a heartbeat: {source} does not exist", hint="check source.place")
    name, at = clock.random_bytes(_RANDOM_BYTES).hex(), clock.now()
    try:
        _into_file(source, name, at) if declared.kind == "files" else _into_table(source, name, at)
        taken = Beat(name, at, clock.now())
        _into_ledger(Path(heartbeat.ledger), taken)
    except (OSError, sqlite3.Error) as error:
        raise UnavailableError(
            f"could not write a heartbeat of {declared.dataset!r}: {error}", hint="the next one tries again"
        ) from None
    return taken


def _into_table(source: Path, name: str, at: datetime) -> None:
    with closing(sqlite3.connect(source, timeout=_BUSY_SECONDS, isolation_level=None)) as database:
        database.execute("PRAGMA synchronous = FULL")
        database.execute("BEGIN IMMEDIATE")
        database.execute(f"CREATE TABLE IF NOT EXISTS {HEARTBEAT_TABLE} (id TEXT PRIMARY KEY, at TEXT NOT NULL)")
        database.execute(f"INSERT INTO {HEARTBEAT_TABLE} VALUES (?, ?)", (name, at.isoformat()))
        database.execute(
            f"DELETE FROM {HEARTBEAT_TABLE} WHERE id IN"
            f" (SELECT id FROM {HEARTBEAT_TABLE} ORDER BY at DESC, id DESC LIMIT -1 OFFSET {HEARTBEATS_MAX})"
        )
        database.execute("COMMIT")


def _into_file(source: Path, name: str, at: datetime) -> None:
    """A new file in the place of the old one: a copy that is made meanwhile has the one or the other."""
    path = source / HEARTBEAT_FILE
    kept = path.read_bytes().splitlines(keepends=True)[1 - HEARTBEATS_MAX :] if path.exists() else []
    handle, aside = mkstemp(dir=source, prefix=f"{HEARTBEAT_FILE}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.writelines([*kept, f"{name} {at.isoformat()}\n".encode()])
            file.flush()
            os.fsync(handle)
        os.replace(aside, path)
    except BaseException:
        os.unlink(aside)
        raise
    sync_directory(source)


def _into_ledger(path: Path, taken: Beat) -> None:
    line = f"{taken.id} {taken.at.isoformat()} {taken.taken_at.isoformat()}\n".encode()
    assert len(line) <= HEARTBEAT_LINE_BYTES_MAX
    is_new = not path.exists()
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    try:
        os.write(handle, line)
        os.fsync(handle)
    finally:
        os.close(handle)
    if is_new:
        sync_directory(path.parent)
