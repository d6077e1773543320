"""Reads `order.db`, the durable order of a data directory: the newest entries and checkpoints, as one snapshot.

SQLite, opened for reading alone. Tables: `log(number, tenant, origin, created_at)`, `batch(log, first, count, entries,
ids, crc)` where `entries` are bundle bytes (C2SP) and `crc` is the CRC-32 of entries and ids, `checkpoint(log, size,
note)`.
"""

import sqlite3
import zlib
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from atp.errors import TamperedError, UnavailableError
from atp.verify.crc import locate_flipped_bit

_BUSY_SECONDS = 5.0
_FAULTS_MAX = 10
_OURS = ("locked", "unable to open", "disk I/O", "busy", "readonly", "permission")
"""What SQLite says when the place cannot be read now; anything else speaks about the file's content."""


@dataclass(frozen=True, slots=True)
class OrderedLog:
    """A row of `log` and its checkpoint; `note` is None before the first one."""

    number: int
    tenant: str
    origin: str
    size: int
    note: bytes | None


@dataclass(frozen=True, slots=True)
class OrderedBatch:
    """Consecutive entries as they are stored, or as they were before one bit was flipped.

    `fault` says what is wrong with the row; with `flipped_index` the entry is known, and put right in `entries`.
    `entries` is None when they cannot be told apart.
    """

    first: int
    count: int
    entries: tuple[bytes, ...] | None
    fault: str = ""
    flipped_index: int | None = None


class Order:
    """A snapshot of `order.db`; every method raises TamperedError when the file is damaged."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def faults(self) -> list[str]:
        """What SQLite's own check of the whole file finds. Costs one read of the file."""
        rows = self._rows(f"PRAGMA integrity_check({_FAULTS_MAX})")
        return [str(row[0]) for row in rows if row != ("ok",)]

    def logs(self) -> list[OrderedLog]:
        """Every log, in the order of creation."""
        rows = self._rows(
            "SELECT number, tenant, origin, coalesce(size, 0), note FROM log LEFT JOIN checkpoint"
            " ON checkpoint.log = log.number ORDER BY number"
        )
        return [OrderedLog(*_typed(row, (int, str, str, int, (bytes, type(None))))) for row in list(rows)]

    def stray_rows(self) -> int:
        """How many batches and checkpoints belong to no log."""
        rows = self._rows(
            "SELECT (SELECT count(*) FROM batch WHERE log NOT IN (SELECT number FROM log))"
            " + (SELECT count(*) FROM checkpoint WHERE log NOT IN (SELECT number FROM log))"
        )
        return int(next(rows)[0])

    def batches(self, number: int) -> Iterator[OrderedBatch]:
        """The batches of a log in the order of their entries, one in memory at a time."""
        rows = self._rows(
            "SELECT first, count, entries, ids, crc FROM batch WHERE log = ? ORDER BY first, seq", (number,)
        )
        with closing(rows):  # before the connection is: a row that cannot be used ends this in the middle
            for row in rows:
                yield _batch(*_typed(row, (int, int, bytes, bytes, int)))

    def _rows(self, query: str, values: Sequence[Any] = ()) -> Generator[tuple[Any, ...], None, None]:
        try:
            yield from self._connection.execute(query, values)
        except (sqlite3.Error, OverflowError, UnicodeDecodeError) as error:
            raise _failure(error) from None


@contextmanager
def open_order(path: Path) -> Iterator[Order]:
    """The order as it is now, for as long as the context lasts; a server may go on writing.

    TamperedError when it is no such database, UnavailableError when it cannot be read.
    """
    if not path.exists():
        raise TamperedError("it is missing")
    try:
        connection = sqlite3.connect(
            f"{path.resolve().as_uri()}?mode=ro", uri=True, timeout=_BUSY_SECONDS, isolation_level=None
        )
    except sqlite3.Error as error:
        raise _failure(error) from None
    try:
        order = Order(connection)
        list(order._rows("PRAGMA trusted_schema = OFF"))  # whoever wrote the file may have written views into it
        list(order._rows("BEGIN"))
        list(order._rows("SELECT count(*) FROM log"))  # the first read is what takes the snapshot
        yield order
    finally:
        connection.close()


def _batch(first: int, count: int, entries: bytes, ids: bytes, crc: int) -> OrderedBatch:
    fault, flipped_at = "", None
    if zlib.crc32(ids, zlib.crc32(entries)) != crc:
        flipped = locate_flipped_bit(entries + ids, crc=crc)
        if flipped and flipped[0] < len(entries):
            flipped_at, mask = flipped
            entries = entries[:flipped_at] + bytes([entries[flipped_at] ^ mask]) + entries[flipped_at + 1 :]
        elif flipped:
            fault = "a bit of its ids was flipped"
        fault = fault or "its bytes do not have their checksum"
    parts, flipped_index = list[bytes](), None
    at = 0
    while at < len(entries):
        end = at + 2 + int.from_bytes(entries[at : at + 2], "big")
        if end > len(entries):
            return OrderedBatch(first, count, None, fault or "its entries are cut off")
        if flipped_at is not None and at <= flipped_at < end:
            flipped_index, fault = first + len(parts), "one bit of the entry was flipped"
        parts.append(entries[at + 2 : end])
        at = end
    if len(parts) != count:
        return OrderedBatch(first, count, None, fault or f"it holds {len(parts)} entries instead of {count}")
    return OrderedBatch(first, count, tuple(parts), fault, flipped_index)


def _typed(row: tuple[Any, ...], types: Sequence[Any]) -> tuple[Any, ...]:
    """The row, or TamperedError: a damaged page may hold values of any type."""
    if not all(isinstance(value, kind) for value, kind in zip(row, types, strict=True)):
        raise TamperedError("it holds a row with values of the wrong type")
    return row


def _failure(error: Exception) -> UnavailableError | TamperedError:
    if isinstance(error, sqlite3.OperationalError) and any(word in str(error) for word in _OURS):
        return UnavailableError(f"could not read order.db: {error}", hint="check its permissions and the disk")
    return TamperedError(f"it cannot be read: {error}")
