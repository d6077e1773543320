"""Files of a log's directory that its tree does not need: the leftovers of earlier sizes, and what should not exist."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from atp.errors import MalformedError
from atp.limits import TILE_WIDTH
from atp.merkle.tiles import TILE_HEIGHT, EntryBundle, Tile, parse_path, tile_width

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

    Costs a listing of the directory, and 1 µs a file that is needed.
    """
    for folder, names in _folders(directory):
        full = _full_names(folder, size=size, is_packed=is_packed)
        for name in names:
            path = folder + name
            if name in full or path in _KNOWN or path.startswith(_PACKS) or _LEFTOVER in path:
                continue
            stray = Stray(path, _place(path, is_packed=is_packed))
            if not stray.is_part(size):
                yield stray


def _folders(directory: Path) -> Iterator[tuple[str, list[str]]]:
    """Every folder below the directory, as what its files' paths begin with, and the sorted names of its files."""
    for folder, folders, names in os.walk(directory):
        folders.sort()
        below = Path(folder).relative_to(directory).as_posix()
        yield "" if below == "." else f"{below}/", sorted(names)


def _full_names(folder: str, *, size: int, is_packed: bool) -> set[str]:
    """The names of the full tiles or bundles that a tree of `size` has in a folder: at most 1,000."""
    try:
        first = parse_path(f"{folder}000")
    except MalformedError:
        return set()
    suffix = _PACKED if is_packed and isinstance(first, EntryBundle) else ""
    full = (size >> _level(first) * TILE_HEIGHT) // TILE_WIDTH
    return {f"{number:03}{suffix}" for number in range(min(1_000, full - first.index))}


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
    return tile_width(level=_level(place), index=place.index, size=size)


def _level(place: Tile | EntryBundle) -> int:
    return place.level if isinstance(place, Tile) else 0
