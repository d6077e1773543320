"""The EventStore on PostgreSQL: one row a batch, and a table of ids, which is simple rather than fast."""

import threading
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import psycopg
from psycopg.errors import UniqueViolation

from atp import limits
from atp.errors import ConflictError, MissingError, TamperedError, TooLargeError, UnavailableError
from atp.limits import TILE_WIDTH
from atp.log.bundles import pack_bundle
from atp.merkle.hashes import leaf_hashes
from atp.ports.event_store import Batch, Log, Parked, Succession, Swap

_SCHEMA = """
CREATE TABLE IF NOT EXISTS log(
    number bigint PRIMARY KEY GENERATED ALWAYS AS IDENTITY, tenant text UNIQUE NOT NULL, origin text UNIQUE NOT NULL,
    created_at text NOT NULL, start bigint NOT NULL DEFAULT 0, size bigint NOT NULL DEFAULT 0);
CREATE TABLE IF NOT EXISTS batch(
    log bigint NOT NULL, first bigint NOT NULL, entries bytea[] NOT NULL, crc bigint NOT NULL, PRIMARY KEY(log, first));
CREATE TABLE IF NOT EXISTS event_id(log bigint NOT NULL, id text COLLATE "C" NOT NULL, index bigint NOT NULL);
CREATE INDEX IF NOT EXISTS event_id_of_log ON event_id(log, id);
CREATE TABLE IF NOT EXISTS checkpoint(log bigint PRIMARY KEY, size bigint NOT NULL, note bytea NOT NULL);
CREATE TABLE IF NOT EXISTS parked(
    log bigint NOT NULL, key text NOT NULL, reason text NOT NULL, body bytea NOT NULL, parked_at text NOT NULL,
    PRIMARY KEY(log, key))"""
_BATCHES = """
SELECT first, entries, crc FROM batch
WHERE log = %s AND first < %s AND first >= (SELECT max(first) FROM batch WHERE log = %s AND first <= %s)
ORDER BY first"""
_PARK = "INSERT INTO parked(log, key, reason, body, parked_at) VALUES (%s, %s, %s, %s, %s) ON CONFLICT DO NOTHING"
_FIRST_CHECKPOINT = "INSERT INTO checkpoint(size, note, log) VALUES (%s, %s, %s) ON CONFLICT DO NOTHING"
_NEXT_CHECKPOINT = "UPDATE checkpoint SET size = %s, note = %s WHERE log = %s AND note = %s"
_SET_ORIGIN = "UPDATE log SET origin = %s WHERE tenant = %s AND origin = %s"
_CONNECT_SECONDS_MAX = 5


