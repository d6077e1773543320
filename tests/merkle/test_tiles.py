"""Tile paths, which tiles exist, and entry bundles."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atp.errors import MalformedError
from atp.merkle.entries import decode_entries, encode_entries
from atp.merkle.hashes import SIZE_MAX
from atp.merkle.tiles import EntryBundle, Tile, parse_path, tile_width, tiles_at, tiles_between

widths, indexes = st.integers(1, 256), st.integers(0, SIZE_MAX)
places = st.builds(Tile, st.integers(0, 63), indexes, widths) | st.builds(EntryBundle, indexes, widths)
sizes = st.integers(0, 200_000)


@given(places)
def test_a_path_names_one_place(place: Tile | EntryBundle) -> None:
    assert parse_path(place.path) == place


@pytest.mark.parametrize(
    "path",
    [
        "",
        "tile/0",
        "tile/0/",
        "tile/0/1",
        "tile/0/0001",
        "tile/0/000/",
        "/tile/0/000",
        "tile/0/000\n",
        "tile/00/000",
        "tile/64/000",
        "tile/+1/000",
        "tile/0/x000/001",
        "tile/0/x001",
        "tile/0/001/x002",
        "tile/0/000.p/0",
        "tile/0/000.p/256",
        "tile/0/000.p/01",
        "tile/0/000.p/1/",
        "tile/0/000.p",
        "tile/0/٠٠٠",
        "tile/0/../000",
        "tile/data/000",
        "tile/8/0/000",
        "tile/8/data/000",
        "tile/entries/-01",
        "tile/0/x999/x999/x999/x999/x999/x999/999",
        "tile/0/x009/x223/x372/x036/x854/x775/808",
    ],
)
def test_another_spelling_is_no_path(path: str) -> None:
    with pytest.raises(MalformedError, match="could not read the tile path"):
        parse_path(path)


@given(st.text("tile/entriesx0159.p-", max_size=40) | st.text(max_size=40))
def test_any_path_is_read_or_refused(path: str) -> None:
    with suppress(MalformedError):
        assert parse_path(path).path == path


@given(sizes)
def test_the_tiles_of_a_tree_hold_each_complete_subtree_once(size: int) -> None:
    tiles = list(tiles_at(size))
    assert len(set(tiles)) == len(tiles)
    for level in range(4):
        widths = [tile.width for tile in tiles if tile.level == level]
        assert sum(widths) == size // 256**level
        assert all(width == 256 for width in widths[:-1])
    assert all(tile.width == tile_width(level=tile.level, index=tile.index, size=size) for tile in tiles)


@given(sizes, sizes)
def test_growth_writes_what_was_not_there(one: int, other: int) -> None:
    old_size, new_size = sorted((one, other))
    expected = set(tiles_at(new_size)) - set(tiles_at(old_size))
    written = list(tiles_between(old_size=old_size, new_size=new_size))
    assert set(written) == expected and len(written) == len(expected)


def test_a_tile_beyond_the_tree_has_no_width() -> None:
    assert tile_width(level=0, index=2, size=512) == 0
    assert tile_width(level=9, index=0, size=512) == 0


@given(st.lists(st.binary(max_size=300), max_size=256))
def test_a_bundle_gives_back_its_entries(entries: list[bytes]) -> None:
    assert decode_entries(encode_entries(entries)) == entries


def test_an_entry_has_up_to_65535_bytes() -> None:
    entries = [b"x" * 65_535, b"", b"y"]
    assert decode_entries(encode_entries(entries)) == entries
    with pytest.raises(AssertionError):
        encode_entries([b"x" * 65_536])


def test_a_bundle_holds_at_most_256_entries() -> None:
    with pytest.raises(MalformedError, match="more than 256"):
        decode_entries(encode_entries([b""] * 257))


@given(st.lists(st.binary(max_size=9), min_size=1, max_size=9), st.data())
def test_a_bundle_that_was_cut_off_is_refused_or_shorter(entries: list[bytes], data: st.DataObject) -> None:
    bundle = encode_entries(entries)
    cut = bundle[: data.draw(st.integers(0, len(bundle) - 1))]
    with suppress(MalformedError):
        assert decode_entries(cut) == entries[: len(decode_entries(cut))] != entries


@given(st.binary(max_size=600))
def test_any_bundle_is_read_exactly_or_refused(bundle: bytes) -> None:
    with suppress(MalformedError):
        assert encode_entries(decode_entries(bundle)) == bundle
