"""Finds which of the stored readings is the signed tree, and so which stored bytes are wrong.

Each bundle's leaves are told up to three times: by its entries, by its leaf tile, and by its hash in the tile above.
Where all agree there is nothing to choose. Where they do not, the reading that leads to the signed root is the true
one and the others are wrong; nobody can make a second reading that leads there.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice, product

from atp.errors import MissingError, TamperedError
from atp.limits import TILE_WIDTH
from atp.merkle.frontier import Frontier
from atp.merkle.hashes import HASH_BYTES, complete_root, join_roots
from atp.merkle.nodes import Span, complete_nodes, read_nodes
from atp.merkle.tiles import TILE_HEIGHT, EntryBundle, Tile, tile_width
from atp.verify.reading import Reading, Roots
from atp.verify.report import Finding
from atp.verify.source import Source

_CHOICES_MAX = 4_096
"""How many ways to choose among disagreeing readings are tried, in one segment and over all segments."""


@dataclass(frozen=True, slots=True)
class Doubt:
    """A bundle whose readings disagree: what entries, leaf tile and the tile above (None where absent) say."""

    reading: Reading
    above: Roots | None

    @property
    def choices(self) -> tuple[Roots, ...]:
        """The distinct readings, the one that most agree on first."""
        told = [roots for roots in (self.above, self.reading.tile_roots, self.reading.entry_roots) if roots]
        return tuple(sorted(dict.fromkeys(told), key=told.count, reverse=True))


@dataclass(frozen=True, slots=True)
class Segment:
    """Up to 256 bundles, the leaves below one tile of level 1: the roots that each way to choose leads to.

    `options` pairs those roots with the choice made for each of `doubts`, in order; no option at all when a bundle
    cannot be read in any way.
    """

    place: str
    size: int
    options: tuple[tuple[Roots, tuple[Roots, ...]], ...]
    doubts: tuple[Doubt, ...]


def make_segment(readings: Sequence[Reading], *, above: bytes | None, place: str) -> Segment:
    """Joins the readings of a segment's bundles with the stored tile of level 1 over them, if there is one.

    `place` is what to call that tile in a finding.
    """
    rows, doubts = list[tuple[Roots, ...]](), dict[int, Doubt]()
    for at, reading in enumerate(readings):
        element = above[at * HASH_BYTES : (at + 1) * HASH_BYTES] if above and reading.width == TILE_WIDTH else None
        doubt = Doubt(reading, (element,) if element else None)
        rows.append(doubt.choices)
        if len(doubt.choices) > 1:
            doubts[at] = doubt
    options = list[tuple[Roots, tuple[Roots, ...]]]()
    full = sum(reading.width == TILE_WIDTH for reading in readings)
    if all(rows):
        chosen = [choices[0] for choices in rows]
        for pick in islice(product(*(doubt.choices for doubt in doubts.values())), _CHOICES_MAX):
            for at, roots in zip(doubts, pick, strict=True):
                chosen[at] = roots
            options.append((_join(chosen, level=TILE_HEIGHT, full=full), pick))
    size = sum(reading.width for reading in readings)
    return Segment(place, size, tuple(options), tuple(doubts.values()))


@dataclass(frozen=True, slots=True)
class Settled:
    """The choice over a whole log. `is_signed` says that it leads to the signed root; else it is the likeliest."""

    is_signed: bool
    roots: tuple[Roots, ...]
    picks: tuple[tuple[Roots, ...], ...]


def settle(segments: Sequence[Segment], *, size: int, root: bytes) -> Settled | None:
    """The way to choose in each segment that leads to the signed root; None when a segment cannot be read at all.

    Costs a hash a segment, more where readings disagree: at most `_CHOICES_MAX` ways are tried.
    """
    if sum(segment.size for segment in segments) != size or not all(segment.options for segment in segments):
        return None
    first: Settled | None = None
    for combination in islice(product(*(segment.options for segment in segments)), _CHOICES_MAX):
        roots = tuple(option[0] for option in combination)
        is_signed = join_roots(_join(roots, level=2 * TILE_HEIGHT, full=size >> 2 * TILE_HEIGHT)) == root
        settled = Settled(is_signed, roots, tuple(option[1] for option in combination))
        if is_signed:
            return settled
        first = first or settled
    return first


def blame(segments: Iterable[Segment], settled: Settled | None, *, source: Source) -> Iterator[Finding]:
    """Names every stored reading that is not the true one, with the first wrong entry; or, where no reading is
    known to be true, every two that disagree."""
    for number, segment in enumerate(segments):
        picks: Sequence[Roots | None] = [None] * len(segment.doubts)
        if settled is not None and settled.is_signed:
            picks = settled.picks[number]
        for doubt, truth in zip(segment.doubts, picks, strict=True):
            yield from _blame_doubt(doubt, truth, above=segment.place, source=source)


def _blame_doubt(doubt: Doubt, truth: Roots | None, *, above: str, source: Source) -> Iterator[Finding]:
    reading = doubt.reading
    first = reading.number * TILE_WIDTH
    stop = first + reading.width
    exact = first if reading.differs_at is None else first + reading.differs_at
    tile = Tile(0, reading.number, reading.width).path
    bundle = source.bundle_path(EntryBundle(reading.number, reading.width))
    if truth is None:
        if reading.differs_at is not None:
            yield Finding("payload", bundle, f"the entry and its hash in {tile} disagree", exact)
        if doubt.above is not None and doubt.above != (reading.tile_roots or reading.entry_roots):
            yield Finding("structure", above, f"it disagrees with {tile}", first, stop)
        return
    if reading.tile_roots not in (None, truth):
        # With true entries the first wrong hash is known; else it may be any of the tile's.
        known = reading.entry_roots == truth
        reason = "the stored hash is not the entry's" if known else "it does not lead to the signed root"
        yield Finding("structure", tile, reason, exact if known else first, None if known else stop)
    if reading.entry_roots not in (None, truth):
        known = reading.tile_roots == truth
        reason = "the entry is not the one that was signed" if known else "its entries do not lead to the signed root"
        yield Finding("payload", bundle, reason, exact if known else first, None if known else stop)
    if doubt.above not in (None, truth):
        yield Finding("structure", above, f"its hash of {tile} does not lead to the signed root", first, stop)


def check_upper(settled: Settled, *, size: int, with_partials: bool, source: Source) -> Iterator[Finding]:
    """Compares the stored tiles of level 2 and higher with the hashes below them. Costs a hash a segment."""
    row = [roots[0] for roots in settled.roots[: size >> 2 * TILE_HEIGHT]]
    level = 2
    while row:
        above = list[bytes]()
        for index in range(-(-len(row) // TILE_WIDTH)):
            hashes = row[index * TILE_WIDTH : (index + 1) * TILE_WIDTH]
            if len(hashes) == TILE_WIDTH:
                above.append(complete_root(b"".join(hashes)))
            if len(hashes) == TILE_WIDTH or with_partials:
                yield from _check_upper_tile(Tile(level, index, len(hashes)), hashes, source=source)
        row, level = above, level + 1


def _check_upper_tile(tile: Tile, hashes: Sequence[bytes], *, source: Source) -> Iterator[Finding]:
    leaves = 1 << tile.level * TILE_HEIGHT
    first = tile.index * TILE_WIDTH * leaves
    try:
        stored = source.tile(tile)
    except (MissingError, TamperedError) as error:
        yield Finding("structure", tile.path, str(error), first, first + tile.width * leaves)
        return
    for at, element in enumerate(hashes):
        if stored[at * HASH_BYTES : (at + 1) * HASH_BYTES] != element:
            start = first + at * leaves
            yield Finding("structure", tile.path, "its hash is not that of the tile below", start, start + leaves)
            return


@dataclass(frozen=True, slots=True)
class TileRows:
    """Reads tiles of a log of `size` entries; those of the right edge that are not stored are made of what is below."""

    source: Source
    size: int
    with_partials: bool
    tail_hashes: bytes = b""

    def __call__(self, tiles: Sequence[Tile]) -> list[bytes]:
        """The bytes of each tile; raises as `Source.tile`. An edge tile costs a read for each of its hashes."""
        return [self._tile(tile) for tile in tiles]

    def _tile(self, tile: Tile) -> bytes:
        if self.with_partials or tile_width(level=tile.level, index=tile.index, size=self.size) == TILE_WIDTH:
            return self.source.tile(tile)
        if tile.level == 0:
            return self.tail_hashes[: tile.bytes_total]
        first = tile.index * TILE_WIDTH
        children = (Tile(tile.level - 1, index) for index in range(first, first + tile.width))
        return b"".join(complete_root(self.source.tile(child)) for child in children)


def root_at(old_size: int, rows: TileRows) -> bytes:
    """The root of the first `old_size` entries, from the stored tiles. At most two tiles a level."""
    return join_roots(read_nodes(complete_nodes(Span(0, old_size)), size=rows.size, read_tiles=rows))


def _join(roots: Sequence[Roots], *, level: int, full: int) -> Roots:
    """The roots over neighbours: the first `full` are complete subtrees of 2**level leaves, the last is none."""
    complete = Frontier().extended([part[0] for part in roots[:full]], level=level).roots
    return complete + tuple(root for part in roots[full:] for root in part)
