"""Reads `order.db`, the durable order of a data directory: the newest entries and checkpoints, as one snapshot.

SQLite, opened for reading alone. Tables: `log(number, tenant, origin, created_at)`, `batch(log, first, count, entries,
leaves, ids, crc)` where `entries` are zstd frames of bundle bytes (C2SP), `leaves` their leaf hashes and `crc` is the
CRC-32 of entries, leaves and ids, `checkpoint(log, size, note)`. In format 1 entries are plain and there are no leaves.
"""

import sqlite3
import zlib
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from atp.errors import TamperedError, UnavailableError
from atp.merkle.hashes import HASH_BYTES, leaf_hash
from atp.verify.crc import locate_flipped_bit
from atp.verify.packed import salvage_frames

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

    `fault` says what is wrong with the row, and `wrong_index` which entry is the first that is. `entries` is None when
    they cannot be told apart.
    """

    first: int
    count: int
    entries: tuple[bytes, ...] | None
    fault: str = ""
    wrong_index: int | None = None


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
        is_packed = bool(list(self._rows("SELECT 1 FROM pragma_table_info('batch') WHERE name = 'leaves'")))
        leaves = "leaves" if is_packed else "x''"
        rows = self._rows(
            f"SELECT first, count, entries, {leaves}, ids, crc FROM batch WHERE log = ? ORDER BY first, seq", (number,)
        )
        with closing(rows):  # before the connection is: a row that cannot be used ends this in the middle
            for row in rows:
                first, count, *blobs, crc = _typed(row, (int, int, bytes, bytes, bytes, int))
                yield _batch(first, count, _Blobs(is_packed, *blobs), crc)

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


@dataclass(frozen=True, slots=True)
class _Blobs:
    """What a row holds, as it is stored; `leaves` is empty in format 1, whose entries are not packed."""

    is_packed: bool
    entries: bytes
    leaves: bytes
    ids: bytes

    @property
    def crc(self) -> int:
        return zlib.crc32(self.entries + self.leaves + self.ids)

    def mended(self, crc: int) -> "tuple[_Blobs, str]":
        """The blobs without the one bit that was flipped, and what was wrong with them."""
        if self.crc == crc:
            return self, ""
        joined = self.entries + self.leaves + self.ids
        if (flipped := locate_flipped_bit(joined, crc=crc)) is None:
            return self, "its bytes do not have their checksum"
        at, mask = flipped
        joined = joined[:at] + bytes([joined[at] ^ mask]) + joined[at + 1 :]
        ends = len(self.entries), len(self.entries) + len(self.leaves)
        what = "the entry" if at < ends[0] else "the entry's hash" if at < ends[1] else "its ids"
        blobs = _Blobs(self.is_packed, joined[: ends[0]], joined[ends[0] : ends[1]], joined[ends[1] :])
        return blobs, f"one bit of {what} was flipped"

    def parts(self) -> list[bytes]:
        """The entries up to the first that cannot be told apart, however damaged they are."""
        plain = salvage_frames(self.entries) if self.is_packed else self.entries
        parts, at = list[bytes](), 0
        while at < len(plain) and (end := at + 2 + int.from_bytes(plain[at : at + 2], "big")) <= len(plain):
            parts.append(plain[at + 2 : end])
            at = end
        return parts


def _batch(first: int, count: int, blobs: _Blobs, crc: int) -> OrderedBatch:
    mended, fault = blobs.mended(crc)
    parts = mended.parts()
    if len(parts) != count:
        return OrderedBatch(first, count, None, fault or f"it holds {len(parts)} entries instead of {count}")
    wrong = _first_wrong(blobs, mended, parts)
    if wrong is not None:
        fault = fault or "the entry and its hash beside it disagree"
        return OrderedBatch(first, count, tuple(parts), fault, first + wrong)
    return OrderedBatch(first, count, tuple(parts), fault)


def _first_wrong(blobs: _Blobs, mended: _Blobs, parts: Sequence[bytes]) -> int | None:
    """Which entry is the first that is not what was written, or whose hash is not; None where all are."""
    stored = parts if blobs.entries == mended.entries else blobs.parts()
    for at, part in enumerate(parts):
        if at >= len(stored) or stored[at] != part:
            return at
        if mended.is_packed and blobs.leaves[at * HASH_BYTES : (at + 1) * HASH_BYTES] != leaf_hash(part):
            return at
    return None


def _typed(row: tuple[Any, ...], types: Sequence[Any]) -> tuple[Any, ...]:
    """The row, or TamperedError: a damaged page may hold values of any type."""
    if not all(isinstance(value, kind) for value, kind in zip(row, types, strict=True)):
        raise TamperedError("it holds a row with values of the wrong type")
    return row


def _failure(error: Exception) -> UnavailableError | TamperedError:
    if isinstance(error, sqlite3.OperationalError) and any(word in str(error) for word in _OURS):
        return UnavailableError(f"could not read order.db: {error}", hint="check its permissions and the disk")
    return TamperedError(f"it cannot be read: {error}")
