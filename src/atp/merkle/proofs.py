"""Proofs that leaves and older trees are part of a tree: made by `prove_*` and refused by `check_*`.

There is one kind of proof. It shows that the subtree over the leaves [start, end) is part of the tree over the first
`size` leaves. With end = start + 1 it is the inclusion proof of RFC 6962 section 2.1.1, with start = 0 the consistency
proof of section 2.1.2, else the subtree consistency proof of draft-ietf-plants-merkle-tree-certs. The geometry, which
spans of leaves the hashes of a proof stand for, is the same for prover and checker: `_proof_spans`.

A prover takes only what exists: a position outside the tree is the caller's mistake. A checker takes anything, and
raises MalformedError for positions that no tree has, TamperedError for a proof that does not hold. Size and root must
come from one verified checkpoint: trees of different sizes can share proofs, so a proof does not tell the size.
"""

from collections.abc import Sequence

from atp.errors import MalformedError, TamperedError
from atp.merkle.hashes import EMPTY_ROOT, HASH_BYTES, SIZE_MAX, node_hash
from atp.merkle.nodes import Span, TileReader, read_spans


def prove_inclusion(*, index: int, size: int, read_tiles: TileReader) -> list[bytes]:
    """Proves that leaf `index` is in the tree of `size` leaves: at most 63 hashes, the leaf's neighbour first.

    One request, at most two tiles a level.
    """
    return prove_subtree_inclusion(index=index, start=0, end=size, read_tiles=read_tiles)


def check_inclusion(*, leaf_hash: bytes, index: int, size: int, proof: Sequence[bytes], root: bytes) -> None:
    """Refuses a proof that `leaf_hash` is leaf `index` of the tree of `size` leaves. Costs one hash an element."""
    check_subtree_inclusion(leaf_hash=leaf_hash, index=index, start=0, end=size, proof=proof, subtree_root=root)


def prove_consistency(*, old_size: int, size: int, read_tiles: TileReader) -> list[bytes]:
    """Proves that the first `old_size` leaves of the tree of `size` leaves are the older tree: at most 64 hashes.

    An empty tree is part of every tree, so there is nothing to prove: the caller's mistake. One request, at most two
    tiles a level.
    """
    assert old_size, "an empty tree needs no proof"
    return prove_subtree(start=0, end=old_size, size=size, read_tiles=read_tiles)


def check_consistency(*, old_size: int, size: int, old_root: bytes, proof: Sequence[bytes], root: bytes) -> None:
    """Refuses a proof that the tree of `size` leaves begins with that of `old_size`. Costs two hashes an element.

    An old size of 0 is refused as well: whether it may be taken without a proof is for the caller to decide.
    """
    if old_size == 0:
        raise MalformedError("could not check the consistency proof: an empty tree is part of every tree")
    check_subtree(start=0, end=old_size, size=size, subtree_root=old_root, proof=proof, root=root)


def is_subtree(*, start: int, end: int) -> bool:
    """Whether some RFC 6962 tree has a subtree over exactly [start, end), or over none at all."""
    length = end - start
    return length >= 0 and start >= 0 and (length == 0 or start % (1 << (length - 1).bit_length()) == 0)


def prove_subtree(*, start: int, end: int, size: int, read_tiles: TileReader) -> list[bytes]:
    """Proves that the subtree over [start, end) is part of the tree of `size` leaves: at most 64 hashes, deepest first.

    One request, at most two tiles a level.
    """
    assert is_subtree(start=start, end=end) and end <= size <= SIZE_MAX, "a proof is about leaves that exist"
    spans = _proof_spans(Span(start, end), tree=Span(0, size))
    return read_spans(spans, size=size, read_tiles=read_tiles)


def check_subtree(*, start: int, end: int, size: int, subtree_root: bytes, proof: Sequence[bytes], root: bytes) -> None:
    """Refuses a proof that `subtree_root` is that of [start, end) in the tree of `size` leaves.

    Without leaves (start = end) the proof is empty and says nothing about the tree. Costs two hashes an element.
    """
    if not (is_subtree(start=start, end=end) and end <= size <= SIZE_MAX):
        raise MalformedError(f"could not check the proof: no tree of {size} leaves has a subtree [{start}, {end})")
    if start == end:
        recomputed = None if proof else (EMPTY_ROOT, root)
    else:
        recomputed = _recompute(Span(start, end), tree=Span(0, size), subtree_root=subtree_root, proof=proof)
    if recomputed != (subtree_root, root):
        raise TamperedError(f"could not find leaves [{start}, {end}) in the tree of {size}: the proof does not hold")


def prove_subtree_inclusion(*, index: int, start: int, end: int, read_tiles: TileReader) -> list[bytes]:
    """Proves that leaf `index` is in the subtree over [start, end): at most 63 hashes, the leaf's neighbour first.

    Reads the tiles as they are in the tree of `end` leaves. One request, at most two tiles a level.
    """
    assert is_subtree(start=start, end=end) and start <= index < end <= SIZE_MAX, "a proof is about leaves that exist"
    spans = _proof_spans(Span(index, index + 1), tree=Span(start, end))
    return read_spans(spans, size=end, read_tiles=read_tiles)


def check_subtree_inclusion(
    *, leaf_hash: bytes, index: int, start: int, end: int, proof: Sequence[bytes], subtree_root: bytes
) -> None:
    """Refuses a proof that `leaf_hash` is leaf `index` of the subtree over [start, end). Costs one hash an element."""
    if not (is_subtree(start=start, end=end) and start <= index < end <= SIZE_MAX):
        raise MalformedError(f"could not check the proof: no tree has leaf {index} in its leaves [{start}, {end})")
    leaf = Span(index, index + 1)
    recomputed = _recompute(leaf, tree=Span(start, end), subtree_root=leaf_hash, proof=proof)
    if len(leaf_hash) != HASH_BYTES or recomputed != (leaf_hash, subtree_root):
        raise TamperedError(f"could not find leaf {index} in [{start}, {end}): the proof does not hold")


def _proof_spans(subtree: Span, *, tree: Span) -> list[Span]:
    """The spans that a proof has hashes for, deepest first: what the way from the root to the subtree leaves aside.

    A subtree that begins with the tree (an older tree) need not be one of its nodes. Then it is the spans left aside
    within it, and the last one, where the way ends, that make it up.
    """
    (start, end), (lower, upper) = subtree, tree
    spans = list[Span]()
    while start < end and not (start <= lower and upper <= end):
        middle = lower + (1 << (upper - lower - 1).bit_length() - 1)
        if end <= middle:
            spans.append(Span(middle, upper))
            upper = middle
        else:
            spans.append(Span(lower, middle))
            lower = middle
    if lower > start:
        spans.append(Span(lower, upper))
    return spans[::-1]


def _recompute(subtree: Span, *, tree: Span, subtree_root: bytes, proof: Sequence[bytes]) -> tuple[bytes, bytes] | None:
    """The roots of subtree and tree that follow from a proof; None if it has not one hash for each span."""
    spans = _proof_spans(subtree, tree=tree)
    # Each length counts: 31 and 33 bytes hash like 32 and 32.
    if [len(element) for element in proof] != [HASH_BYTES] * len(spans):
        return None
    part = whole = subtree_root
    for depth, (span, element) in enumerate(zip(spans, proof, strict=True)):
        if span.start >= subtree.end:
            whole = node_hash(left=whole, right=element)
        elif span.end <= subtree.start:
            whole = node_hash(left=element, right=whole)
        elif depth == 0:
            part = whole = element
        else:
            part, whole = node_hash(left=element, right=part), node_hash(left=element, right=whole)
    return part, whole
