"""Hashes and the two right edges, against the reference."""

from hypothesis import given
from hypothesis import strategies as st

from atp.merkle.edge import Edge
from atp.merkle.frontier import Frontier
from atp.merkle.hashes import EMPTY_ROOT, complete_root, leaf_hash, leaf_hashes, leaf_hashes_held, node_hash
from atp.merkle.tiles import Tile
from tests.merkle.reference import ReferenceTree, numbered

TREE = ReferenceTree(numbered(1_100))


def test_an_empty_entry_is_not_an_empty_tree() -> None:
    assert EMPTY_ROOT.hex() == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    assert leaf_hash(b"").hex() == "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d"
    assert leaf_hashes([b"", b""]) == [leaf_hash(b"")] * 2


@given(st.lists(st.integers(0, 9_000) | st.sampled_from([2_046, 2_047, 2_048, 4_094, 4_095])))
def test_entries_hashed_in_pieces_have_the_same_leaves(sizes: list[int]) -> None:
    entries = [bytes(number % 251 for number in range(size)) for size in sizes]
    assert leaf_hashes_held(entries) == leaf_hashes(entries)


@given(st.lists(st.binary(max_size=3_000)))
def test_entries_are_hashed_where_they_lie(entries: list[bytes]) -> None:
    joined, at, views = memoryview(b"".join(entries)), 0, list[memoryview]()
    for entry in entries:
        views.append(joined[at : at + len(entry)])
        at += len(entry)
    assert leaf_hashes(views) == leaf_hashes(entries) == [leaf_hash(entry) for entry in entries]


def test_an_entry_cannot_pass_for_a_node() -> None:
    left, right = TREE.leaves[:2]
    assert leaf_hash(left + right) != node_hash(left=left, right=right) == TREE.root(0, 2)


def test_a_complete_root_is_the_root_of_its_leaves() -> None:
    for height in range(9):
        assert complete_root(b"".join(TREE.leaves[: 2**height])) == TREE.root(0, 2**height)


def test_a_frontier_has_the_root_of_every_size() -> None:
    frontier = Frontier()
    for size in range(1_100):
        assert frontier.root == TREE.root(0, size)
        frontier = frontier.extended([TREE.leaves[size]])


@given(st.lists(st.integers(0, 300), max_size=8))
def test_a_frontier_does_not_depend_on_how_leaves_were_batched(batches: list[int]) -> None:
    frontier = Frontier()
    for batch in batches:
        before = frontier
        frontier = frontier.extended(TREE.leaves[frontier.size : frontier.size + batch])
        assert before.root == TREE.root(0, before.size)
    assert frontier == Frontier().extended(TREE.leaves[: frontier.size])
    assert frontier.root == TREE.root(0, frontier.size)


@given(st.integers(0, 7), st.integers(0, 4), st.integers(0, 4))
def test_a_frontier_takes_whole_subtrees(level: int, before: int, count: int) -> None:
    length = 1 << level
    subtrees = [TREE.root(at * length, (at + 1) * length) for at in range(before, before + count)]
    frontier = Frontier().extended(TREE.leaves[: before * length]).extended(subtrees, level=level)
    assert frontier == Frontier().extended(TREE.leaves[: (before + count) * length])


@given(st.lists(st.integers(0, 400), max_size=6))
def test_an_edge_gives_out_each_full_tile_once(batches: list[int]) -> None:
    edge, written = Edge(), dict[Tile, bytes]()
    for batch in batches:
        edge, full = edge.extended(TREE.leaves[edge.size : edge.size + batch])
        assert not written.keys() & full.keys()
        written |= full
    assert edge.root == TREE.root(0, edge.size)
    assert written == {tile: TREE.tile(tile) for tile in (Tile(0, index) for index in range(edge.size // 256))}
