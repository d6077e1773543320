"""The hashes of RFC 6962 section 2.1, and the two ways in which hashes join into a root."""

from collections.abc import Iterable, Sequence
from hashlib import sha256
from operator import add
from struct import unpack

HASH_BYTES = 32
EMPTY_ROOT = sha256(b"").digest()
"""The root of a tree without leaves; a tree with one empty entry has another one."""

SIZE_MAX = 2**63 - 1
"""The largest tree: what a signed 64-bit integer holds, so that a path from leaf to root has at most 63 hashes."""

_PAIR = f"{2 * HASH_BYTES}s"
_HELD_BYTES = 2_047


def leaf_hash(entry: bytes) -> bytes:
    """SHA-256(0x00 || entry): the leaf of one entry. Costs one hash."""
    return sha256(b"\x00" + entry).digest()


def node_hash(*, left: bytes, right: bytes) -> bytes:
    """SHA-256(0x01 || left || right): the node above two others. Costs one hash."""
    return sha256(b"\x01" + left + right).digest()


def leaf_hashes(entries: Iterable[bytes | memoryview]) -> list[bytes]:
    """The leaf of every entry, in order. Costs one hash an entry."""
    return _hash_each(b"\x00", entries)


def leaf_hashes_held(entries: Iterable[bytes]) -> list[bytes]:
    """`leaf_hashes` for a thread among busy ones: it does not give the interpreter lock away.

    hashlib does for 2,048 bytes and more, and the others then keep it for milliseconds, between any two of thousands of
    hashes that take a microsecond each. So long entries are hashed in pieces, which costs a tenth more.
    """
    begun, leaves = sha256(b"\x00"), list[bytes]()
    for entry in entries:
        hashed = begun.copy()
        for at in range(0, len(entry), _HELD_BYTES):
            hashed.update(entry[at : at + _HELD_BYTES])
        leaves.append(hashed.digest())
    return leaves


def parent_hashes(nodes: Sequence[bytes]) -> list[bytes]:
    """The nodes above an even number of neighbours, one level higher. Costs len(nodes) / 2 hashes."""
    assert len(nodes) % 2 == 0, "a node has two children"
    return _hash_each(b"\x01", map(add, nodes[::2], nodes[1::2]))


def complete_root(packed: bytes) -> bytes:
    """The root over 2**k hashes that lie one behind the other, as a tile holds them.

    A full tile's root is the element that stands for it one level above (C2SP tlog-tiles). Costs 2**k - 1 hashes.
    """
    count = len(packed) // HASH_BYTES
    assert count * HASH_BYTES == len(packed) and count.bit_count() == 1, "a complete tree has 2**k whole leaves"
    while len(packed) > HASH_BYTES:
        pairs = len(packed) // (2 * HASH_BYTES)
        packed = b"".join(_hash_each(b"\x01", unpack(_PAIR * pairs, packed)))
    return packed


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


def _hash_each(prefix: bytes, parts: Iterable[bytes | memoryview]) -> list[bytes]:
    """SHA-256 of the prefix and each part. This loop runs once for every event and node of the platform.

    To copy a hash that has taken the prefix is a sixth cheaper than to begin anew with prefix and part joined.
    """
    begin, digests = sha256(prefix).copy, list[bytes]()
    for part in parts:
        hashed = begin()
        hashed.update(part)
        digests.append(hashed.digest())
    return digests
