"""One walk over one published log in bounded steps: entries against tiles, tiles against the signed root, views against
entries.

The tree is built anew from the stored entries, and each tile that becomes full is held against the stored one; at the
end the root has to be the signed one. Nothing is taken from memory: the files are read again.
"""

from atp.app.inspect import inspect
from atp.app.pipeline import Stores
from atp.errors import MalformedError, MissingError, TamperedError
from atp.limits import FRAME_ENTRIES, INTEGRITY_STEP_ENTRIES, TILE_WIDTH
from atp.log.reader import Cache, LogReader, log_key, read_checkpoint
from atp.merkle.checkpoints import open_checkpoint
from atp.merkle.edge import Edge
from atp.merkle.hashes import HASH_BYTES, leaf_hashes
from atp.merkle.tiles import TILE_HEIGHT, EntryBundle, Tile
from atp.ports.event_store import Log
from atp.verify.report import Finding
from atp.verify.trust import parse_vkeys

_DAMAGE = (TamperedError, MalformedError, MissingError)


def begin_patrol(log: Log, *, stores: Stores) -> "Patrol | None":
    """A walk over what is published of a log now; None when that is nothing.

    The public keys are read before the checkpoint: a key that is retired in between did sign that one.
    """
    try:
        vkeys = stores.objects.get(log_key(log.tenant, "vkey"))
    except MissingError:
        vkeys = b""
    note = stores.events.checkpoint(log.tenant)
    return Patrol(log, note=note, vkeys=vkeys, stores=stores) if note and read_checkpoint(note).size else None


class Patrol:
    """A walk under the checkpoint that was newest when it began. For one thread; holds 8 KiB a level of the tree.

    A step that found something may be taken again, to be sure.
    """

    def __init__(self, log: Log, *, note: bytes, vkeys: bytes, stores: Stores) -> None:
        self.tenant = log.tenant
        self.note = note
        self.size = read_checkpoint(note).size
        self._origin = log.origin
        self._vkeys = vkeys
        self._stores = stores
        self._edge = Edge()
        self.is_done = False

    @property
    def checked(self) -> int:
        """How many entries were found as they were signed."""
        return self._edge.size

    def step(self) -> Finding | None:
        """Check the next `INTEGRITY_STEP_ENTRIES` entries; what is wrong with the first wrong one. About 40 µs each.

        Raises UnavailableError when a store cannot be read now.
        """
        start = self._edge.size
        stop = min(start + INTEGRITY_STEP_ENTRIES, self.size)
        stores = self._stores
        reader = LogReader(self.tenant, event_store=stores.events, object_store=stores.objects, cache=Cache())
        entries: list[bytes] = []
        for first in range(start, stop, TILE_WIDTH):
            try:
                entries += reader.entries(first, min(first + TILE_WIDTH, stop))
            except _DAMAGE as error:
                return Finding("payload", self._bundle(first), str(error), first, min(first + TILE_WIDTH, stop))
        if len(entries) < stop - start:
            first = start + len(entries)
            return Finding("payload", self._bundle(first), "the order does not hold it", first, stop)
        grown, full = self._edge.extended(leaf_hashes(entries))
        finding = next((found for tile, data in full.items() if (found := self._compare(tile, data))), None)
        finding = finding or (self._check_root(grown) if stop == self.size else None)
        finding = finding or self._check_views(reader, start, stop)
        if finding is None:
            self._edge, self.is_done = grown, stop == self.size
        return finding

    def _bundle(self, index: int) -> str:
        number = index // TILE_WIDTH
        return "order.db" if (number + 1) * TILE_WIDTH > self.size else f"{EntryBundle(number).path}.zst"

    def _compare(self, tile: Tile, data: bytes) -> Finding | None:
        """What is wrong with a stored tile that has to hold these bytes."""
        first = tile.index * TILE_WIDTH
        try:
            stored = self._stores.objects.get(log_key(self.tenant, tile.path))
        except _DAMAGE as error:
            return Finding("structure", tile.path, str(error), first << tile.level * TILE_HEIGHT)
        if stored == data:
            return None
        wrong = next((at for at in range(TILE_WIDTH) if _hash(stored, at) != _hash(data, at)), TILE_WIDTH - 1)
        place = f"{tile.path} and {self._bundle(first)}" if tile.level == 0 else tile.path
        return Finding("structure", place, "it does not hold the hashes of the entries", self._leaf(tile, wrong))

    def _leaf(self, tile: Tile, at: int) -> int:
        return (tile.index * TILE_WIDTH + at) << tile.level * TILE_HEIGHT

    def _check_root(self, grown: Edge) -> Finding | None:
        """What is wrong with the whole: the signature, or the root under it."""
        try:
            keys = parse_vkeys(self._vkeys)
            checkpoint = open_checkpoint(self.note, origin=self._origin, log_keys=keys).checkpoint
        except _DAMAGE as error:
            return Finding("structure", "checkpoint", str(error))
        if grown.root == checkpoint.root:
            return None
        first = self.size - self.size % TILE_WIDTH
        return Finding("structure", "checkpoint", "what is stored does not lead to the signed root", first, self.size)

    def _check_views(self, reader: LogReader, start: int, stop: int) -> Finding | None:
        frames = range(start // FRAME_ENTRIES, -(-stop // FRAME_ENTRIES))
        different = next(inspect(self.tenant, reader=reader, stores=self._stores, frames=frames), None)
        return Finding("index", "views", different.what, different.index) if different else None


def _hash(tile: bytes, at: int) -> bytes:
    return tile[at * HASH_BYTES : (at + 1) * HASH_BYTES]
