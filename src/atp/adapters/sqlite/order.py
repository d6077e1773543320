"""The EventStore on one SQLite file: one row a batch, sizes in memory, ids in sorted runs beside it."""

import os
import sqlite3
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from atp.adapters.sqlite.blob import Row, make_bundles, make_row
from atp.adapters.sqlite.file import NAME, connect, create_schema, lock_directory, told, transaction
from atp.adapters.sqlite.ids import IdIndex, drop_foreign_ids
from atp.adapters.sqlite.recent import RecentBatches
from atp.adapters.sqlite.wal import WalCopier
from atp.errors import ConflictError, MissingError, TamperedError, UnavailableError
from atp.limits import TILE_WIDTH
from atp.merkle.hashes import HASH_BYTES
from atp.ports.event_store import Batch, Log, Parked, Succession, Swap

_LOGS = """
SELECT number, tenant, origin, created_at,
    (SELECT first FROM batch WHERE log = number ORDER BY first LIMIT 1),
    (SELECT first + count FROM batch WHERE log = number ORDER BY first DESC LIMIT 1)
FROM log ORDER BY number"""
_ROWS = """
SELECT first, count, entries, leaves, ids, crc FROM batch
WHERE log = ?1 AND first < ?2 AND first >= (SELECT max(first) FROM batch WHERE log = ?1 AND first <= ?3)
ORDER BY first"""
_UNLEARNT = "SELECT seq, log, first, count, entries, leaves, ids, crc FROM batch WHERE seq > ? ORDER BY seq"
_COVERING = "SELECT max(first) FROM batch WHERE log = ? AND first <= ?"
_NEWEST_BELOW = "SELECT max(seq) FROM batch WHERE log = ? AND first < ?"
_INSERT_BATCH = "INSERT INTO batch(log, first, count, entries, leaves, ids, crc) VALUES (?, ?, ?, ?, ?, ?, ?)"
_INSERT_PARKED = "INSERT OR IGNORE INTO parked(log, key, reason, body, parked_at) VALUES (?, ?, ?, ?, ?)"
_PARKED = "SELECT key, reason, body, parked_at FROM parked WHERE log = ? ORDER BY parked_at, key LIMIT ?"
_FIRST_CHECKPOINT = "INSERT OR IGNORE INTO checkpoint(log, size, note) VALUES (?, ?, ?)"
_NEXT_CHECKPOINT = "UPDATE checkpoint SET size = ?, note = ? WHERE log = ? AND note = ?"
_SET_ORIGIN = "UPDATE log SET origin = ? WHERE tenant = ? AND origin = ?"
_TRIMMED_THROUGH = "trimmed_through"  # in `meta`: the newest batch that was ever trimmed
_SET_TRIMMED = "INSERT INTO meta VALUES (?, ?) ON CONFLICT(key) DO UPDATE SET value = max(value, excluded.value)"


@dataclass(slots=True)
class _Extent:
    """A log and the range of its entries that stands in the file."""

    number: int
    log: Log
    start: int
    size: int


def open_order(directory: Path, *, ids_in_memory_max: int = 131_072) -> "SqliteEventStore":
    """Open, or create, the order in `directory`; 5,000 logs take about 50 ms, and ids as long as reading 16 bytes each.

    Only one process can have it open. UnavailableError when another has, or the directory may not be written;
    TamperedError when the file is damaged.
    """
    lock = lock_directory(directory)
    try:
        return SqliteEventStore(directory, lock=lock, ids_in_memory_max=ids_in_memory_max)
    except BaseException:
        os.close(lock)
        raise


