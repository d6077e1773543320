"""From format 1 to 2 of `order.db`: entries are packed as bundles store them, with their leaf hashes beside them."""

import os
import zlib
from contextlib import closing
from pathlib import Path

from atp.adapters.sqlite.blob import make_row
from atp.adapters.sqlite.file import NAME, connect, lock_directory, told, transaction
from atp.errors import TamperedError
from atp.merkle.hashes import leaf_hashes

_UPDATE = "UPDATE batch SET entries = ?, leaves = ?, crc = ? WHERE seq = ?"


def pack_order(directory: Path) -> None:
    """Bring the order of a directory forward, in one transaction; again, or without an order, it does nothing.

    TamperedError when a batch is not what was written: the program that wrote it can tell what is left.
    UnavailableError when the disk refuses, or another process has the directory. About 5 µs an entry that is held.
    """
    if not (directory / NAME).exists():
        return
    lock = lock_directory(directory)
    try:
        with told("upgrade", NAME, directory), closing(connect(directory)) as connection:
            if connection.execute("SELECT value FROM meta WHERE key = 'schema'").fetchone() != (1,):
                return
            with transaction(connection):
                connection.execute("ALTER TABLE batch ADD COLUMN leaves BLOB NOT NULL DEFAULT x''")
                for (seq,) in connection.execute("SELECT seq FROM batch").fetchall():
                    select = "SELECT first, count, entries, ids, crc FROM batch WHERE seq = ?"
                    connection.execute(_UPDATE, (*_packed(*connection.execute(select, (seq,)).fetchone()), seq))
                connection.execute("UPDATE meta SET value = 2 WHERE key = 'schema'")
    finally:
        os.close(lock)


def _packed(first: int, count: int, entries: bytes, ids: bytes, crc: int) -> tuple[bytes, bytes, int]:
    if zlib.crc32(ids, zlib.crc32(entries)) != crc:
        raise TamperedError(
            f"could not upgrade {NAME}: its batch of entry {first} is not what was written",
            hint="open the directory once with the program that wrote it, which keeps what is left of it",
        )
    plain = _decoded(entries)
    row = make_row(first, plain, leaves=leaf_hashes(plain), ids=ids)
    assert row.count == count, "a batch with its checksum holds its entries"
    return row.packed, row.leaves, row.crc


def _decoded(entries: bytes) -> list[bytes]:
    """Any number of entries: a batch is not bounded by a bundle's 256."""
    decoded, at = list[bytes](), 0
    while at < len(entries):
        stop = at + 2 + int.from_bytes(entries[at : at + 2], "big")
        decoded.append(entries[at + 2 : stop])
        at = stop
    return decoded
