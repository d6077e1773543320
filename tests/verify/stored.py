"""Writes logs as a place stores them, by the formats alone: what the verifier is tested on."""

import json
import random
import sqlite3
import sys
import zipfile
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path

from atp.limits import FRAME_ENTRIES, TILE_WIDTH
from atp.merkle.checkpoints import Checkpoint, sign_checkpoint
from atp.merkle.encodings import format_base64
from atp.merkle.entries import encode_entries
from atp.merkle.frontier import Frontier
from atp.merkle.hashes import complete_root, leaf_hashes
from atp.merkle.keys import SigningKey
from atp.merkle.nodes import TileReader
from atp.merkle.proofs import prove_inclusion
from atp.merkle.ranges import prove_range
from atp.merkle.tiles import EntryBundle, Tile, tile_width, tiles_at

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

KEY = SigningKey.from_seed(bytes(range(32)), name="example.com/acme")
ORIGIN = KEY.name
TENANT = "acme"
BEGIN = datetime(2026, 1, 31, 23, 59, 59, tzinfo=UTC)
_PACKED = {zstd.CompressionParameter.compression_level: 3, zstd.CompressionParameter.checksum_flag: 1}
BATCH_COLUMNS = "(log, first, count, entries, leaves, ids, crc)"
_SCHEMA = """
CREATE TABLE log(number INTEGER PRIMARY KEY, tenant TEXT UNIQUE NOT NULL, origin TEXT UNIQUE NOT NULL,
    created_at TEXT NOT NULL);
CREATE TABLE batch(seq INTEGER PRIMARY KEY AUTOINCREMENT, log INTEGER NOT NULL, first INTEGER NOT NULL,
    count INTEGER NOT NULL, entries BLOB NOT NULL, leaves BLOB NOT NULL, ids BLOB NOT NULL, crc INTEGER NOT NULL);
CREATE UNIQUE INDEX batch_order ON batch(log, first);
CREATE TABLE checkpoint(log INTEGER PRIMARY KEY, size INTEGER NOT NULL, note BLOB NOT NULL);
"""


def instant(number: int) -> str:
    """The time of the `number`th commit group, a tenth of a second apart."""
    return (BEGIN + timedelta(milliseconds=100 * number)).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def event(number: int, *, data: str = '{"amount":12.50}') -> str:
    return (
        f'{{"actor":{{"id":"user-{number % 17}"}},"action":"invoice.approve","id":"event-{number}",'
        f'"resource":{{"id":"invoice-{number * 7919}"}},"outcome":"success","data":{data}}}'
    )


def entry(number: int, *, group: int = 8, sealed: str = "", body: str | None = None) -> bytes:
    """An entry of format 1, as the `number`th of its log; eight each share a commit group and a head."""
    head = f'{{"format":1,"received_at":"{instant(number // group)}","by":"alice",'
    return f'{head}{sealed}{"" if not sealed else ","}"event":{body or event(number)}}}'.encode()


def entries(size: int) -> list[bytes]:
    return [entry(number) for number in range(size)]


def root_of(stored: Sequence[bytes]) -> bytes:
    return Frontier().extended(leaf_hashes(stored)).root


def note(stored: Sequence[bytes], *, key: SigningKey = KEY, origin: str = ORIGIN) -> bytes:
    return sign_checkpoint(Checkpoint(origin, len(stored), root_of(stored)), key)


def tiles_of(stored: Sequence[bytes]) -> dict[Tile, bytes]:
    """Every hash tile, partial ones included."""
    rows = {0: leaf_hashes(stored)}
    found = dict[Tile, bytes]()
    for tile in tiles_at(len(stored)):
        row = rows.setdefault(tile.level, [])
        part = row[tile.index * TILE_WIDTH : tile.index * TILE_WIDTH + tile.width]
        found[tile] = b"".join(part)
        if tile.width == TILE_WIDTH:
            rows.setdefault(tile.level + 1, []).append(complete_root(found[tile]))
    return found


def pack(stored: Sequence[bytes]) -> bytes:
    """A full bundle as a data directory stores it."""
    return b"".join(_frame(stored[at : at + FRAME_ENTRIES]) for at in range(0, TILE_WIDTH, FRAME_ENTRIES))


def _frame(stored: Sequence[bytes]) -> bytes:
    return zstd.compress(encode_entries(stored), options=_PACKED)


def unpack(data: bytes) -> bytes:
    """What any zstd tool makes of a stored bundle."""
    return zstd.decompress(data)


@dataclass(frozen=True, slots=True)
class Place:
    """A data directory of one log."""

    path: Path
    entries: list[bytes]

    @property
    def log(self) -> Path:
        return self.path / "logs" / TENANT

    @property
    def order(self) -> Path:
        return self.path / "order.db"

    def bundle(self, index: int) -> Path:
        return self.log / f"{EntryBundle(index).path}.zst"

    def tile(self, level: int, index: int) -> Path:
        return self.log / Tile(level, index).path

    def change(self, query: str, *values: object) -> None:
        """Change the order behind everybody's back."""
        connection = sqlite3.connect(self.order)
        with connection:
            connection.execute(query, values)
        connection.close()