class SqliteEventStore:
    """The EventStore port; made by `open_order`.

    Writers wait for each other, readers use a connection of their own. After a write whose outcome is unknown,
    everything in memory is read from the file again before the next answer.
    """

    def __init__(self, directory: Path, *, lock: int, ids_in_memory_max: int) -> None:
        self._directory = directory
        self._lock = lock
        self._write_lock = threading.RLock()
        self._read_lock = threading.Lock()
        self._extents: dict[str, _Extent] = {}
        self._is_stale = False
        self._recent = RecentBatches()
        self._notes: dict[str, bytes] = {}
        self._wal = WalCopier(directory, self._write_lock)
        self._writing = connect(directory)
        self._reading = connect(directory)
        try:
            self._ids = self._open_ids(ids_in_memory_max)
            self._last_seq = self._ids.synced_through
            self._load()
        except BaseException:
            self._disconnect()
            raise

    def create_log(self, log: Log) -> None:
        """See EventStore."""
        row = (log.tenant, log.origin, log.created_at)
        with self._write_lock:
            with self._transaction("create log", repr(log.tenant)) as connection:
                done = connection.execute("INSERT INTO log(tenant, origin, created_at) VALUES (?, ?, ?)", row)
            self._extents[log.tenant] = _Extent(done.lastrowid or 0, log, 0, 0)

    def logs(self) -> list[Log]:
        """See EventStore."""
        self._settle()
        return [extent.log for extent in list(self._extents.values())]

    def append(self, batches: Sequence[Batch], parked: Mapping[str, Sequence[Parked]]) -> None:
        """See EventStore. TooLargeError, nothing written: an entry over 65,535 bytes. About 3 µs an event of 2.4 KB."""
        with self._write_lock:
            self._settle()
            self._check_next(batches)
            rows = [self._row(batch) for batch in batches if batch.entries]
            records = [self._record(tenant, record) for tenant in parked for record in parked[tenant]]
            if not rows and not records:
                return
            tenants = ", ".join(sorted({batch.tenant for batch in batches} | set(parked)))
            written = sum(len(row.packed) + len(row.leaves) for _, row in rows)
            with self._transaction("append to", tenants, byte_count=written) as connection:
                seqs = [self._insert(connection, number, row) for number, row in rows]
                connection.executemany(_INSERT_PARKED, records)
            for batch, (number, row), seq in zip((one for one in batches if one.entries), rows, seqs, strict=True):
                self._extents[batch.tenant].size += row.count
                self._learn(seq, number, row)
                self._recent.add(batch.tenant, batch.first_index, batch.entries)

    def size(self, tenant: str) -> int:
        """See EventStore."""
        return self._extent(tenant).size

    def held_from(self, tenant: str) -> int:
        """See EventStore."""
        return self._extent(tenant).start

    def read(self, tenant: str, *, start: int, stop: int) -> list[bytes]:
        """See EventStore. Costs the frames that hold the range: about 2 µs an entry of 2.4 KB, and next to nothing for
        those that were appended last."""
        extent = self._extent(tenant)
        self._check_held(extent, start)
        stop = min(stop, extent.size)
        if start >= stop:
            return []
        if (recent := self._recent.read(tenant, start=start, stop=stop)) is not None:
            return recent
        entries: list[bytes] = []
        for row in self._rows(extent, start=start, stop=stop):
            found = row.entries(start=start, stop=stop)
            if len(found) != min(row.stop, stop) - max(row.first, start):
                raise _tampered(tenant, row.first)
            entries += found
        return entries

    def leaves(self, tenant: str, *, start: int, stop: int) -> list[bytes]:
        """See EventStore. About 0.2 µs an entry."""
        extent = self._extent(tenant)
        self._check_held(extent, start)
        stop = min(stop, extent.size)
        if start >= stop:
            return []
        rows = self._rows(extent, start=start, stop=stop)
        packed = b"".join(row.leaves for row in rows)
        begin, end = (HASH_BYTES * (index - rows[0].first) for index in (start, stop))
        return [packed[at : at + HASH_BYTES] for at in range(begin, end, HASH_BYTES)]

    def bundles(self, tenant: str, *, start: int, stop: int) -> list[bytes]:
        """See EventStore. About 0.2 µs an entry where batches were large, 3 µs where each held one."""
        if start >= stop:
            return []
        extent = self._extent(tenant)
        self._check_held(extent, start * TILE_WIDTH)
        rows = self._rows(extent, start=start * TILE_WIDTH, stop=stop * TILE_WIDTH)
        return make_bundles(rows, start=start, stop=stop)

    def trim(self, below: Mapping[str, int]) -> None:
        """See EventStore. The newest batch of a log always stays: it tells the log's size."""
        cuts, newest = self._cuts(below)
        if not cuts:
            return
        if self._ids.is_missing:
            raise _missing_ids("trim")
        if newest > self._ids.synced_through:
            with self._write_lock:
                self._ids.set_aside()
            self._ids.flush()
        with self._write_lock, self._transaction("trim", NAME) as connection:
            # Before the commit: a reader that misses a row has to learn that it was trimmed, not tampered with.
            for tenant, (_, first) in cuts.items():
                self._extents[tenant].start = max(first, self._extents[tenant].start)
            connection.executemany("DELETE FROM batch WHERE log = ? AND first < ?", cuts.values())
            connection.execute(_SET_TRIMMED, (_TRIMMED_THROUGH, newest))

    def find(self, tenant: str, ids: Sequence[str]) -> dict[str, list[int]]:
        """See EventStore. UnavailableError while ids are missing: it could miss one."""
        extent = self._extent(tenant)
        if self._ids.is_missing:
            raise _missing_ids("look up")
        hashes = self._ids.hashes(extent.number, ids)
        known = self._ids.find(hashes, log=extent.number)
        return {event_id: known[key] for event_id, key in zip(ids, hashes.tolist(), strict=True) if key in known}

    def is_missing_ids(self) -> bool:
        """See EventStore."""
        self._settle()
        return self._ids.is_missing

    def learn_ids(self, entries: Iterable[tuple[str, int, Sequence[str]]]) -> None:
        """See EventStore. ValueError unless there is one id for each entry of every log. About 1 µs an id."""
        with self._write_lock:
            self._settle()
            learnt = ((self._extent(tenant).number, first, ids) for tenant, first, ids in entries)
            count = sum(extent.size for extent in self._extents.values())
            with told("rebuild", str(self._directory / "ids"), self._directory):
                self._ids.rebuild(learnt, through=self._last_seq, count=count)

    def checkpoint(self, tenant: str) -> bytes | None:
        """See EventStore. Read from the file once, then kept."""
        number = self._extent(tenant).number
        if (note := self._notes.get(tenant)) is not None:
            return note
        rows = self._query("read", f"checkpoint of {tenant!r}", "SELECT note FROM checkpoint WHERE log = ?", number)
        note = rows[0][0] if rows else None
        with self._write_lock:  # a swap may have committed since the row was read
            return self._notes.setdefault(tenant, note) if note is not None else None

    def swap_checkpoints(self, swaps: Sequence[Swap]) -> None:
        """See EventStore."""
        with self._write_lock:
            with self._transaction("swap", "checkpoints") as connection:
                for swap in swaps:
                    self._swap(connection, swap)
            # Inside the lock and after the commit: nobody is shown a note that is not durable.
            self._notes |= {swap.tenant: swap.new for swap in swaps}

    def succeed(self, successions: Sequence[Succession]) -> None:
        """See EventStore."""
        with self._write_lock:
            with self._transaction("succeed", "logs") as connection:
                for one in successions:
                    self._swap(connection, one.swap)
                    if not connection.execute(_SET_ORIGIN, (one.origin, one.swap.tenant, one.former)).rowcount:
                        raise ConflictError(
                            f"could not let the log of {one.swap.tenant!r} go on as {one.origin!r}: it is not "
                            f"{one.former!r}",
                            hint="read it again",
                        )
            for one in successions:
                extent = self._extents[one.swap.tenant]
                extent.log = replace(extent.log, origin=one.origin)
            self._notes |= {one.swap.tenant: one.swap.new for one in successions}

    def _swap(self, connection: sqlite3.Connection, swap: Swap) -> None:
        number = self._extent(swap.tenant).number
        if swap.old is None:
            done = connection.execute(_FIRST_CHECKPOINT, (number, swap.size, swap.new))
        else:
            done = connection.execute(_NEXT_CHECKPOINT, (swap.size, swap.new, number, swap.old))
        if not done.rowcount:
            raise ConflictError(
                f"could not swap the checkpoint of {swap.tenant!r}: another one is stored",
                hint="read it again; another publisher is at work",
            )

    def parked(self, tenant: str, *, limit: int) -> list[Parked]:
        """See EventStore."""
        number = self._extent(tenant).number
        return [Parked(*row) for row in self._query("read", f"parked records of {tenant!r}", _PARKED, number, limit)]

    def parked_count(self, tenant: str) -> int:
        """See EventStore."""
        number = self._extent(tenant).number
        count: int = self._query("count", "parked records", "SELECT count(*) FROM parked WHERE log = ?", number)[0][0]
        return count

    def close(self) -> None:
        """See EventStore. Waits for a file of ids that is being written."""
        self._wal.close()
        with self._write_lock:
            self._ids.close()
            self._disconnect()
            if self._lock >= 0:
                os.close(self._lock)
                self._lock = -1

    def _open_ids(self, ids_in_memory_max: int) -> IdIndex:
        id_hash_key = create_schema(self._writing)
        trimmed = self._query("open", NAME, "SELECT value FROM meta WHERE key = ?", _TRIMMED_THROUGH)
        needed = trimmed[0][0] if trimmed else 0
        directory = self._directory / "ids"
        with told("open", str(directory), directory):
            drop_foreign_ids(directory, key=id_hash_key)
            return IdIndex(directory, key=id_hash_key, needed_through=needed, recent_max=ids_in_memory_max)

    def _extent(self, tenant: str) -> _Extent:
        self._settle()
        if tenant not in self._extents:
            raise MissingError(f"could not find log {tenant!r}: there is no such tenant")
        return self._extents[tenant]

    def _check_held(self, extent: _Extent, start: int) -> None:
        if start < extent.start:
            raise MissingError(
                f"could not read entry {start} of log {extent.log.tenant!r}: it was trimmed",
                hint=f"entries below {extent.start} stand in the object store",
            )

    def _check_next(self, batches: Sequence[Batch]) -> None:
        sizes: dict[str, int] = {}
        for batch in batches:
            size = sizes.get(batch.tenant, self._extent(batch.tenant).size)
            if batch.first_index != size:
                raise ConflictError(
                    f"could not append to log {batch.tenant!r} at {batch.first_index}: its size is {size}",
                    hint="read the size again; another writer is at work",
                )
            sizes[batch.tenant] = size + len(batch.entries)

    def _row(self, batch: Batch) -> tuple[int, Row]:
        if not len(batch.entries) == len(batch.ids) == len(batch.leaves):
            raise ValueError(f"{len(batch.ids)} ids and {len(batch.leaves)} leaves for {len(batch.entries)} entries")
        number = self._extents[batch.tenant].number
        ids = self._ids.hashes(number, batch.ids).tobytes()
        return number, make_row(batch.first_index, batch.entries, leaves=batch.leaves, ids=ids)

    def _insert(self, connection: sqlite3.Connection, number: int, row: Row) -> int:
        values = (number, row.first, row.count, row.packed, row.leaves, row.ids, row.crc)
        return connection.execute(_INSERT_BATCH, values).lastrowid or 0

    def _rows(self, extent: _Extent, *, start: int, stop: int) -> list[Row]:
        """The whole rows, one behind the other, that hold [start, stop). TamperedError at the first that is not."""
        tenant = extent.log.tenant
        rows: list[Row] = []
        thing = f"entries {start} to {stop} of log {tenant!r}"
        for row in (Row(*values) for values in self._query("read", thing, _ROWS, extent.number, stop, start)):
            if (rows and row.first != rows[-1].stop) or not row.is_whole:
                raise _tampered(tenant, rows[-1].stop if rows else row.first)
            rows.append(row)
        self._check_held(self._extent(tenant), start)  # somebody may have trimmed meanwhile
        if not rows or rows[0].first > start or rows[-1].stop < stop:
            raise _tampered(tenant, rows[-1].stop if rows and rows[0].first <= start else start)
        return rows

    def _record(self, tenant: str, record: Parked) -> tuple[int, str, str, bytes, str]:
        return self._extent(tenant).number, record.key, record.reason, record.body, record.parked_at

    def _learn(self, seq: int, log: int, row: Row) -> None:
        self._ids.insert(np.frombuffer(row.ids, "<u8"), log=log, first=row.first, seq=seq)
        self._last_seq = seq

    def _cuts(self, below: Mapping[str, int]) -> tuple[dict[str, tuple[int, int]], int]:
        """(log number, index of the first batch that stays) by tenant, and the newest batch that does not stay."""
        cuts, newest = {}, 0
        for tenant, bound in below.items():
            extent = self._extent(tenant)
            if bound <= extent.start:
                continue
            ((first,),) = self._query("trim", repr(tenant), _COVERING, extent.number, bound)
            if first is not None and first > extent.start:
                cuts[tenant] = (extent.number, first)
                newest = max(newest, self._query("trim", repr(tenant), _NEWEST_BELOW, extent.number, first)[0][0] or 0)
        return cuts, newest

    def _query(self, verb: str, thing: str, statement: str, *values: object) -> list[Any]:
        with self._read_lock, told(verb, thing, self._directory):
            return self._reading.execute(statement, values).fetchall()

    @contextmanager
    def _transaction(self, verb: str, thing: str, *, byte_count: int = 0) -> Iterator[sqlite3.Connection]:
        self._settle()
        try:
            with told(verb, thing, self._directory), transaction(self._writing):
                yield self._writing
        except BaseException:
            self._is_stale = True
            raise
        self._wal.note_written(byte_count)

    def _settle(self) -> None:
        """After a write that failed: read from the file what became of it. UnavailableError after `close`."""
        if self._lock < 0:
            raise UnavailableError(f"could not use {NAME}: the store was closed", hint="open it again")
        if not self._is_stale:
            return
        with self._write_lock:
            if self._is_stale:
                self._disconnect()
                self._writing, self._reading = connect(self._directory), connect(self._directory)
                self._recent.forget()
                self._notes.clear()
                self._load()
                self._is_stale = False

    def _disconnect(self) -> None:
        with self._read_lock, suppress(sqlite3.Error):
            self._reading.close()
            self._writing.close()

    def _load(self) -> None:
        """Sizes and held ranges of all logs, and the ids of the batches that are not learnt yet."""
        tenants = {}
        for number, tenant, origin, created_at, start, size in self._query("open", NAME, _LOGS):
            tenants[number] = tenant
            self._extents[tenant] = _Extent(number, Log(tenant, origin, created_at), start or 0, size or 0)
        with told("open", NAME, self._directory):
            for seq, log, *values in self._writing.execute(_UNLEARNT, (self._last_seq,)):
                if not (row := Row(*values)).is_whole:
                    raise _tampered(tenants[log], row.first)
                self._learn(seq, log, row)


def _tampered(tenant: str, index: int) -> TamperedError:
    return TamperedError(
        f"could not read entry {index} of log {tenant!r}: its batch in {NAME} is not what was written",
        hint="stop, keep the file, restore from a backup",
    )


def _missing_ids(verb: str) -> UnavailableError:
    return UnavailableError(f"could not {verb} ids: a file of the id index is lost or damaged", hint="rebuild it")
