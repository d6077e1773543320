"""The right edge of a growing tree as tiles: all that an appender needs to complete the next ones.

C2SP tlog-tiles: tile (L, N) holds up to 256 hashes; a hash at level L+1 is the root of a full tile at level L, and a
partial tile is never hashed upward.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from atp.limits import TILE_WIDTH
from atp.merkle.hashes import complete_root, join_roots
from atp.merkle.tiles import TILE_HEIGHT, Tile


@dataclass(frozen=True, slots=True)
class Edge:
    """A tree of `size` leaves, known by the hashes in its rightmost partial tile of each level, level 0 first.

    A value: growing makes a new one, and who fails half way still has the old one. At most 8 KiB a level.
    """

    size: int = 0
    partials: tuple[tuple[bytes, ...], ...] = ()

    def __post_init__(self) -> None:
        for level, hashes in enumerate(self.partials):
            assert len(hashes) == (self.size >> TILE_HEIGHT * level) % TILE_WIDTH, "an edge holds what its size says"

    @property
    def root(self) -> bytes:
        """The root of the whole tree (RFC 6962 section 2.1). Costs under 256 hashes a level."""
        return join_roots([root for hashes in reversed(self.partials) for root in _complete_roots(hashes)])

    def extended(self, leaf_hashes: Sequence[bytes]) -> tuple["Edge", dict[Tile, bytes]]:
        """The edge after more leaves, and every tile that became full, with its bytes. Costs one hash a leaf."""
        full: dict[Tile, bytes] = {}
        partials: list[tuple[bytes, ...]] = []
        new: Sequence[bytes] = leaf_hashes
        level = 0
        while new or level < len(self.partials):
            older = self.partials[level] if level < len(self.partials) else ()
            row = (*older, *new)
            index = (self.size >> TILE_HEIGHT * level) // TILE_WIDTH
            cut = len(row) - len(row) % TILE_WIDTH
            packed = [b"".join(row[at : at + TILE_WIDTH]) for at in range(0, cut, TILE_WIDTH)]
            full |= {Tile(level, index + number): data for number, data in enumerate(packed)}
            partials.append(row[cut:])
            new = [complete_root(data) for data in packed]
            level += 1
        return Edge(self.size + len(leaf_hashes), tuple(partials)), full


def _complete_roots(hashes: Sequence[bytes]) -> list[bytes]:
    """The roots of the complete subtrees that a partial tile is made of, from left to right, largest first."""
    roots, at = [], 0
    for width in (1 << bit for bit in reversed(range(TILE_HEIGHT))):
        if len(hashes) & width:
            roots.append(complete_root(b"".join(hashes[at : at + width])))
            at += width
    return roots
