"""Range proofs: that exactly these leaves stand at these positions of a tree, in at most 2 * log2(size) hashes.

The proof holds the roots of the complete subtrees that cover the leaves left of the range, then of those right of it,
in the order of the leaves. With the leaves between them they are the whole tree, and its root follows. So an export of
a million entries carries one proof instead of a million, and the checker reads it in one pass:

    frontier = open_range(proof, start=start, end=end, size=size)
    frontier = frontier.extended(some_leaf_hashes)       # as often as needed; whole subtrees too
    close_range(frontier, proof, end=end, size=size, root=root)

Size and root must come from one verified checkpoint: a proof does not tell the size.
"""

from collections.abc import Sequence

from atp.errors import MalformedError, TamperedError
from atp.merkle.frontier import Frontier
from atp.merkle.hashes import HASH_BYTES, SIZE_MAX
from atp.merkle.nodes import Span, TileReader, complete_nodes, read_nodes


def prove_range(*, start: int, end: int, size: int, read_tiles: TileReader) -> list[bytes]:
    """Proves which leaves stand at [start, end) of the tree of `size` leaves: at most 126 hashes.

    Positions outside the tree, and an empty range, are the caller's mistake. One request, at most three tiles a level.
    """
    assert 0 <= start < end <= size <= SIZE_MAX, "a proof is about leaves that exist"
    nodes = complete_nodes(Span(0, start)) + complete_nodes(Span(end, size))
    return read_nodes(nodes, size=size, read_tiles=read_tiles)


def check_range(leaf_hashes: Sequence[bytes], *, start: int, size: int, proof: Sequence[bytes], root: bytes) -> None:
    """Refuses a proof that `leaf_hashes` are the leaves from `start` on in the tree of `size` leaves.

    Raises MalformedError for a range that is empty or outside of the tree, TamperedError for a proof that does not
    hold. Costs one hash a leaf.
    """
    end = start + len(leaf_hashes)
    # Each length counts: 31 and 33 bytes hash like 32 and 32.
    if any(len(leaf) != HASH_BYTES for leaf in leaf_hashes):
        raise TamperedError(f"could not find leaves [{start}, {end}): one of them has not {HASH_BYTES} bytes")
    frontier = open_range(proof, start=start, end=end, size=size).extended(leaf_hashes)
    close_range(frontier, proof, end=end, size=size, root=root)


def open_range(proof: Sequence[bytes], *, start: int, end: int, size: int) -> Frontier:
    """The frontier before the range, to be extended by its leaves; raises as `check_range`. Costs nothing."""
    if not 0 <= start < end <= size <= SIZE_MAX:
        raise MalformedError(f"could not check the range proof: a tree of {size} leaves has no range [{start}, {end})")
    expected = start.bit_count() + len(complete_nodes(Span(end, size)))
    if [len(element) for element in proof] != [HASH_BYTES] * expected:
        raise TamperedError(f"could not find leaves [{start}, {end}): the proof has not {expected} hashes of 32 bytes")
    return Frontier(size=start, roots=tuple(proof[: start.bit_count()]))


def close_range(frontier: Frontier, proof: Sequence[bytes], *, end: int, size: int, root: bytes) -> None:
    """Refuses unless the range that ends here and the rest of the proof lead to the root. Costs a hash an element."""
    assert frontier.size == end, "every leaf of the range was given"
    nodes = complete_nodes(Span(end, size))
    for node, element in zip(nodes, proof[len(proof) - len(nodes) :], strict=True):
        frontier = frontier.extended([element], level=node.level)
    if frontier.root != root:
        raise TamperedError(f"could not find the leaves before {end} in the tree of {size}: the proof does not hold")
