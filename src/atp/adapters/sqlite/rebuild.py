"""A new `order.db` in place of a damaged one, which is kept beside it.

A crash at any moment leaves either the old file, or a whole new one in `salvage/` that `finish` puts in its place.
"""

import os
import shutil
import sqlite3
from collections.abc import Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from atp.adapters.sqlite.blob import make_row
from atp.adapters.sqlite.file import NAME, connect, create_schema, told, transaction
from atp.adapters.sqlite.ids import IdIndex
from atp.durable import sync_directory
from atp.merkle.hashes import leaf_hashes
from atp.ports.event_store import Log, Parked

_FOLDER = "salvage"
_INSERT_LOG = "INSERT INTO log(tenant, origin, created_at) VALUES (?, ?, ?)"
_INSERT_BATCH = "INSERT INTO batch(log, first, count, entries, leaves, ids, crc) VALUES (?, ?, ?, ?, ?, ?, ?)"
_INSERT_PARKED = "INSERT OR IGNORE INTO parked(log, key, reason, body, parked_at) VALUES (?, ?, ?, ?, ?)"


@dataclass(frozen=True, slots=True)
class Rest:
    """What a new order holds of one log: (first index, entries, their ids) one after the other, what was parked, and
    the checkpoint with its size."""

    log: Log
    note: bytes | None
    size: int
    batches: Iterable[tuple[int, Sequence[bytes], Sequence[str]]]
    parked: Sequence[Parked]


def build(directory: Path, rests: Iterable[Rest]) -> None:
    """Write a new order into `salvage/`; it takes effect with `finish`. UnavailableError when the disk refuses."""
    folder = directory / _FOLDER
    aside = folder / "new"
    with told("build", str(folder), folder):
        shutil.rmtree(folder, ignore_errors=True)
        aside.mkdir(parents=True)
        with closing(connect(aside)) as connection:
            ids = IdIndex(aside / "ids", key=create_schema(connection), needed_through=0, recent_max=1)
            for rest in rests:
                _write(connection, rest, ids)
            # Every batch counts as trimmed, so the index of ids counts as lost: it is made of the logs when they open.
            connection.execute("INSERT INTO meta SELECT 'trimmed_through', coalesce(max(seq), 0) FROM batch")
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            ids.close()
        os.replace(aside / NAME, folder / NAME)
        sync_directory(folder)


def finish(directory: Path, *, name: str) -> None:
    """Put the order that `build` made, if there is one, in the place of the damaged one, which is kept as `name`."""
    new = directory / _FOLDER / NAME
    if not new.exists():
        return
    with told("put in place", NAME, directory):
        for suffix in ("-wal", "-shm", ""):
            if (old := directory / f"{NAME}{suffix}").exists():
                os.replace(old, directory / f"{name}{suffix}")
        shutil.rmtree(directory / "ids", ignore_errors=True)
        os.replace(new, directory / NAME)
        sync_directory(directory)
        shutil.rmtree(directory / _FOLDER)


def _write(connection: sqlite3.Connection, rest: Rest, ids: IdIndex) -> None:
    with transaction(connection):
        log = (rest.log.tenant, rest.log.origin, rest.log.created_at)
        number = connection.execute(_INSERT_LOG, log).lastrowid or 0
        for first, entries, names in rest.batches:
            hashes = ids.hashes(number, names).tobytes()
            row = make_row(first, entries, leaves=leaf_hashes(entries), ids=hashes)
            values = (number, row.first, row.count, row.packed, row.leaves, row.ids, row.crc)
            connection.execute(_INSERT_BATCH, values)
        if rest.note is not None:
            connection.execute("INSERT INTO checkpoint VALUES (?, ?, ?)", (number, rest.size, rest.note))
        parked = [(number, one.key, one.reason, one.body, one.parked_at) for one in rest.parked]
        connection.executemany(_INSERT_PARKED, parked)
