"""Range proofs: exactly these leaves, at exactly these positions."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atp.errors import MalformedError, TamperedError
from atp.merkle.ranges import check_range, close_range, open_range, prove_range
from tests.merkle.reference import ReferenceTree, numbered

TREE = ReferenceTree(numbered(70_000))


@st.composite
def ranges(draw: st.DrawFn) -> tuple[int, int, int]:
    """Start, end and size of a range that is not empty."""
    size = draw(st.integers(1, 600) | st.integers(1, 70_000))
    start = draw(st.integers(0, size - 1))
    return start, draw(st.integers(start + 1, min(size, start + 1_000))), size


def test_every_range_of_small_trees_is_proven() -> None:
    for size in range(1, 20):
        for start, end in ((a, b) for b in range(1, size + 1) for a in range(b)):
            proof = prove_range(start=start, end=end, size=size, read_tiles=TREE.read_tiles)
            check_range(TREE.leaves[start:end], start=start, size=size, proof=proof, root=TREE.root(0, size))


@given(ranges())
def test_a_range_proof_is_small_and_read_at_once(bounds: tuple[int, int, int]) -> None:
    start, end, size = bounds
    TREE.requests.clear()
    proof = prove_range(start=start, end=end, size=size, read_tiles=TREE.read_tiles)
    check_range(TREE.leaves[start:end], start=start, size=size, proof=proof, root=TREE.root(0, size))
    assert len(proof) <= 2 * size.bit_length()
    tiles = [tile for request in TREE.requests for tile in request]
    assert len(TREE.requests) <= 1
    assert all(sum(tile.level == level for tile in tiles) <= 3 for level in range(3))


@given(ranges(), st.data())
def test_other_leaves_are_not_proven(bounds: tuple[int, int, int], data: st.DataObject) -> None:
    start, end, size = bounds
    proof, root = prove_range(start=start, end=end, size=size, read_tiles=TREE.read_tiles), TREE.root(0, size)
    leaves = TREE.leaves[start:end]
    at = data.draw(st.integers(0, len(leaves) - 1))
    forgeries = [
        [*leaves[:at], bytes(32), *leaves[at + 1 :]],
        [*leaves[:at], *leaves[at + 1 :]],
        [*leaves[:at], leaves[at], *leaves[at:]],
        [*leaves[:at], leaves[at][:31], *leaves[at + 1 :]],
    ]
    if len(leaves) > 1:
        forgeries.append(leaves[::-1])
    for forgery in forgeries:
        with pytest.raises((TamperedError, MalformedError)):
            check_range(forgery, start=start, size=size, proof=proof, root=root)


def test_leaves_of_other_lengths_are_not_proven() -> None:
    proof = prove_range(start=4, end=6, size=9, read_tiles=TREE.read_tiles)
    left, right = TREE.leaves[4:6]
    with pytest.raises(TamperedError, match="has not 32 bytes"):
        check_range([left[:31], left[31:] + right], start=4, size=9, proof=proof, root=TREE.root(0, 9))


@given(ranges(), st.data())
def test_a_forged_range_proof_is_refused(bounds: tuple[int, int, int], data: st.DataObject) -> None:
    start, end, size = bounds
    proof, root = prove_range(start=start, end=end, size=size, read_tiles=TREE.read_tiles), TREE.root(0, size)
    at = data.draw(st.integers(0, len(proof)))
    forgeries = [[*proof[:at], bytes(32), *proof[at:]], [*proof[:at], bytes(32), *proof[at + 1 :]]]
    if proof:
        forgeries += [proof[1:], [proof[0][:31], *proof[1:]]]
    for forgery in forgeries:
        with pytest.raises(TamperedError):
            check_range(TREE.leaves[start:end], start=start, size=size, proof=forgery, root=root)


@given(ranges())
def test_leaves_do_not_move(bounds: tuple[int, int, int]) -> None:
    start, end, size = bounds
    proof, root = prove_range(start=start, end=end, size=size, read_tiles=TREE.read_tiles), TREE.root(0, size)
    for moved in (start + 1, start - 1):
        with pytest.raises((MalformedError, TamperedError)):
            check_range(TREE.leaves[start:end], start=moved, size=size, proof=proof, root=root)


def test_a_range_is_checked_in_batches_and_whole_bundles() -> None:
    start, end, size = 200, 5_000, 60_000
    proof = prove_range(start=start, end=end, size=size, read_tiles=TREE.read_tiles)
    frontier = open_range(proof, start=start, end=end, size=size).extended(TREE.leaves[start:256])
    frontier = frontier.extended([TREE.root(at, at + 256) for at in range(256, 4_864, 256)], level=8)
    frontier = frontier.extended(TREE.leaves[4_864:end])
    close_range(frontier, proof, end=end, size=size, root=TREE.root(0, size))


@pytest.mark.parametrize(("start", "count", "size"), [(0, 0, 5), (5, 1, 5), (-1, 2, 5), (3, 3, 5)])
def test_a_range_that_no_tree_has_is_malformed(start: int, count: int, size: int) -> None:
    with pytest.raises(MalformedError, match="has no range"):
        check_range([bytes(32)] * count, start=start, size=size, proof=[], root=bytes(32))