class PostgresEventStore:
    """The EventStore port on one database, over one connection that threads take in turns.

    Commits are as durable as the server's `synchronous_commit` and `fsync` make them. After an error the connection
    is dropped; the next call opens another.
    """

    def __init__(self, dsn: str) -> None:
        self._dsn = dsn
        self._lock = threading.RLock()
        self._connection: psycopg.Connection[Any] | None = None
        with self._transaction("open", "the database") as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(hashtext('atp schema'))")
            for statement in _SCHEMA.split(";\n"):
                cursor.execute(statement)

    def create_log(self, log: Log) -> None:
        """See EventStore."""
        with self._transaction("create log", repr(log.tenant)) as cursor:
            row = (log.tenant, log.origin, log.created_at)
            cursor.execute("INSERT INTO log(tenant, origin, created_at) VALUES (%s, %s, %s)", row)

    def logs(self) -> list[Log]:
        """See EventStore."""
        with self._transaction("list", "logs") as cursor:
            cursor.execute("SELECT tenant, origin, created_at FROM log ORDER BY number")
            return [Log(*row) for row in cursor]

    def append(self, batches: Sequence[Batch], parked: Mapping[str, Sequence[Parked]]) -> None:
        """See EventStore. TooLargeError, nothing written: an entry over 65,535 bytes."""
        with self._transaction("append to", ", ".join(sorted({batch.tenant for batch in batches}))) as cursor:
            cursor.execute(  # locked in one order, so that two writers cannot wait for each other
                "SELECT tenant FROM log WHERE tenant = ANY(%s) ORDER BY number FOR UPDATE",
                ([batch.tenant for batch in batches],),
            )
            for batch in batches:
                _append(cursor, batch)
            for tenant, records in parked.items():
                number, _, _ = _extent(cursor, tenant)
                rows = [(number, record.key, record.reason, record.body, record.parked_at) for record in records]
                cursor.executemany(_PARK, rows)

    def size(self, tenant: str) -> int:
        """See EventStore."""
        with self._transaction("read the size of", repr(tenant)) as cursor:
            return _extent(cursor, tenant)[2]

    def held_from(self, tenant: str) -> int:
        """See EventStore."""
        with self._transaction("read the range of", repr(tenant)) as cursor:
            return _extent(cursor, tenant)[1]

    def read(self, tenant: str, *, start: int, stop: int) -> list[bytes]:
        """See EventStore."""
        with self._transaction("read", f"entries {start} to {stop} of log {tenant!r}") as cursor:
            cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")  # another process may trim meanwhile
            number, held_from, size = _extent(cursor, tenant)
            if start < held_from:
                raise MissingError(
                    f"could not read entry {start} of log {tenant!r}: it was trimmed",
                    hint=f"entries below {held_from} stand in the object store",
                )
            stop = min(stop, size)
            if start >= stop:
                return []
            rows = cursor.execute(_BATCHES, (number, stop, number, start)).fetchall()
        return _joined(tenant, rows, start=start, stop=stop)

    def leaves(self, tenant: str, *, start: int, stop: int) -> list[bytes]:
        """See EventStore. Hashes each entry."""
        return leaf_hashes(self.read(tenant, start=start, stop=stop))

    def bundles(self, tenant: str, *, start: int, stop: int) -> list[bytes]:
        """See EventStore. Packs each bundle."""
        entries = self.read(tenant, start=start * TILE_WIDTH, stop=stop * TILE_WIDTH)
        return [pack_bundle(entries[at : at + TILE_WIDTH]) for at in range(0, len(entries), TILE_WIDTH)]

    def trim(self, below: Mapping[str, int]) -> None:
        """See EventStore."""
        with self._transaction("trim", "logs") as cursor:
            for tenant, bound in sorted(below.items()):
                number, start, _ = _extent(cursor, tenant)
                cursor.execute("SELECT max(first) FROM batch WHERE log = %s AND first <= %s", (number, bound))
                ((first,),) = cursor.fetchall()
                if first is not None and first > start:
                    cursor.execute("DELETE FROM batch WHERE log = %s AND first < %s", (number, first))
                    cursor.execute("UPDATE log SET start = %s WHERE number = %s", (first, number))

    def find(self, tenant: str, ids: Sequence[str]) -> dict[str, list[int]]:
        """See EventStore. Exact."""
        with self._transaction("look up", f"ids of {tenant!r}") as cursor:
            number, _, _ = _extent(cursor, tenant)
            cursor.execute(
                "SELECT id, array_agg(index ORDER BY index) FROM event_id WHERE log = %s AND id = ANY(%s) GROUP BY id",
                (number, list(ids)),
            )
            return dict(cursor.fetchall())

    def is_missing_ids(self) -> bool:
        """See EventStore. Counts all ids: for tests and starts, not for every call."""
        with self._transaction("count", "ids") as cursor:
            cursor.execute("SELECT (SELECT count(*) FROM event_id) < (SELECT coalesce(sum(size), 0) FROM log)")
            return bool(cursor.fetchall()[0][0])

    def learn_ids(self, entries: Iterable[tuple[str, int, Sequence[str]]]) -> None:
        """See EventStore. ValueError unless there is one id for each entry of every log."""
        learnt = list(entries)
        with self._transaction("learn", "ids") as cursor:
            cursor.execute("TRUNCATE event_id")
            for tenant, first, ids in learnt:
                _learn(cursor, _extent(cursor, tenant)[0], first, ids)
            cursor.execute("SELECT coalesce(sum(size), 0) FROM log")
            count = cursor.fetchall()[0][0]
            if (given := sum(len(ids) for _, _, ids in learnt)) != count:
                raise ValueError(f"{given} ids were given for {count} entries")

    def checkpoint(self, tenant: str) -> bytes | None:
        """See EventStore."""
        with self._transaction("read the checkpoint of", repr(tenant)) as cursor:
            cursor.execute("SELECT note FROM checkpoint WHERE log = %s", (_extent(cursor, tenant)[0],))
            row = cursor.fetchone()
            return bytes(row[0]) if row else None

    def swap_checkpoints(self, swaps: Sequence[Swap]) -> None:
        """See EventStore."""
        with self._transaction("swap", "checkpoints") as cursor:
            for swap in sorted(swaps, key=lambda swap: swap.tenant):
                _swap(cursor, swap)

    def succeed(self, successions: Sequence[Succession]) -> None:
        """See EventStore."""
        with self._transaction("succeed", "logs") as cursor:
            for one in sorted(successions, key=lambda one: one.swap.tenant):
                _swap(cursor, one.swap)
                cursor.execute(_SET_ORIGIN, (one.origin, one.swap.tenant, one.former))
                if not cursor.rowcount:
                    raise ConflictError(
                        f"could not let the log of {one.swap.tenant!r} go on as {one.origin!r}: it is not "
                        f"{one.former!r}",
                        hint="read it again",
                    )

    def parked(self, tenant: str, *, limit: int) -> list[Parked]:
        """See EventStore."""
        with self._transaction("read", f"parked records of {tenant!r}") as cursor:
            cursor.execute(
                'SELECT key, reason, body, parked_at FROM parked WHERE log = %s ORDER BY parked_at COLLATE "C",'
                ' key COLLATE "C" LIMIT %s',
                (_extent(cursor, tenant)[0], limit),
            )
            return [Parked(key, reason, bytes(body), parked_at) for key, reason, body, parked_at in cursor]

    def parked_count(self, tenant: str) -> int:
        """See EventStore."""
        with self._transaction("count", f"parked records of {tenant!r}") as cursor:
            cursor.execute("SELECT count(*) FROM parked WHERE log = %s", (_extent(cursor, tenant)[0],))
            return int(cursor.fetchall()[0][0])

    def close(self) -> None:
        """See EventStore."""
        with self._lock:
            if self._connection is not None:
                self._connection.close()
                self._connection = None

    @contextmanager
    def _transaction(self, verb: str, thing: str) -> Iterator[psycopg.Cursor[Any]]:
        """Commit what is executed inside or nothing of it, and turn PostgreSQL's errors into the platform's."""
        with self._lock:
            try:
                if self._connection is None:
                    self._connection = psycopg.connect(self._dsn, connect_timeout=_CONNECT_SECONDS_MAX)
                with self._connection.transaction(), self._connection.cursor(binary=True) as cursor:
                    yield cursor
            except UniqueViolation:
                raise ConflictError(
                    f"could not {verb} {thing}: it is there already", hint="read again what is stored"
                ) from None
            except psycopg.OperationalError as error:
                self.close()
                raise UnavailableError(
                    f"could not {verb} {thing}: {' '.join(str(error).split())}",
                    hint="is the database up, and has it space?",
                ) from None


