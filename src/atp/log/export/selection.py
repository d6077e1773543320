"""Exports the entries that answer a question, each with its own proof; that they are all of them is our word."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, BinaryIO

import msgspec

from atp.limits import PAGE_EVENTS_MAX
from atp.log.export.archive import Archive, Sealed, check_count
from atp.log.export.range import FORMAT
from atp.log.query import Question, ask
from atp.log.reader import LogReader, read_checkpoint
from atp.merkle.encodings import format_base64
from atp.merkle.proofs import prove_inclusion
from atp.merkle.tiles import Tile
from atp.ports.read_models import ReadModels

_TILES_KEPT = 64


def seal_selection(
    place: BinaryIO,
    *,
    question: Question,
    asked: Mapping[str, Any],
    reader: LogReader,
    read_models: ReadModels,
    vkeys: Sequence[str],
) -> Sealed:
    """Write the bundle of all entries that answer the question, however many pages they are; `asked` is how it was put.

    Raises as `ask`, and MissingError when nothing is published yet. About 0.3 ms an entry, and memory for its index.
    """
    archive, found = Archive(place), _Found(question, reader, read_models)
    archive.add("entries.ndjson", found.lines())
    note = reader.checkpoint()  # after the first page, so that it covers every entry that was found
    checkpoint, tiles = read_checkpoint(note), _RecentTiles(reader)
    archive.add("proofs.ndjson", _proofs(found.indexes, size=checkpoint.size, tiles=tiles))
    first, stop = (found.indexes[0], found.indexes[-1] + 1) if found.indexes else (0, 0)
    manifest = {
        "format": FORMAT,
        "kind": "selection",
        "origin": checkpoint.origin,
        "tenant": reader.tenant,
        "size": checkpoint.size,
        "first": first,
        "stop": stop,
        "count": len(found.indexes),
        "asked": {"question": dict(asked)},
        "scanned": {"first": 0, "stop": found.viewed_size},
        "completeness": "attested",
    }
    archive.finish(manifest, note=note, vkeys=vkeys)
    return Sealed(first, stop, len(found.indexes), checkpoint.size)


class _Found:
    """The answers of all pages, oldest first: their lines pass through, their indexes stay."""

    def __init__(self, question: Question, reader: LogReader, read_models: ReadModels) -> None:
        self.indexes = list[int]()
        self.viewed_size = 0
        self._question = replace(question, order="index", limit=PAGE_EVENTS_MAX, cursor=None)
        self._reader = reader
        self._read_models = read_models

    def lines(self) -> Iterator[bytes]:
        question: Question | None = self._question
        while question is not None:
            page = ask(question, tenant=self._reader.tenant, reader=self._reader, read_models=self._read_models)
            self.viewed_size = page.viewed_size
            self.indexes += (index for index, _ in page.events)
            check_count(len(self.indexes), self._reader.tenant)
            yield b"".join(entry + b"\n" for _, entry in page.events)
            question = replace(question, cursor=page.next) if page.next else None


@dataclass(slots=True)
class _RecentTiles:
    """Tiles as the reader gives them, the last ones kept: neighbours' proofs share theirs."""

    reader: LogReader
    kept: dict[Tile, bytes] = field(default_factory=dict)

    def __call__(self, tiles: Sequence[Tile]) -> list[bytes]:
        missing = [tile for tile in tiles if tile not in self.kept]
        if len(self.kept) + len(missing) > _TILES_KEPT:
            self.kept, missing = {}, list(tiles)
        self.kept |= zip(missing, self.reader.tiles(missing), strict=True)
        return [self.kept[tile] for tile in tiles]


def _proofs(indexes: Sequence[int], *, size: int, tiles: _RecentTiles) -> Iterator[bytes]:
    for index in indexes:
        proof = prove_inclusion(index=index, size=size, read_tiles=tiles)
        line = {"index": index, "hashes": [format_base64(element) for element in proof]}
        yield msgspec.json.encode(line) + b"\n"
