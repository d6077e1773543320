"""Reads entry bundles and the leaf tiles above them: what each says that the bundle's leaves are."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from atp.errors import AtpError, MalformedError, MissingError, TamperedError
from atp.limits import TILE_WIDTH
from atp.merkle.entries import decode_entries
from atp.merkle.frontier import Frontier
from atp.merkle.hashes import HASH_BYTES, complete_root, leaf_hashes
from atp.merkle.tiles import EntryBundle, Tile, tile_width
from atp.verify.entry import Heads, read_heads
from atp.verify.report import Finding, Level
from atp.verify.source import Source

Roots = tuple[bytes, ...]
"""The roots of the complete subtrees that leaves are made of, largest first: one for a full tile, else up to eight."""


class Piece(NamedTuple):
    """What to read: the bundles [first, stop) of a log of `size` entries, with their entries or the leaf tiles alone.

    `with_tiles` is False where only entries are at hand; `with_partials` where the last, partial tile is stored too.
    """

    source: Source
    first: int
    stop: int
    size: int
    with_entries: bool
    with_partials: bool


@dataclass(frozen=True, slots=True)
class Reading:
    """What is stored about one bundle: its leaves after the leaf tile and after the entries, None where unreadable.

    `differs_at` is the first position where both are readable and disagree.
    """

    index: int
    width: int
    tile_roots: Roots | None = None
    entry_roots: Roots | None = None
    differs_at: int | None = None
    heads: Heads | None = None
    bytes_total: int = 0
    faults: tuple[Finding, ...] = ()


def read_piece(piece: Piece) -> list[Reading]:
    """Every bundle of a piece, in order. A full one of 256 entries costs 512 hashes; runs in any process."""
    return [_read_stored(piece, index) for index in range(piece.first, piece.stop)]


def read_bundle(
    bundle: EntryBundle, *, tile: bytes | None, plain: bytes | None, place: str, faults: Sequence[Finding] = ()
) -> Reading:
    """What the hashes of a leaf tile and the bytes of a bundle say; either may be None."""
    first = bundle.index * TILE_WIDTH
    found = list(faults)
    tile_roots = None if tile is None else _roots(tile)
    if plain is None:
        return Reading(bundle.index, bundle.width, tile_roots, faults=tuple(found))
    try:
        entries = decode_entries(plain)
    except MalformedError as error:
        found.append(Finding("payload", place, str(error), first, first + bundle.width))
        return Reading(bundle.index, bundle.width, tile_roots, faults=tuple(found))
    if len(entries) != bundle.width:
        reason = f"it holds {len(entries)} entries instead of {bundle.width}"
        found.append(Finding("payload", place, reason, first + min(len(entries), bundle.width), first + bundle.width))
    packed = b"".join(leaf_hashes(entries))
    differs_at = None if tile is None or packed == tile else _first_difference(packed, tile)
    if packed == tile:
        entry_roots = tile_roots
    else:
        entry_roots = _roots(packed) if len(entries) == bundle.width else None
    heads = read_heads(entries, first_index=first, plain=plain)
    return Reading(
        bundle.index, bundle.width, tile_roots, entry_roots, differs_at, heads, len(plain), tuple(found)
    )


def _read_stored(piece: Piece, index: int) -> Reading:
    width = tile_width(level=0, index=index, size=piece.size)
    bundle, tile = EntryBundle(index, width), Tile(0, index, width)
    place = piece.source.bundle_path(bundle)
    faults, hashes, plain = list[Finding](), None, None
    if width == TILE_WIDTH or piece.with_partials:
        try:
            hashes = piece.source.tile(tile)
        except (MissingError, TamperedError) as error:
            faults.append(_fault("structure", tile.path, error, bundle))
    if piece.with_entries:
        try:
            plain = piece.source.bundle(bundle)
        except (MissingError, TamperedError, MalformedError) as error:
            faults.append(_fault("payload", place, error, bundle))
    return read_bundle(bundle, tile=hashes, plain=plain, place=place, faults=faults)


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
