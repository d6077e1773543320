"""Tiles (C2SP tlog-tiles): where the hashes and the entries of a tree lie, and what those places are called.

A hash tile is up to 256 hashes of 32 bytes, one behind the other; tile (level, index) holds the roots of complete
subtrees of 256**level leaves. An entry bundle holds the entries below one tile of level 0. A tile that is not full yet
is a partial one; it is a prefix of the full one.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from atp.errors import MalformedError
from atp.limits import TILE_WIDTH
from atp.merkle.hashes import HASH_BYTES, SIZE_MAX

TILE_HEIGHT = 8
TILE_LEVEL_MAX = 63
_PATH = re.compile(r"tile/(entries|0|[1-9][0-9]?)/((?:x[0-9]{3}/){0,6}[0-9]{3})(?:\.p/([1-9][0-9]{0,2}))?")

assert 1 << TILE_HEIGHT == TILE_WIDTH, "a tile is a complete tree of its height"


@dataclass(frozen=True, slots=True)
class Tile:
    """The place of a hash tile: its level, its index within the level, and how many hashes it holds (1 to 256)."""

    level: int
    index: int
    width: int = TILE_WIDTH

    @property
    def path(self) -> str:
        """Where a log serves it, below its prefix: `tile/<L>/<N>[.p/<W>]`."""
        return f"tile/{self.level}/{_format_index(self.index)}{_format_width(self.width)}"

    @property
    def bytes_total(self) -> int:
        """How many bytes the tile has; there is no header."""
        return self.width * HASH_BYTES


@dataclass(frozen=True, slots=True)
class EntryBundle:
    """The place of an entry bundle: its index, and how many entries it holds (1 to 256)."""

    index: int
    width: int = TILE_WIDTH

    @property
    def path(self) -> str:
        """Where a log serves it, below its prefix: `tile/entries/<N>[.p/<W>]`."""
        return f"tile/entries/{_format_index(self.index)}{_format_width(self.width)}"


def parse_path(path: str) -> Tile | EntryBundle:
    """The place that a path names; raises MalformedError for all but its one canonical spelling."""
    match = _PATH.fullmatch(path)
    if not match:
        raise MalformedError(_refusal(path), hint="tile/<level>/<index> or tile/entries/<index>, then .p/<width>")
    index = int(match[2].replace("x", "").replace("/", ""))
    width = int(match[3] or TILE_WIDTH)
    place = EntryBundle(index, width) if match[1] == "entries" else Tile(int(match[1]), index, width)
    # Formatting again catches x000/005 and .p/256, which name places that have another spelling.
    if place.path != path or index > SIZE_MAX or (isinstance(place, Tile) and place.level > TILE_LEVEL_MAX):
        raise MalformedError(_refusal(path), hint=f"no leading groups x000, width 1-255, level 0-{TILE_LEVEL_MAX}")
    return place


def tile_width(*, level: int, index: int, size: int) -> int:
    """How many hashes a tile holds when the tree has `size` leaves: 0 (it is not there) to 256 (full)."""
    return min(TILE_WIDTH, max(0, (size >> level * TILE_HEIGHT) - index * TILE_WIDTH))


def tiles_at(size: int) -> Iterator[Tile]:
    """Every hash tile of a tree of `size` leaves, level by level. Costs size / 255 steps."""
    return tiles_between(old_size=0, new_size=size)


def tiles_between(*, old_size: int, new_size: int) -> Iterator[Tile]:
    """The hash tiles that a tree has to write when it grows, level by level: those that are new, or wider than before.

    The entry bundles to write have the indexes and widths of level 0.
    """
    assert 0 <= old_size <= new_size <= SIZE_MAX, "a log only grows"
    level = 0
    while new_size >> level * TILE_HEIGHT:
        old_count, new_count = old_size >> level * TILE_HEIGHT, new_size >> level * TILE_HEIGHT
        if new_count > old_count:
            for index in range(old_count // TILE_WIDTH, -(-new_count // TILE_WIDTH)):
                yield Tile(level, index, tile_width(level=level, index=index, size=new_size))
        level += 1


def _format_index(index: int) -> str:
    """Groups of three digits, all but the last behind an x: 1234067 is x001/x234/067."""
    digits = str(index)
    digits = digits.zfill(-(-len(digits) // 3) * 3)
    groups = [digits[at : at + 3] for at in range(0, len(digits), 3)]
    return "/".join([*(f"x{group}" for group in groups[:-1]), groups[-1]])


def _format_width(width: int) -> str:
    return "" if width == TILE_WIDTH else f".p/{width}"


def _refusal(path: str) -> str:
    return f"could not read the tile path {path[:100]!r}: it names no tile and no entry bundle"
