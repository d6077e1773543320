"""Files that a tree does not need are listed, and no others, whatever its size."""

from pathlib import Path

import pytest

from atp.limits import TILE_WIDTH
from atp.merkle.tiles import EntryBundle, Tile, tiles_at
from atp.verify.strays import stray_files
from tests.verify.stored import write_file

SIZES = [0, 1, 255, 256, 257, 65_536, 65_537, 255_999, 256_000, 256_300, 290_000]


def names_at(size: int, *, is_packed: bool) -> set[str]:
    """The files of a log of `size` entries: packed bundles and full tiles, or all of them plain."""
    found = set[str]()
    for tile in tiles_at(size):
        if tile.width == TILE_WIDTH or not is_packed:
            found.add(tile.path)
            if tile.level == 0:
                found.add(EntryBundle(tile.index, tile.width).path + (".zst" if is_packed else ""))
    return found


@pytest.mark.slow
@pytest.mark.parametrize("is_packed", [False, True])
def test_what_a_larger_tree_needs_is_a_stray_of_a_smaller_one(is_packed: bool, tmp_path: Path) -> None:
    written = set[str]()
    for size in SIZES:
        needed = names_at(size, is_packed=is_packed)
        for name in needed - written:
            write_file(tmp_path / name, b"")
        written |= needed
        for smaller in (size, size // 2, size - 1):
            strays = list(stray_files(tmp_path, size=max(0, smaller), is_packed=is_packed))
            assert {stray.name for stray in strays} == written - names_at(max(0, smaller), is_packed=is_packed)
            assert all(stray.place is not None and not stray.is_part(smaller) for stray in strays)


@pytest.mark.parametrize(
    "name",
    ["tile/0/00", "tile/0/0000", "tile/0/x000/001", "tile/0/256.zst", "tile/entries/000", "tile/00/000", "000"],
)
def test_a_name_that_is_spelled_otherwise_is_a_stray(name: str, tmp_path: Path) -> None:
    write_file(tmp_path / name, b"")
    (stray,) = stray_files(tmp_path, size=1 << 30, is_packed=True)
    assert (stray.name, stray.place) == (name, None)


def test_a_stray_of_a_smaller_tree_may_be_part_of_a_larger_one(tmp_path: Path) -> None:
    write_file(tmp_path / Tile(0, 3).path, b"")
    (stray,) = stray_files(tmp_path, size=1_023, is_packed=True)
    assert stray.is_part(1_024) and not stray.is_part(1_023)
