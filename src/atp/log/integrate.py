"""3/8 integrate: pending entries -> full tiles and bundles as objects, and a root.

Tiles are a function of the entries, which are durable already: writing them twice writes the same bytes, so nothing has
to be staged before the commit point. Partial tiles and bundles are prefixes of full ones and are never stored.
"""

from atp.errors import TamperedError
from atp.limits import INTEGRATE_ENTRIES_MAX, TILE_WIDTH
from atp.log.reader import LogReader, bundle_key, log_key, read_checkpoint
from atp.merkle.edge import Edge
from atp.merkle.hashes import HASH_BYTES
from atp.merkle.tiles import TILE_HEIGHT, Tile
from atp.ports.event_store import EventStore
from atp.ports.object_store import ObjectStore


def load_edge(reader: LogReader, *, event_store: EventStore) -> Edge:
    """The edge of the tree at its newest checkpoint, read back and compared with the signed root.

    TamperedError when they differ. Costs under 256 tiles a level.
    """
    note = event_store.checkpoint(reader.tenant)
    if note is None:
        return Edge()
    checkpoint = read_checkpoint(note)
    edge = Edge(checkpoint.size, _partials(reader, checkpoint.size))
    if edge.root != checkpoint.root:
        raise TamperedError(
            f"could not open the log of {reader.tenant}: its last tiles do not lead to the signed root of size "
            f"{checkpoint.size}",
            hint=f"run atp verify --tenant {reader.tenant}",
        )
    return edge


def _partials(reader: LogReader, size: int) -> tuple[tuple[bytes, ...], ...]:
    partials: list[tuple[bytes, ...]] = []
    while count := size >> TILE_HEIGHT * len(partials):
        index, width = divmod(count, TILE_WIDTH)
        packed = reader.tiles([Tile(len(partials), index, width)])[0] if width else b""
        partials.append(tuple(packed[at : at + HASH_BYTES] for at in range(0, len(packed), HASH_BYTES)))
    return tuple(partials)


def integrate_once(edge: Edge, *, tenant: str, event_store: EventStore, object_store: ObjectStore) -> Edge:
    """Take the next pending entries into the tree; the same edge comes back when there are none.

    Every tile and bundle that became full is durable when this returns. Entries were hashed and packed when they were
    appended, so they are not looked at again. Bounded by `INTEGRATE_ENTRIES_MAX` entries; about 2 µs an entry. May be
    repeated after any failure.
    """
    stop = min(event_store.size(tenant), edge.size + INTEGRATE_ENTRIES_MAX)
    if stop == edge.size:
        return edge
    grown, full = edge.extended(event_store.leaves(tenant, start=edge.size, stop=stop))
    objects = {log_key(tenant, tile.path): data for tile, data in full.items()}
    first = edge.size // TILE_WIDTH
    bundles = event_store.bundles(tenant, start=first, stop=stop // TILE_WIDTH)
    objects |= {bundle_key(tenant, number): stored for number, stored in enumerate(bundles, first)}
    if objects:
        object_store.put(objects)
    return grown
