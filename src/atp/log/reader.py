"""Reading one published log: entries, frames and tiles, be they full ones (objects) or the tail (the order)."""

from collections import OrderedDict
from collections.abc import Callable, Sequence
from functools import lru_cache
from threading import Lock

from atp.errors import MissingError, TamperedError
from atp.limits import FRAME_ENTRIES, TILE_WIDTH
from atp.log import bundles
from atp.merkle.checkpoints import Checkpoint, parse_checkpoint
from atp.merkle.entries import decode_entries, encode_entries
from atp.merkle.hashes import complete_root, leaf_hashes
from atp.merkle.notes import parse_note
from atp.merkle.tiles import EntryBundle, Tile, tile_width
from atp.ports.event_store import EventStore
from atp.ports.object_store import ObjectStore

_CACHED_BUNDLES = 64
_CACHED_FRAMES = 64
_CACHED_ROOTS = 65_536


def log_key(tenant: str, path: str) -> str:
    """The object key of a path of a tenant's log."""
    return f"logs/{tenant}/{path}"


def bundle_key(tenant: str, number: int) -> str:
    """The object key of a full entry bundle."""
    return log_key(tenant, EntryBundle(number).path + ".zst")


@lru_cache(maxsize=4_096)
def read_checkpoint(note: bytes) -> Checkpoint:
    """What a note of our own order says. Its signature is not checked: the order is trusted, and made it."""
    return parse_checkpoint(parse_note(note).text)


