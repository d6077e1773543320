"""Inclusion, consistency and subtree proofs, against the reference and against forgers."""

from collections.abc import Sequence

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from atp.errors import MalformedError, TamperedError
from atp.merkle.hashes import EMPTY_ROOT, SIZE_MAX
from atp.merkle.proofs import (
    check_consistency,
    check_inclusion,
    check_subtree,
    check_subtree_inclusion,
    is_subtree,
    prove_consistency,
    prove_inclusion,
    prove_subtree,
    prove_subtree_inclusion,
)
from atp.merkle.tiles import Tile
from tests.merkle.reference import ReferenceTree, numbered

TREE = ReferenceTree(numbered(70_000))
SIZES = st.integers(1, 300) | st.integers(1, 70_000) | st.sampled_from([255, 256, 257, 65_535, 65_536, 65_537])
HASHES = st.binary(min_size=32, max_size=32)
REFUSED = (MalformedError, TamperedError)


@st.composite
def positions(draw: st.DrawFn) -> tuple[int, int]:
    """An index within a size."""
    size = draw(SIZES)
    return draw(st.integers(0, size - 1) | st.just(size - 1)), size


@st.composite
def forged(draw: st.DrawFn, proof: list[bytes]) -> list[bytes]:
    """A proof with one thing wrong: an element changed, added, left out, cut, or two of them swapped."""
    at = draw(st.integers(0, len(proof)))
    before, after = proof[:at], proof[at:]
    forgeries = [[*before, draw(HASHES), *after]]
    if after:
        flipped = bytes([after[0][0] ^ 1 << draw(st.integers(0, 7))]) + after[0][1:]
        forgeries += [[*before, flipped, *after[1:]], [*before, *after[1:]], [*before, after[0][:31], *after[1:]]]
    if len(after) > 1:
        forgeries += [[*before, after[1], after[0], *after[2:]], [*before, after[0] + after[1][:1], after[1][1:]]]
    return draw(st.sampled_from(forgeries))


def test_every_proof_of_small_trees_is_the_one_of_rfc_6962() -> None:
    for size in range(1, 40):
        for index in range(size):
            proof = prove_inclusion(index=index, size=size, read_tiles=TREE.read_tiles)
            assert proof == TREE.path(index, 0, size)
            proof = prove_consistency(old_size=index + 1, size=size, read_tiles=TREE.read_tiles)
            assert proof == TREE.consistency(index + 1, 0, size)


@given(positions())
def test_an_inclusion_proof_holds(position: tuple[int, int]) -> None:
    index, size = position
    proof = prove_inclusion(index=index, size=size, read_tiles=TREE.read_tiles)
    assert proof == TREE.path(index, 0, size)
    check_inclusion(leaf_hash=TREE.leaves[index], index=index, size=size, proof=proof, root=TREE.root(0, size))


@given(positions())
def test_a_consistency_proof_holds(position: tuple[int, int]) -> None:
    old_size, size = position[0] + 1, position[1]
    proof = prove_consistency(old_size=old_size, size=size, read_tiles=TREE.read_tiles)
    assert proof == TREE.consistency(old_size, 0, size)
    old_root, root = TREE.root(0, old_size), TREE.root(0, size)
    check_consistency(old_size=old_size, size=size, old_root=old_root, proof=proof, root=root)


@given(positions())
def test_a_prover_asks_once_for_few_tiles(position: tuple[int, int]) -> None:
    index, size = position
    for old_size in (None, index + 1):
        TREE.requests.clear()
        if old_size is None:
            prove_inclusion(index=index, size=size, read_tiles=TREE.read_tiles)
        else:
            prove_consistency(old_size=old_size, size=size, read_tiles=TREE.read_tiles)
        tiles = [tile for request in TREE.requests for tile in request]
        assert len(TREE.requests) <= 1 and len(set(tiles)) == len(tiles)
        assert all(sum(tile.level == level for tile in tiles) <= 2 for level in range(3))


@given(positions(), st.data())
def test_a_forged_inclusion_proof_is_refused(position: tuple[int, int], data: st.DataObject) -> None:
    index, size = position
    proof = data.draw(forged(TREE.path(index, 0, size)))
    with pytest.raises(TamperedError):
        check_inclusion(leaf_hash=TREE.leaves[index], index=index, size=size, proof=proof, root=TREE.root(0, size))


