"""Moves SQLite's write-ahead log into the database file in the background, so that commits seldom wait for it.

Left to itself SQLite does this within a commit: one in 300 takes 10 ms longer. Here a thread copies while commits go
on, then once more, the few pages that came meanwhile, while they wait: only then does the write-ahead log start anew.
"""

import contextlib
import sqlite3
import threading
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

from atp.adapters.sqlite.file import connect
from atp.errors import AtpError

_BYTES_MIN = 16 * 1024 * 1024
_TRANSACTION_BYTES = 16 * 1024  # what a small one writes: four pages


class WalCopier:
    """Copies after every 16 MB that were written. What it cannot do, a commit does that finds 64 MB waiting."""

    def __init__(self, directory: Path, write_lock: threading.RLock) -> None:
        self._directory = directory
        self._write_lock = write_lock
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="wal")
        self._copying: Future[None] | None = None
        self._waiting_bytes = 0

    def note_written(self, byte_count: int) -> None:
        """Tell of a transaction that was committed; the caller holds the write lock."""
        self._waiting_bytes += _TRANSACTION_BYTES + byte_count
        if self._waiting_bytes >= _BYTES_MIN and (self._copying is None or self._copying.done()):
            self._waiting_bytes = 0
            self._copying = self._thread.submit(self._copy)

    def close(self) -> None:
        """Wait for the copying that goes on."""
        self._thread.shutdown()

    def _copy(self) -> None:
        with contextlib.suppress(AtpError, sqlite3.Error), contextlib.closing(connect(self._directory)) as connection:
            connection.execute("PRAGMA wal_checkpoint(PASSIVE)")
            with self._write_lock:
                connection.execute("PRAGMA wal_checkpoint(PASSIVE)")
