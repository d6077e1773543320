"""Tile paths, tiles and bundles against those of Tessera, Sunlight and the C2SP text."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from atp.errors import MalformedError
from atp.merkle.checkpoints import open_checkpoint
from atp.merkle.edge import Edge
from atp.merkle.entries import decode_entries, encode_entries
from atp.merkle.frontier import Frontier
from atp.merkle.hashes import HASH_BYTES, complete_root, leaf_hashes
from atp.merkle.keys import parse_vkey
from atp.merkle.nodes import Node, read_nodes
from atp.merkle.proofs import check_consistency, check_inclusion, prove_consistency, prove_inclusion
from atp.merkle.tiles import EntryBundle, Tile, parse_path, tile_width, tiles_at
from tests.vectors.foreign import read


def test_tile_paths_are_spelled_as_elsewhere(shared: Path) -> None:
    vectors = read(shared, "tlog-tiles/paths.json")
    for level, index, width, path in vectors["tile_path"]:
        assert Tile(level, index, width or 256).path == path
    for index, width, path in vectors["entries_path"]:
        assert EntryBundle(index, width or 256).path == path
    for entry, size, path in vectors["entries_path_for_index"]:
        assert EntryBundle(entry // 256, tile_width(level=0, index=entry // 256, size=size)).path == path


def test_tile_paths_are_read_and_refused_as_elsewhere(shared: Path) -> None:
    for case in read(shared, "tlog-tiles/paths.json")["parse"]:
        path = f"tile/{case['level']}/{case['index']}"
        if "want" in case:
            level, index, width = case["want"]
            assert parse_path(path) == Tile(level, index, width or 256)
        else:
            with pytest.raises(MalformedError):
                parse_path(path)


def test_tile_paths_of_the_go_checksum_database_name_no_tile(shared: Path) -> None:
    paths = read(shared, "tlog-tiles/paths.json")["go_sumdb_tile_paths"]
    for path in paths["valid"] + paths["invalid"]:
        with pytest.raises(MalformedError):
            parse_path(path)


def test_a_node_lies_in_the_tile_where_others_look_for_it(shared: Path) -> None:
    leaves = [number.to_bytes(HASH_BYTES, "big") for number in range(512)]
    asked = list[Tile]()

    def read_tiles(tiles: Sequence[Tile]) -> list[bytes]:
        asked.extend(tiles)
        return [b"".join(leaves[tile.index * 256 :][: tile.width]) for tile in tiles]

    for case in read(shared, "tlog-tiles/paths.json")["node_to_tile"]:
        (level, index), (tile_level, tile_index), (level_within, index_within) = case.values()
        root = read_nodes([Node(level, index)], size=512, read_tiles=read_tiles)[0]
        place = asked.pop()
        assert (place.level, place.index) == (tile_level, tile_index)
        first = (tile_index * 256) + (index_within << level_within)
        assert root == complete_root(b"".join(leaves[first : first + (1 << level_within)]))


def test_the_bundles_of_a_range_are_as_wide_as_elsewhere(shared: Path) -> None:
    for case in read(shared, "tlog-tiles/paths.json")["range"]:
        for part in case["want"]:
            width = tile_width(level=0, index=part["index"], size=case["size"])
            assert width == (part["partial"] or 256)


def test_bundles_are_read_and_refused_as_elsewhere(shared: Path) -> None:
    for case in read(shared, "tlog-tiles/paths.json")["entry_bundle_unmarshal"]:
        bundle = bytes.fromhex(case["hex"])
        if case["ok"]:
            assert [entry.hex() for entry in decode_entries(bundle)] == case["entries_hex"]
        else:
            with pytest.raises(MalformedError):
                decode_entries(bundle)


def test_the_tiles_of_a_size_are_those_of_the_specification(shared: Path) -> None:
    for case in read(shared, "tlog-tiles/paths.json")["spec_text_examples"]["cases"]:
        tiles = list(tiles_at(case["size"]))
        assert {str(tile.level) for tile in tiles} == case["tiles"].keys()
        for level, expected in case["tiles"].items():
            found = [tile.width for tile in tiles if tile.level == int(level)]
            assert found == [256] * expected["full"] + [expected["partial"]] * (expected["partial"] > 0)


def test_a_whole_tessera_log_is_rebuilt_byte_for_byte(shared: Path) -> None:
    log = shared / "vectors/tlog-tiles/tessera-testdata-log"
    key = parse_vkey((shared / "vectors/tlog-tiles/tessera-testdata-log.vkey").read_text().strip())
    entries = decode_entries((log / "tile/entries/000.p/15").read_bytes())
    leaves = leaf_hashes(entries)
    opened = [
        open_checkpoint((log / f"checkpoint.{size}").read_bytes(), origin=key.name, log_keys=[key]).checkpoint
        for size in range(16)
    ]
    made = set[Path]()
    for size, checkpoint in enumerate(opened):
        assert (checkpoint.size, checkpoint.root) == (size, Frontier().extended(leaves[:size]).root)
        for tile in tiles_at(size):
            bundle = EntryBundle(tile.index, tile.width)
            assert (log / tile.path).read_bytes() == b"".join(leaves[:size])
            assert (log / bundle.path).read_bytes() == encode_entries(entries[:size])
            made |= {log / tile.path, log / bundle.path}
    assert made == {path for path in (log / "tile").rglob("*") if path.is_file()}
    assert (log / "checkpoint").read_bytes() == (log / "checkpoint.15").read_bytes()


def test_proofs_are_made_from_the_tiles_of_a_tessera_log(shared: Path) -> None:
    log = shared / "vectors/tlog-tiles/tessera-testdata-log"
    leaves = leaf_hashes(decode_entries((log / "tile/entries/000.p/15").read_bytes()))
    roots = [Frontier().extended(leaves[:size]).root for size in range(16)]

    def read_tiles(tiles: Sequence[Tile]) -> list[bytes]:
        return [(log / tile.path).read_bytes() for tile in tiles]

    for size in range(1, 16):
        for index in range(size):
            proof = prove_inclusion(index=index, size=size, read_tiles=read_tiles)
            check_inclusion(leaf_hash=leaves[index], index=index, size=size, proof=proof, root=roots[size])
            proof = prove_consistency(old_size=index + 1, size=size, read_tiles=read_tiles)
            check_consistency(old_size=index + 1, size=size, old_root=roots[index + 1], proof=proof, root=roots[size])


def test_a_mirrored_log_of_300_entries_is_rebuilt_byte_for_byte(shared: Path) -> None:
    log = shared / "vectors/tlog-tiles/skylight-mirror-300"
    mirror = parse_vkey("mirror.example.org+3fb148ef+BAAjjch9GyYz0sJsJx7ALhbdAtz2ov0unbzSl1vMp94O")
    leaves = leaf_hashes(f"record {number}".encode() for number in range(300))
    data = (log / "checkpoint").read_bytes()
    checkpoint = open_checkpoint(data, origin="rome2026h1.example.org", log_keys=[mirror]).checkpoint
    edge, full = Edge().extended(leaves)
    assert checkpoint.size == 300 and checkpoint.root == edge.root == Frontier().extended(leaves).root
    rebuilt = {tile.path: content for tile, content in full.items()}
    for level, hashes in enumerate(edge.partials):
        rebuilt[Tile(level, len(full) if level == 0 else 0, len(hashes)).path] = b"".join(hashes)
    files = {str(path.relative_to(log)): path.read_bytes() for path in (log / "tile").rglob("*") if path.is_file()}
    assert rebuilt == files


def test_a_partial_tile_of_a_production_log_is_a_prefix_of_the_full_one(shared: Path) -> None:
    tiles = shared / "vectors/tlog-tiles/navigli2025h2-static-ct"
    full, partial = Tile(0, 3), Tile(0, 3, 10)
    content = (tiles / full.path).read_bytes()
    assert len(content) == full.bytes_total
    assert (tiles / partial.path).read_bytes() == content[: partial.bytes_total]
