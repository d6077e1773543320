"""The hashes of RFC 6962 section 2.1, and the two ways in which hashes join into a root."""

from collections.abc import Iterable, Sequence
from hashlib import sha256
from struct import Struct

HASH_BYTES = 32
EMPTY_ROOT = sha256(b"").digest()
"""The root of a tree without leaves; a tree with one empty entry has another one."""

SIZE_MAX = 2**63 - 1
"""The largest tree: what a signed 64-bit integer holds, so that a path from leaf to root has at most 63 hashes."""

_HELD_BYTES = 2_047
_PAIRS = Struct(f"{2 * HASH_BYTES}s")


def leaf_hash(entry: bytes) -> bytes:
    """SHA-256(0x00 || entry): the leaf of one entry. Costs one hash."""
    return sha256(b"\x00" + entry).digest()


def node_hash(*, left: bytes, right: bytes) -> bytes:
    """SHA-256(0x01 || left || right): the node above two others. Costs one hash."""
    return sha256(b"\x01" + left + right).digest()


def leaf_hashes(entries: Iterable[bytes]) -> list[bytes]:
    """The leaf of every entry, in order. Costs one hash an entry."""
    digest = sha256  # a local name: this loop runs once for every event of the platform
    return [
        digest(b"\x00" + entry).digest() if len(entry) < _HELD_BYTES else _leaf_hash_held(entry) for entry in entries
    ]


def _leaf_hash_held(entry: bytes) -> bytes:
    """The leaf of a long entry, in pieces that are hashed without letting other threads in.

    hashlib gives the interpreter lock away for 2,048 bytes and more. One busy thread then takes it for milliseconds,
    between any two of thousands of hashes that take a microsecond each.
    """
    hashed = sha256(b"\x00")
    for at in range(0, len(entry), _HELD_BYTES):
        hashed.update(entry[at : at + _HELD_BYTES])
    return hashed.digest()


def parent_hashes(nodes: Sequence[bytes]) -> list[bytes]:
    """The nodes above an even number of neighbours, one level higher. Costs len(nodes) / 2 hashes."""
    assert len(nodes) % 2 == 0, "a node has two children"
    digest, children = sha256, iter(nodes)
    return [digest(b"\x01" + left + right).digest() for left, right in zip(children, children, strict=True)]


def complete_root(packed: bytes) -> bytes:
    """The root over 2**k hashes that lie one behind the other, as a tile holds them.

    A full tile's root is the element that stands for it one level above (C2SP tlog-tiles). Costs 2**k - 1 hashes.
    """
    count = len(packed) // HASH_BYTES
    assert count * HASH_BYTES == len(packed) and count.bit_count() == 1, "a complete tree has 2**k whole leaves"
    if count == 1:
        return packed
    digest = sha256
    nodes = [digest(b"\x01" + pair).digest() for (pair,) in _PAIRS.iter_unpack(packed)]
    while len(nodes) > 1:
        nodes = parent_hashes(nodes)
    return nodes[0]


def join_roots(roots: Sequence[bytes]) -> bytes:
    """The root of a tree from those of its complete subtrees, given from left to right, each smaller than the last.

    RFC 6962 splits at the largest power of two, so the smallest subtrees, on the right, join first. No subtree at all
    is the empty tree. Costs len(roots) - 1 hashes.
    """
    if not roots:
        return EMPTY_ROOT
    joined = roots[-1]
    for root in reversed(roots[:-1]):
        joined = node_hash(left=root, right=joined)
    return joined