class Cache:
    """What readers of all logs share: some stored bundles and roots of full tiles. Immutable things only."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._bundles: OrderedDict[str, bytes] = OrderedDict()
        self._frames: OrderedDict[tuple[str, int], list[bytes]] = OrderedDict()
        self._roots: OrderedDict[str, bytes] = OrderedDict()

    def bundle(self, key: str, objects: ObjectStore) -> bytes:
        """A stored bundle, read at most once while it is in use."""
        with self._lock:
            if (stored := self._bundles.get(key)) is not None:
                self._bundles.move_to_end(key)
                return stored
        try:
            stored = objects.get(key)
        except MissingError as error:  # published, so it was stored once
            raise TamperedError(str(error), hint="run atp verify, then restore the file") from None
        with self._lock:
            self._bundles[key] = stored
            while len(self._bundles) > _CACHED_BUNDLES:
                self._bundles.popitem(last=False)
        return stored

    def frame(self, key: str, part: int, read: Callable[[], list[bytes]]) -> list[bytes]:
        """The entries of one full, published frame of the bundle at `key`, read at most once while they are in use."""
        with self._lock:
            if (entries := self._frames.get((key, part))) is not None:
                self._frames.move_to_end((key, part))
                return entries
        entries = read()
        with self._lock:
            self._frames[key, part] = entries
            while len(self._frames) > _CACHED_FRAMES:
                self._frames.popitem(last=False)
        return entries

    def root(self, key: str) -> bytes | None:
        """The root of a full tile (tenant, level, index), if it is known."""
        with self._lock:
            return self._roots.get(key)

    def keep_root(self, key: str, root: bytes) -> None:
        """Remember the root of a full tile."""
        with self._lock:
            self._roots[key] = root
            while len(self._roots) > _CACHED_ROOTS:
                self._roots.popitem(last=False)


class BundleReader:
    """The full bundles among the first `size` entries of a log, from objects alone: for who has no order."""

    def __init__(self, tenant: str, *, size: int, object_store: ObjectStore, cache: Cache) -> None:
        self.tenant = tenant
        self._size = size - size % TILE_WIDTH
        self._object_store = object_store
        self._cache = cache

    def size(self) -> int:
        """How many entries stand in those bundles."""
        return self._size

    def frame(self, number: int) -> list[bytes]:
        """The 64 entries of one frame. TamperedError when its bundle is damaged or gone."""
        return _stored_frame(self.tenant, number, self._object_store, self._cache)


class LogReader:
    """One tenant's log as published: nothing beyond the newest committed checkpoint is answered."""

    def __init__(self, tenant: str, *, event_store: EventStore, object_store: ObjectStore, cache: Cache) -> None:
        self.tenant = tenant
        self._event_store = event_store
        self._object_store = object_store
        self._cache = cache

    def checkpoint(self) -> bytes:
        """The newest committed checkpoint, a signed note. MissingError before the first one."""
        note = self._event_store.checkpoint(self.tenant)
        if note is None:
            raise MissingError(f"could not read the checkpoint of {self.tenant}: nothing is published yet")
        return note

    def size(self) -> int:
        """How many entries are published; fewer when the order lost the last of them."""
        note = self._event_store.checkpoint(self.tenant)
        return min(read_checkpoint(note).size, self._event_store.size(self.tenant)) if note else 0

    def entries(self, start: int, stop: int) -> list[bytes]:
        """The published entries [start, stop), as many as there are."""
        size = self.size()
        return self._stored(start, min(stop, size), full=size - size % TILE_WIDTH)

    def durable(self, start: int, stop: int) -> list[bytes]:
        """The durable entries [start, stop), published or not, as many as there are."""
        stop = min(stop, self._event_store.size(self.tenant))
        return self._stored(start, stop, full=min(self._event_store.held_from(self.tenant), stop))

    def durable_entry(self, index: int) -> bytes:
        """One durable entry, published or not. Neighbours cost next to nothing after the first."""
        size = self.size()
        if index < size - size % TILE_WIDTH:
            return self._full_frame(index // FRAME_ENTRIES)[index % FRAME_ENTRIES]
        return self.durable(index, index + 1)[0]

    def _full_frame(self, number: int) -> list[bytes]:
        return _stored_frame(self.tenant, number, self._object_store, self._cache)

    def _stored(self, start: int, stop: int, *, full: int) -> list[bytes]:
        """Entries below `full` come from bundles, the others from the order."""
        found: list[bytes] = []
        at, end = start, min(stop, full)  # the order holds whole batches: it may begin within a bundle
        while at < end:
            number, skipped = divmod(at, TILE_WIDTH)
            stored = self._cache.bundle(bundle_key(self.tenant, number), self._object_store)
            entries = decode_entries(bundles.unpack_bundle(stored))
            found += entries[skipped : skipped + end - at]
            at += TILE_WIDTH - skipped
        return found + self._tail(max(start, full), stop)

    def entry(self, index: int) -> bytes:
        """One published entry. MissingError when there is none."""
        frame = self.frame(index // FRAME_ENTRIES)
        if index < 0 or index % FRAME_ENTRIES >= len(frame):
            raise MissingError(f"could not read entry {index} of {self.tenant}: the log has {self.size()} entries")
        return frame[index % FRAME_ENTRIES]

    def frame(self, number: int) -> list[bytes]:
        """The published entries of one frame: 64 consecutive ones, or fewer at the end."""
        first = number * FRAME_ENTRIES
        beyond, size = first + FRAME_ENTRIES, self.size()
        if first // TILE_WIDTH < size // TILE_WIDTH:
            return self._full_frame(number)
        if beyond > size:
            return self._tail(first, size)
        key, part = _place(self.tenant, number)
        return self._cache.frame(key, part, lambda: self._tail(first, beyond))

    def bundle(self, number: int, width: int) -> bytes:
        """Plain C2SP bundle bytes of `width` entries (256 is full)."""
        first = number * TILE_WIDTH
        if first + TILE_WIDTH <= self.size():
            key = bundle_key(self.tenant, number)
            plain = bundles.unpack_bundle(self._cache.bundle(key, self._object_store))
            return plain if width == TILE_WIDTH else encode_entries(decode_entries(plain)[:width])
        if first + width > self.size():
            raise MissingError(f"could not read bundle {number} of {self.tenant}: it reaches beyond the published log")
        return encode_entries(self._tail(first, first + width))

    def tiles(self, tiles: Sequence[Tile]) -> list[bytes]:
        """The bytes of hash tiles, partial ones included. MissingError beyond what is published."""
        size = self.size()
        return [self._tile(tile, size) for tile in tiles]

    def _tile(self, tile: Tile, size: int) -> bytes:
        width = tile_width(level=tile.level, index=tile.index, size=size)
        if tile.width > width:
            raise MissingError(f"could not read {tile.path} of {self.tenant}: it reaches beyond the published log")
        if width == TILE_WIDTH:
            key = log_key(self.tenant, Tile(tile.level, tile.index).path)
            return self._object_store.get(key)[: tile.bytes_total]
        first = tile.index * TILE_WIDTH
        if tile.level == 0:
            return b"".join(leaf_hashes(self._tail(first, first + tile.width)))
        return b"".join(self._root(Tile(tile.level - 1, first + child)) for child in range(tile.width))

    def _root(self, tile: Tile) -> bytes:
        key = log_key(self.tenant, tile.path)
        root = self._cache.root(key)
        if root is None:
            root = complete_root(self._object_store.get(key))
            self._cache.keep_root(key, root)
        return root

    def _tail(self, start: int, stop: int) -> list[bytes]:
        if start >= stop:
            return []
        try:
            return self._event_store.read(self.tenant, start=start, stop=stop)
        except MissingError:  # trimmed since the size was read: these bundles are full by now
            held = self._event_store.held_from(self.tenant)
            if start >= held:
                raise
            return self._stored(start, stop, full=held)


def _place(tenant: str, number: int) -> tuple[str, int]:
    """The bundle of a frame, and which part of it that is."""
    bundle, part = divmod(number, TILE_WIDTH // FRAME_ENTRIES)
    return bundle_key(tenant, bundle), part


def _stored_frame(tenant: str, number: int, objects: ObjectStore, cache: Cache) -> list[bytes]:
    key, part = _place(tenant, number)
    return cache.frame(key, part, lambda: bundles.unpack_frame(cache.bundle(key, objects), part))