@given(positions(), st.data())
def test_a_forged_consistency_proof_is_refused(position: tuple[int, int], data: st.DataObject) -> None:
    old_size, size = position[0] + 1, position[1]
    proof = data.draw(forged(TREE.consistency(old_size, 0, size)))
    old_root, root = TREE.root(0, old_size), TREE.root(0, size)
    with pytest.raises(TamperedError):
        check_consistency(old_size=old_size, size=size, old_root=old_root, proof=proof, root=root)


@given(positions(), st.integers(-2, 70_001), HASHES)
def test_a_proof_is_of_one_leaf_at_one_place(position: tuple[int, int], other: int, leaf: bytes) -> None:
    index, size = position
    assume(other != index)
    proof, root = TREE.path(index, 0, size), TREE.root(0, size)
    with pytest.raises(REFUSED):
        check_inclusion(leaf_hash=TREE.leaves[index], index=other, size=size, proof=proof, root=root)
    with pytest.raises(TamperedError):
        check_inclusion(leaf_hash=leaf, index=index, size=size, proof=proof, root=root)
    with pytest.raises(TamperedError):
        check_inclusion(leaf_hash=TREE.leaves[index], index=index, size=size, proof=proof, root=leaf)


@given(positions(), HASHES)
def test_a_rewritten_log_is_not_consistent(position: tuple[int, int], other: bytes) -> None:
    old_size, size = position[0] + 1, position[1]
    proof, old_root, root = TREE.consistency(old_size, 0, size), TREE.root(0, old_size), TREE.root(0, size)
    with pytest.raises(TamperedError):
        check_consistency(old_size=old_size, size=size, old_root=other, proof=proof, root=root)
    with pytest.raises(TamperedError):
        check_consistency(old_size=old_size, size=size, old_root=old_root, proof=proof, root=other)


@pytest.mark.parametrize(("index", "size"), [(0, 0), (1, 1), (-1, 1), (5, 4), (0, SIZE_MAX + 1), (0, -1)])
def test_a_place_that_no_tree_has_is_malformed(index: int, size: int) -> None:
    with pytest.raises(MalformedError):
        check_inclusion(leaf_hash=EMPTY_ROOT, index=index, size=size, proof=[], root=EMPTY_ROOT)


@pytest.mark.parametrize(("old_size", "size"), [(0, 0), (0, 5), (6, 5), (-1, 5)])
def test_sizes_without_a_consistency_proof_are_malformed(old_size: int, size: int) -> None:
    with pytest.raises(MalformedError):
        check_consistency(old_size=old_size, size=size, old_root=EMPTY_ROOT, proof=[], root=EMPTY_ROOT)


def test_a_subtree_is_proven_in_every_small_tree() -> None:
    for size in range(1, 34):
        root = TREE.root(0, size)
        for start, end in ((a, b) for b in range(size + 1) for a in range(b) if is_subtree(start=a, end=b)):
            subtree_root = TREE.root(start, end)
            proof = prove_subtree(start=start, end=end, size=size, read_tiles=TREE.read_tiles)
            check_subtree(start=start, end=end, size=size, subtree_root=subtree_root, proof=proof, root=root)
            index = end - 1
            proof = prove_subtree_inclusion(index=index, start=start, end=end, read_tiles=TREE.read_tiles)
            assert proof == TREE.path(index, start, end)
            leaf = TREE.leaves[index]
            check_subtree_inclusion(
                leaf_hash=leaf, index=index, start=start, end=end, proof=proof, subtree_root=subtree_root
            )


def test_a_damaged_tile_makes_a_proof_that_is_refused() -> None:
    def read_damaged(tiles: Sequence[Tile]) -> list[bytes]:
        return [bytes(32) + content[32:] for content in TREE.read_tiles(tiles)]

    proof = prove_inclusion(index=300, size=1_000, read_tiles=read_damaged)
    with pytest.raises(TamperedError):
        check_inclusion(leaf_hash=TREE.leaves[300], index=300, size=1_000, proof=proof, root=TREE.root(0, 1_000))


def test_a_tile_of_the_wrong_length_is_refused() -> None:
    with pytest.raises(TamperedError, match=r"tile/0/001 .*: it has|could not read tile/0/"):
        prove_inclusion(index=300, size=1_000, read_tiles=lambda tiles: [b"short"] * len(tiles))


def test_a_reader_that_leaves_a_tile_out_is_a_bug() -> None:
    with pytest.raises(AssertionError):
        prove_inclusion(index=300, size=1_000, read_tiles=lambda tiles: TREE.read_tiles(tiles)[1:])