def write_file(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


def write_place(
    path: Path,
    stored: Sequence[bytes],
    *,
    lingering: int = 0,
    published: int | None = None,
    public: int | None = None,
    batch: int = 50,
    key: SigningKey = KEY,
) -> Place:
    """A data directory after `published` of the entries were signed; `public` of them in the public checkpoint.

    `lingering` entries below the last full bundle are in the order as well; files of full bundles beyond the checkpoint
    are written too, as a crash before the checkpoint leaves them.
    """
    size = len(stored) if published is None else published
    place = Place(path, list(stored))
    write_file(path / "FORMAT", b"2\n")
    write_file(path / "keys" / "log" / f"{TENANT}.key", f"{key.secret()}\n".encode())
    write_file(place.log / "vkey", f"{key.public().vkey}\n".encode())
    for tile, data in tiles_of(stored).items():
        if tile.width == TILE_WIDTH:
            write_file(place.tile(tile.level, tile.index), data)
    for index in range(len(stored) // TILE_WIDTH):
        write_file(place.bundle(index), pack(stored[index * TILE_WIDTH : (index + 1) * TILE_WIDTH]))
    _write_order(place, first=max(0, size - size % TILE_WIDTH - lingering), size=size, batch=batch, key=key)
    write_file(place.log / "checkpoint", note(stored[: size if public is None else public], key=key))
    return place


def _write_order(place: Place, *, first: int, size: int, batch: int, key: SigningKey) -> None:
    connection = sqlite3.connect(place.order)
    connection.executescript(_SCHEMA)
    with connection:
        connection.execute("INSERT INTO log VALUES (1, ?, ?, ?)", (TENANT, ORIGIN, instant(0)))
        for start in range(first, len(place.entries), batch):
            connection.execute(
                f"INSERT INTO batch{BATCH_COLUMNS} VALUES (1, ?, ?, ?, ?, ?, ?)",
                batch_row(start, place.entries[start : start + batch]),
            )
        row = (size, note(place.entries[:size], key=key))
        connection.execute("INSERT INTO checkpoint VALUES (1, ?, ?)", row)
    connection.close()


def batch_row(first: int, stored: Sequence[bytes]) -> tuple[int, int, bytes, bytes, bytes, int]:
    """A row of the order: frames that end where those of the log do, leaf hashes, hashes of ids, and their CRC."""
    cuts = [0, *range(FRAME_ENTRIES - first % FRAME_ENTRIES, len(stored), FRAME_ENTRIES), len(stored)]
    packed = b"".join(_frame(stored[start:stop]) for start, stop in pairwise(cuts))
    leaves = b"".join(leaf_hashes(stored))
    ids = random.Random(first).randbytes(8 * len(stored))
    return first, len(stored), packed, leaves, ids, zlib.crc32(packed + leaves + ids)


def write_tiles(path: Path, stored: Sequence[bytes], *, key: SigningKey = KEY, origin: str = ORIGIN) -> Path:
    """A plain tlog-tiles directory, partial tiles and bundles included."""
    for tile, data in tiles_of(stored).items():
        write_file(path / tile.path, data)
    for index in range(-(-len(stored) // TILE_WIDTH)):
        bundle = EntryBundle(index, tile_width(level=0, index=index, size=len(stored)))
        first = index * TILE_WIDTH
        write_file(path / bundle.path, encode_entries(stored[first : first + bundle.width]))
    write_file(path / "checkpoint", note(stored, key=key, origin=origin))
    write_file(path / "vkey", f"{key.public().vkey}\n".encode())
    return path


def range_files(stored: Sequence[bytes], first: int, stop: int, **manifest: object) -> dict[str, bytes]:
    """The files of a bundle of the range [first, stop)."""
    proof = prove_range(start=first, end=stop, size=len(stored), read_tiles=reader(stored)) if stop > first else []
    lines = ["atp.range-proof/1", f"range {first} {stop}", f"size {len(stored)}", *map(format_base64, proof), ""]
    said = {
        "format": "atp.bundle/1",
        "kind": "range",
        "origin": ORIGIN,
        "tenant": TENANT,
        "size": len(stored),
        "first": first,
        "stop": stop,
        "count": stop - first,
        "asked": {},
        "neighbours": {"before": False, "after": False},
        "completeness": "proven",
    }
    return {
        "bundle.json": json.dumps(said | manifest).encode(),
        "checkpoint": note(stored),
        "vkey": f"{KEY.public().vkey}\n".encode(),
        "entries.ndjson": b"".join(part + b"\n" for part in stored[first:stop]),
        "leaves": b"".join(leaf_hashes(stored[first:stop])),
        "range.proof": "\n".join(lines).encode(),
    }


def selection_files(stored: Sequence[bytes], indexes: Sequence[int], **manifest: object) -> dict[str, bytes]:
    """The files of a bundle of chosen entries."""
    read = reader(stored)
    proofs = [prove_inclusion(index=index, size=len(stored), read_tiles=read) for index in indexes]
    lines = [
        json.dumps({"index": index, "hashes": [format_base64(element) for element in proof]}).encode() + b"\n"
        for index, proof in zip(indexes, proofs, strict=True)
    ]
    said = {
        "format": "atp.bundle/1",
        "kind": "selection",
        "origin": ORIGIN,
        "tenant": TENANT,
        "size": len(stored),
        "first": min(indexes, default=0),
        "stop": max(indexes, default=-1) + 1,
        "count": len(indexes),
        "asked": {"question": {"actor": "user-3"}},
        "scanned": {"first": 0, "stop": len(stored)},
        "completeness": "attested",
    }
    return {
        "bundle.json": json.dumps(said | manifest).encode(),
        "checkpoint": note(stored),
        "vkey": f"{KEY.public().vkey}\n".encode(),
        "entries.ndjson": b"".join(stored[index] + b"\n" for index in indexes),
        "proofs.ndjson": b"".join(lines),
    }


def reader(stored: Sequence[bytes]) -> TileReader:
    tiles = tiles_of(stored)
    return lambda wanted: [tiles[tile] for tile in wanted]


def write_bundle(path: Path, files: dict[str, bytes]) -> Path:
    """The bundle as a directory, or as a .zip when the path ends so."""
    if path.suffix == ".zip":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, data in files.items():
                archive.writestr(name, data)
        return path
    for name, data in files.items():
        write_file(path / name, data)
    return path
