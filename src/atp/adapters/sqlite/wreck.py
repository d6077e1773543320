"""A damaged `order.db`: what is wrong with it, and what of it still reads. It is only read here, never repaired."""

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

from atp.adapters.sqlite.blob import Row
from atp.adapters.sqlite.file import NAME, told
from atp.errors import AtpError, TamperedError
from atp.ports.event_store import Log, Parked

_FAILURES_MAX = 10_000  # ranges of rows of one table that are tried again in halves: half a second
_BATCHES = "SELECT seq, log, first, count FROM batch WHERE seq BETWEEN ? AND ?"
_ROWS = "SELECT first, count, entries, leaves, ids, crc FROM batch WHERE seq BETWEEN ? AND ?"
_LOGS = "SELECT number, tenant, origin, created_at FROM log WHERE number BETWEEN ? AND ?"
_NOTES = "SELECT log, note FROM checkpoint WHERE log BETWEEN ? AND ?"
_PARKED = "SELECT log, key, reason, body, parked_at FROM parked WHERE log BETWEEN ? AND ?"
_NUMBERS = (0, 1 << 20)


def find_damage(directory: Path) -> str | None:
    """Why the order in this directory cannot be trusted; None when it is whole, or there is none yet.

    Reads the whole file: about a second for 500 MB. UnavailableError when it cannot be read at all.
    """
    path = directory / NAME
    if not path.exists():
        return "it is gone" if any((directory / "logs").glob("*/checkpoint")) else None
    try:
        with told("check", NAME, directory), closing(_open(path)) as connection:
            return _damage(connection, directory)
    except AtpError as error:
        if error.code == "tampered":
            return str(error.__cause__ or error)
        raise


def _damage(connection: sqlite3.Connection, directory: Path) -> str | None:
    for (found,) in connection.execute("PRAGMA quick_check(1)"):
        if found != "ok":
            return str(found).splitlines()[-1]
    if not connection.execute("SELECT 1 FROM sqlite_schema WHERE name = 'batch'").fetchone():
        return "it holds no batches" if any((directory / "logs").glob("*/checkpoint")) else None
    for seq, *values in connection.execute("SELECT seq, first, count, entries, leaves, ids, crc FROM batch"):
        if _row(values) is None:
            return f"batch {seq} is not what was written"
    newest = connection.execute("SELECT seq FROM sqlite_sequence WHERE name = 'batch'").fetchone()
    learnt = max((int(path.stem.rpartition("-")[2]) for path in (directory / "ids").glob("*-*.ids")), default=0)
    if learnt > (newest[0] if newest else 0):
        return f"it was rolled back: the ids of batch {learnt} are known"
    return None


class Wreck:
    """What still reads of a damaged order. Costs a query for each batch; what does not read is left out."""

    def __init__(self, directory: Path) -> None:
        self._connection: sqlite3.Connection | None = None
        self._logs: dict[int, Log] = {}
        self._notes: dict[int, bytes] = {}
        self._batches: dict[int, dict[int, tuple[int, int]]] = {}  # log number -> first index -> (count, row)
        self._parked: dict[int, list[Parked]] = {}
        with suppress(sqlite3.Error, OSError):
            self._connection = _open(directory / NAME)
            self._connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()
            self._read()
        self._numbers = {log.tenant: number for number, log in self._logs.items()}

    def logs(self) -> list[Log]:
        """The logs whose rows read, in the order of creation."""
        return list(self._logs.values())

    def note(self, tenant: str) -> bytes | None:
        """The newest checkpoint that the file has of a log."""
        return self._notes.get(self._numbers.get(tenant, -1))

    def batches(self, tenant: str) -> list[tuple[int, int]]:
        """First index and count of each batch that the file says it holds of a log, in the order of their entries."""
        found = self._batches.get(self._numbers.get(tenant, -1), {})
        return sorted((first, count) for first, (count, _) in found.items())

    def entries(self, tenant: str, first: int) -> list[bytes] | None:
        """The entries of a batch; None when they are not what was written."""
        count, seq = self._batches[self._numbers[tenant]][first]
        for values in self._rows(_ROWS, seq, seq):
            if (row := _row(values)) and (row.first, row.count) == (first, count):
                with suppress(TamperedError):
                    entries = row.entries(start=first, stop=row.stop)
                    return entries if len(entries) == count else None
        return None

    def parked(self, tenant: str) -> list[Parked]:
        """The parked records of a log that still read."""
        return self._parked.get(self._numbers.get(tenant, -1), [])

    def close(self) -> None:
        """Let the file go."""
        if self._connection is not None:
            self._connection.close()

    def _read(self) -> None:
        for number, tenant, origin, created_at in self._rows(_LOGS, *_NUMBERS):
            if all(isinstance(text, str) for text in (tenant, origin, created_at)):
                self._logs[number] = Log(tenant, origin, created_at)
        for number, note in self._rows(_NOTES, *_NUMBERS):
            if isinstance(note, bytes):
                self._notes[number] = note
        for number, key, reason, body, parked_at in self._rows(_PARKED, *_NUMBERS):
            self._parked.setdefault(number, []).append(Parked(key, reason, body, parked_at))
        for seq, number, first, count in self._rows(_BATCHES, *self._bounds()):
            if isinstance(first, int) and isinstance(count, int):
                self._batches.setdefault(number, {})[first] = (count, seq)

    def _bounds(self) -> tuple[int, int]:
        """Between which rows batches may stand."""
        low = self._number("SELECT min(seq) FROM batch")
        high = self._number("SELECT max(seq) FROM batch")
        return low, max(high, self._number("SELECT seq FROM sqlite_sequence WHERE name = 'batch'"))

    def _number(self, statement: str) -> int:
        assert self._connection is not None
        with suppress(sqlite3.Error):
            for (number,) in self._connection.execute(statement):
                return number if isinstance(number, int) else 0
        return 0

    def _rows(self, statement: str, low: int, high: int) -> Iterator[tuple[Any, ...]]:
        """The rows between two keys that still read: a range that fails is tried again in halves."""
        assert self._connection is not None
        ranges = [(low, high)]
        failures = 0
        while ranges:
            low, high = ranges.pop()
            try:
                rows = self._connection.execute(statement, (low, high)).fetchall()
            except (sqlite3.Error, OverflowError):
                failures += 1
                if low < high and failures < _FAILURES_MAX:
                    middle = (low + high) // 2
                    ranges += [(middle + 1, high), (low, middle)]
                continue
            yield from rows


def _row(values: Sequence[Any]) -> Row | None:
    """A row that is what was written; None for any other: a damaged page may hold values of any type."""
    first, count, packed, leaves, ids, crc = values
    is_typed = isinstance(first, int) and isinstance(count, int) and isinstance(crc, int)
    if not is_typed or not all(isinstance(blob, bytes) for blob in (packed, leaves, ids)):
        return None
    row = Row(first, count, packed, leaves, ids, crc)
    return row if row.is_whole else None


def _open(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True, isolation_level=None)
