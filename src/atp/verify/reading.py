"""Reads entry bundles and the leaf tiles above them: what each says that the bundle's leaves are."""

import struct
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from typing import NamedTuple

from atp.errors import AtpError, MalformedError, MissingError, TamperedError
from atp.limits import TILE_WIDTH
from atp.merkle.entries import decode_entries
from atp.merkle.frontier import Frontier
from atp.merkle.hashes import HASH_BYTES, complete_root, leaf_hashes
from atp.merkle.tiles import EntryBundle, Tile, tile_width
from atp.verify.entry import END, MAY_END, Ending, HeadReader, Heads, read_endings
from atp.verify.report import Finding, Level
from atp.verify.source import Source
from atp.verify.succession import MAY_SUCCEED, Succession, read_successions

_LENGTH, _LENGTH_BYTES = struct.Struct(">H").unpack_from, 2
_END_BYTES = len(END)

Roots = tuple[bytes, ...]
"""The roots of the complete subtrees that leaves are made of, largest first: one for a full tile, else up to eight."""


class Piece(NamedTuple):
    """What to read: the bundles [first, stop) of a log of `size` entries, with their entries or the leaf tiles alone.

    `with_partials` says that the last, partial tile is stored too, `with_events` that entries are parsed.
    """

    source: Source
    first: int
    stop: int
    size: int
    with_entries: bool
    with_partials: bool
    with_events: bool = False


class Reading(NamedTuple):
    """What is stored about one bundle: its leaves after the leaf tile and after the entries, None where unreadable.

    `number` is the index of the bundle, `differs_at` the first position where both are readable and disagree.
    """

    number: int
    width: int
    tile_roots: Roots | None = None
    entry_roots: Roots | None = None
    differs_at: int | None = None
    heads: Heads | None = None
    faults: tuple[Finding, ...] = ()


def read_piece(piece: Piece) -> list[Reading]:
    """Every bundle of a piece, in order. A full one of 256 entries costs 512 hashes; runs in any process."""
    return [_read_stored(piece, index) for index in range(piece.first, piece.stop)]


def find_endings(piece: Piece) -> list[Ending]:
    """The payloads that entries of a piece end."""
    return [one for first, entries in _marked(piece, MAY_END) for one in read_endings(entries, first_index=first)]


def find_successions(piece: Piece) -> list[Succession]:
    """The entries of a piece that let its log go on under another origin."""
    marked = _marked(piece, MAY_SUCCEED)
    return [one for first, entries in marked for one in read_successions(entries, first_index=first)]


def _marked(piece: Piece, mark: bytes) -> Iterator[tuple[int, list[bytes]]]:
    """The bundles of a piece that hold a mark, as first index and entries, if their hashes are those of the leaf tile.

    Costs one search through the bytes. What cannot be read was found before.
    """
    for index in range(piece.first, piece.stop):
        width = tile_width(level=0, index=index, size=piece.size)
        try:
            plain = piece.source.bundle(EntryBundle(index, width))
            if mark in plain:
                entries = decode_entries(plain)
                if b"".join(leaf_hashes(entries)) == piece.source.tile(Tile(0, index, width)):
                    yield index * TILE_WIDTH, entries
        except (MissingError, TamperedError, MalformedError):
            continue


