"""RFC 6962 section 2.1 written down as it is printed there, recursive and slow: what the real code is compared with."""

from collections.abc import Sequence
from hashlib import sha256

from atp.merkle.tiles import Tile


class ReferenceTree:
    """All trees over the first n of some leaves. Counts the requests for its tiles."""

    def __init__(self, entries: Sequence[bytes]) -> None:
        self.leaves = [sha256(b"\x00" + entry).digest() for entry in entries]
        self.requests: list[list[Tile]] = []
        self._roots: dict[tuple[int, int], bytes] = {}

    def root(self, start: int, end: int) -> bytes:
        """MTH(D[start:end])."""
        if end - start < 2:
            return self.leaves[start] if end > start else sha256(b"").digest()
        if (start, end) not in self._roots:
            middle = start + split(end - start)
            below = self.root(start, middle) + self.root(middle, end)
            self._roots[start, end] = sha256(b"\x01" + below).digest()
        return self._roots[start, end]

    def path(self, index: int, start: int, end: int) -> list[bytes]:
        """PATH(m, D[n])."""
        if end - start == 1:
            return []
        middle = start + split(end - start)
        if index < middle:
            return [*self.path(index, start, middle), self.root(middle, end)]
        return [*self.path(index, middle, end), self.root(start, middle)]

    def consistency(self, old_end: int, start: int, end: int, *, known: bool = True) -> list[bytes]:
        """SUBPROOF(m, D[n], b)."""
        if old_end == end:
            return [] if known else [self.root(start, end)]
        middle = start + split(end - start)
        if old_end <= middle:
            return [*self.consistency(old_end, start, middle, known=known), self.root(middle, end)]
        return [*self.consistency(old_end, middle, end, known=False), self.root(start, middle)]

    def read_tiles(self, tiles: Sequence[Tile]) -> list[bytes]:
        """A tile reader; a partial tile is a prefix of the full one, so it serves the tree at every size."""
        self.requests.append(list(tiles))
        return [self.tile(tile) for tile in tiles]

    def tile(self, tile: Tile) -> bytes:
        """The tile by its definition: element i is the root of the i-th subtree of 256**level leaves."""
        length, first = 256**tile.level, tile.index * 256
        assert (first + tile.width) * length <= len(self.leaves), "this tile does not exist"
        return b"".join(self.root(i * length, (i + 1) * length) for i in range(first, first + tile.width))


def split(count: int) -> int:
    """The largest power of two smaller than n."""
    half = 1
    while half * 2 < count:
        half *= 2
    return half


def numbered(count: int) -> list[bytes]:
    """Entries that differ from one another."""
    return [f"entry {number}".encode() for number in range(count)]
