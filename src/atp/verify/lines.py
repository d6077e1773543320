"""Reads a block of a bundle's entries, one a line, in any process: their hashes, and what they say of themselves.

A block does not know how many lines stand before it, so it counts from 0.
"""

from typing import NamedTuple

from atp.errors import RefusedError
from atp.merkle.hashes import leaf_hashes
from atp.verify.container import Block
from atp.verify.entry import MAY_END, Heads, read_heads, received_at
from atp.verify.source import unended


class Lines(NamedTuple):
    """What the lines of a block are: their leaf hashes, one behind the other, and what their heads say.

    `may_end` has the entries that may end payloads, `received_at` the instants of the first two and the last two, by
    their position. `fault` says that the block does not end with a line.
    """

    total: int
    hashes: bytes
    heads: Heads
    may_end: dict[int, bytes]
    received_at: dict[int, str]
    fault: str


def read_lines(block: Block, *, with_events: bool) -> Lines:
    """Reads a block. Costs a hash a line, and what `read_heads` costs."""
    data = block()
    lines = data.split(b"\n")
    rest = lines.pop()
    count = len(lines)
    outermost = {at for at in (0, 1, count - 2, count - 1) if 0 <= at < count}
    return Lines(
        count,
        b"".join(leaf_hashes(lines)),
        read_heads(lines, first_index=0, with_events=with_events),
        {at: line for at, line in enumerate(lines) if MAY_END in line} if MAY_END in data else {},
        {at: instant for at in outermost if (instant := _received_at(lines[at]))},
        unended(rest) if rest else "",
    )


def _received_at(line: bytes) -> str:
    try:
        return received_at(line)
    except RefusedError:
        return ""  # only a range of time needs it, and that will miss it