def read_bundle(
    bundle: EntryBundle,
    *,
    tile: bytes | None,
    parts: Iterable[bytes],
    place: str,
    salvage: Callable[[], bytes],
    reader: HeadReader,
) -> Reading:
    """What the hashes of a leaf tile, if there is one, and the entries say; `salvage` is asked where `parts` fails."""
    first = bundle.index * TILE_WIDTH
    hashes, fault = list[bytes](), ""
    try:
        for part in parts:
            _hash_entries(part, first, hashes=hashes, reader=reader)
    except MalformedError as error:
        fault = str(error)
    except TamperedError as error:
        fault, hashes = str(error), []
        with suppress(MalformedError):
            _hash_entries(salvage(), first, hashes=hashes, reader=HeadReader())
    if not fault and len(hashes) != bundle.width:
        fault = f"it holds {len(hashes)} entries instead of {bundle.width}"
    packed = b"".join(hashes)
    tile_roots = None if tile is None else _roots(tile)
    differs_at = None if tile is None or packed == tile else _first_difference(packed, tile)
    if fault:
        at = len(hashes) if differs_at is None else differs_at
        found = Finding("payload", place, fault, first + min(at, bundle.width - 1), first + bundle.width)
        return Reading(bundle.index, bundle.width, tile_roots, faults=(found,))
    entry_roots = tile_roots if packed == tile else _roots(packed)
    heads = reader.heads(first_index=first)
    return Reading(bundle.index, bundle.width, tile_roots, entry_roots, differs_at, heads)


def _read_stored(piece: Piece, index: int) -> Reading:
    source, width = piece.source, tile_width(level=0, index=index, size=piece.size)
    bundle, tile = EntryBundle(index, width), Tile(0, index, width)
    place = source.bundle_path(bundle)
    faults, hashes = list[Finding](), None
    if width == TILE_WIDTH or piece.with_partials:
        try:
            hashes = source.tile(tile)
        except (MissingError, TamperedError) as error:
            faults.append(_fault("structure", tile.path, error, bundle))
    if not piece.with_entries:
        return Reading(index, width, None if hashes is None else _roots(hashes), faults=tuple(faults))
    try:
        parts = source.parts(bundle)
        read = read_bundle(
            bundle,
            tile=hashes,
            parts=parts,
            place=place,
            salvage=lambda: source.salvage(bundle),
            reader=HeadReader(with_events=piece.with_events),
        )
    except MissingError as error:
        faults.append(_fault("payload", place, error, bundle))
        return Reading(index, width, None if hashes is None else _roots(hashes), faults=tuple(faults))
    return read._replace(faults=(*faults, *read.faults)) if faults else read


def _hash_entries(part: bytes, first: int, *, hashes: list[bytes], reader: HeadReader) -> None:
    """Adds the leaf hash of each entry of a part, and has it read; MalformedError when the part is cut off.

    Every byte of a log goes through here: it is hashed where it lies, while it is in the cache. What follows the first
    entry that is too many is left.
    """
    entries, view, length = list[memoryview](), memoryview(part), _LENGTH
    at, end, begin = 0, len(part), first + len(hashes)
    index = begin
    try:
        for index in range(begin, first + TILE_WIDTH + 1):
            if at == end:
                break
            start = at + _LENGTH_BYTES
            at = start + length(part, at)[0]
            if at > end:
                raise MalformedError(f"it is cut off within entry {index}")
            if not (part.startswith(reader.head, start, at) and part[at - _END_BYTES : at] == END):
                reader.read(part[start:at], index)
            entries.append(view[start:at])
    except struct.error:
        raise MalformedError(f"it is cut off within the length of entry {index}") from None
    finally:
        hashes += leaf_hashes(entries)
    if reader.with_events:
        reader.read_events(entries, begin)


def _fault(level: Level, place: str, error: AtpError, bundle: EntryBundle) -> Finding:
    first = bundle.index * TILE_WIDTH
    return Finding(level, place, str(error), first, first + bundle.width)


def _roots(packed: bytes) -> Roots:
    if len(packed) == TILE_WIDTH * HASH_BYTES:
        return (complete_root(packed),)
    return Frontier().extended([packed[at : at + HASH_BYTES] for at in range(0, len(packed), HASH_BYTES)]).roots


def _first_difference(one: bytes, other: bytes) -> int:
    """The position of the first hash that differs, or that only one of them has."""
    for at in range(0, max(len(one), len(other)), HASH_BYTES):
        if one[at : at + HASH_BYTES] != other[at : at + HASH_BYTES]:
            return at // HASH_BYTES
    raise AssertionError("they differ")
