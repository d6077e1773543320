"""Files of a log's directory that its tree does not need: the leftovers of earlier sizes, and what should not exist."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from atp.errors import MalformedError
from atp.merkle.tiles import EntryBundle, Tile, parse_path, tile_width

_PACKED = ".zst"
_LEFTOVER = ".tmp"
_KNOWN = ("checkpoint", "vkey")
_PACKS = "packs/"


class Stray(NamedTuple):
    """A file that the tree of this size does not need; `place` is None when its name is no tile's or bundle's."""

    name: str
    place: Tile | EntryBundle | None

    def is_part(self, size: int) -> bool:
        """Whether a tree of `size` entries, perhaps larger than when it was listed, needs it."""
        return self.place is not None and _width(self.place, size=size) == self.place.width

    def is_within(self, size: int) -> bool:
        """Whether it is an older, partial form of something that a tree of `size` has."""
        return self.place is not None and self.place.width < _width(self.place, size=size)


def stray_files(directory: Path, *, size: int, is_packed: bool) -> Iterator[Stray]:
    """Every file that a log of `size` entries does not need, leftovers of interrupted writes (`.tmp`) apart.

    Costs a listing of the directory.
    """
    for name in _names(directory):
        if name in _KNOWN or name.startswith(_PACKS) or _LEFTOVER in name:
            continue
        place = _place(name, is_packed=is_packed)
        stray = Stray(name, place)
        if not stray.is_part(size):
            yield stray


def _names(directory: Path) -> Iterator[str]:
    for folder, folders, files in os.walk(directory):
        folders.sort()
        for file in sorted(files):
            yield Path(folder, file).relative_to(directory).as_posix()


def _place(name: str, *, is_packed: bool) -> Tile | EntryBundle | None:
    is_bundle = name.startswith("tile/entries/")
    path = name.removesuffix(_PACKED) if is_packed and is_bundle else name
    if is_packed and is_bundle and path == name:
        return None
    try:
        place = parse_path(path)
    except MalformedError:
        return None
    return None if is_packed and ".p/" in path else place


def _width(place: Tile | EntryBundle, *, size: int) -> int:
    """How many hashes or entries a tree of `size` has at a place."""
    level = place.level if isinstance(place, Tile) else 0
    return tile_width(level=level, index=place.index, size=size)
