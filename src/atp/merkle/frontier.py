"""The right edge of a growing tree: all that an appender or a streaming verifier has to remember."""

from collections.abc import Sequence
from dataclasses import dataclass

from atp.merkle.hashes import SIZE_MAX, join_roots, parent_hashes


@dataclass(frozen=True, slots=True)
class Frontier:
    """A tree of `size` leaves, kept as the roots of its complete subtrees, from left to right, largest first.

    There is one root for each bit that is set in `size`, so it never holds more than 63 hashes. A value: growing makes
    a new one, and who fails half way still has the old one. Elsewhere called a compact range.
    """

    size: int = 0
    roots: tuple[bytes, ...] = ()

    def __post_init__(self) -> None:
        assert 0 <= self.size <= SIZE_MAX, "a tree's size fits 63 bits"
        assert len(self.roots) == self.size.bit_count(), "a frontier has one root for each bit of its size"

    @property
    def root(self) -> bytes:
        """The root of the whole tree (RFC 6962 section 2.1). Costs at most 62 hashes."""
        return join_roots(self.roots)

    def extended(self, nodes: Sequence[bytes], *, level: int = 0) -> "Frontier":
        """The frontier after more leaves, or after complete subtrees of 2**level leaves each.

        The size must be a multiple of 2**level. Costs one hash a node, in one pass over each level.
        """
        assert self.size % (1 << level) == 0, "a subtree stands at a multiple of its size"
        size = self.size + (len(nodes) << level)
        older, pending, kept = list(self.roots), list(nodes), list[bytes]()
        while older or pending:
            if self.size >> level & 1:
                pending.insert(0, older.pop())
            if len(pending) % 2:
                kept.append(pending.pop())
            pending = parent_hashes(pending)
            level += 1
        return Frontier(size=size, roots=tuple(reversed(kept)))