def _extent(cursor: psycopg.Cursor[Any], tenant: str) -> tuple[int, int, int]:
    """Number, index of the first entry that is held, and size of a log. MissingError when there is none."""
    cursor.execute("SELECT number, start, size FROM log WHERE tenant = %s", (tenant,))
    for number, start, size in cursor:
        return number, start, size
    raise MissingError(f"could not find log {tenant!r}: there is no such tenant")


def _swap(cursor: psycopg.Cursor[Any], swap: Swap) -> None:
    number, _, _ = _extent(cursor, swap.tenant)
    new = (swap.size, swap.new, number)
    if swap.old is None:
        cursor.execute(_FIRST_CHECKPOINT, new)
    else:
        cursor.execute(_NEXT_CHECKPOINT, (*new, swap.old))
    if not cursor.rowcount:
        raise ConflictError(
            f"could not swap the checkpoint of {swap.tenant!r}: another one is stored",
            hint="read it again; another publisher is at work",
        )


def _append(cursor: psycopg.Cursor[Any], batch: Batch) -> None:
    number, _, size = _extent(cursor, batch.tenant)
    if batch.first_index != size:
        raise ConflictError(
            f"could not append to log {batch.tenant!r} at {batch.first_index}: its size is {size}",
            hint="read the size again; another writer is at work",
        )
    if len(batch.entries) != len(batch.ids):
        raise ValueError(f"{len(batch.ids)} ids for {len(batch.entries)} entries")
    if (longest := max(map(len, batch.entries), default=0)) > limits.ENTRY_BYTES_MAX:
        raise TooLargeError(f"could not append an entry of {longest:,} bytes: the limit is {limits.ENTRY_BYTES_MAX:,}")
    if batch.entries:
        row = (number, size, list(batch.entries), _checksum(batch.entries))
        cursor.execute("INSERT INTO batch(log, first, entries, crc) VALUES (%s, %s, %s, %s)", row)
        cursor.execute("UPDATE log SET size = size + %s WHERE number = %s", (len(batch.entries), number))
        _learn(cursor, number, size, batch.ids)


def _learn(cursor: psycopg.Cursor[Any], number: int, first: int, ids: Sequence[str]) -> None:
    cursor.execute(
        "INSERT INTO event_id SELECT %s, id, %s + place - 1 FROM unnest(%s::text[]) WITH ORDINALITY AS t(id, place)",
        (number, first, list(ids)),
    )


def _checksum(entries: Sequence[bytes]) -> int:
    crc = 0
    for entry in entries:
        crc = zlib.crc32(entry, zlib.crc32(len(entry).to_bytes(2, "big"), crc))
    return crc


def _joined(tenant: str, rows: Sequence[tuple[int, list[bytes], int]], *, start: int, stop: int) -> list[bytes]:
    """The entries [start, stop) out of their batches. TamperedError at the first one that is not what was written."""
    entries: list[bytes] = []
    first = rows[0][0] if rows else start
    for batch_first, batch, crc in rows:
        if batch_first != first + len(entries) or _checksum(batch) != crc:
            raise _tampered(tenant, first + len(entries))
        entries += batch
    if first > start or first + len(entries) < stop:
        raise _tampered(tenant, start if first > start else first + len(entries))
    return entries[start - first : stop - first]


def _tampered(tenant: str, index: int) -> TamperedError:
    return TamperedError(
        f"could not read entry {index} of log {tenant!r}: its batch is not what was written",
        hint="stop, keep the database, restore from a backup",
    )
