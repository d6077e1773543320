"""Nodes of the tree: which complete subtrees cover a span of leaves, and how to read their roots out of tiles."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from atp.errors import TamperedError
from atp.limits import TILE_WIDTH
from atp.merkle.hashes import HASH_BYTES, complete_root, join_roots
from atp.merkle.tiles import TILE_HEIGHT, Tile, tile_width


class Span(NamedTuple):
    """The leaves from `start` to before `end`."""

    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Node:
    """A complete subtree: the 2**level leaves from index * 2**level."""

    level: int
    index: int


TileReader = Callable[[Sequence[Tile]], Sequence[bytes]]
"""Gives the bytes of the tiles that it is asked for, in that order; raises if one is missing.

A prover asks once for all that it needs. Bytes of the wrong length are refused, but nothing else about them is checked:
a proof made from wrong tiles is a wrong proof, and `check_*` says so.
"""


def complete_nodes(span: Span) -> list[Node]:
    """The fewest complete subtrees that cover a span, from left to right. At most 2 * log2(length) of them."""
    nodes = list[Node]()
    start, end = span
    while start < end:
        aligned = (start & -start).bit_length() - 1 if start else end.bit_length()
        level = min(aligned, (end - start).bit_length() - 1)
        nodes.append(Node(level, start >> level))
        start += 1 << level
    return nodes


def read_nodes(nodes: Sequence[Node], *, size: int, read_tiles: TileReader) -> list[bytes]:
    """The root of each subtree, from the tiles of a tree of `size` leaves.

    One request, at most one tile a node; at most 127 hashes a node, none for those that stand in a tile themselves.
    """
    places = [_tile_of(node, size=size) for node in nodes]
    wanted = list(dict.fromkeys(places))
    contents = read_tiles(wanted) if wanted else ()
    assert len(contents) == len(wanted), "a reader gives what it was asked for"
    tiles = dict(zip(wanted, contents, strict=True))
    for tile, content in tiles.items():
        if len(content) != tile.bytes_total:
            reason = f"it has {len(content)} bytes instead of {tile.bytes_total}"
            raise TamperedError(f"could not read {tile.path}: {reason}", hint="verify the log")
    return [_root_in_tile(node, tiles[place]) for node, place in zip(nodes, places, strict=True)]


def read_spans(spans: Sequence[Span], *, size: int, read_tiles: TileReader) -> list[bytes]:
    """The root over each span that RFC 6962 joins to one subtree, complete or not. One request, as `read_nodes`."""
    covers = [complete_nodes(span) for span in spans]
    roots = iter(read_nodes([node for cover in covers for node in cover], size=size, read_tiles=read_tiles))
    return [join_roots([next(roots) for _ in cover]) for cover in covers]


def _tile_of(node: Node, *, size: int) -> Tile:
    """The tile whose hashes the node is made of, as wide as it is at that size."""
    level, height = divmod(node.level, TILE_HEIGHT)
    index = (node.index << height) // TILE_WIDTH
    width = tile_width(level=level, index=index, size=size)
    assert (node.index + 1) << node.level <= size and width, "a node lies within its tree"
    return Tile(level, index, width)


def _root_in_tile(node: Node, content: bytes) -> bytes:
    height = node.level % TILE_HEIGHT
    first = (node.index << height) % TILE_WIDTH
    return complete_root(content[first * HASH_BYTES : (first + (1 << height)) * HASH_BYTES])
