"""4/8 publish: a root -> a signed, public checkpoint. The one commit point of the path.

Before the swap everything may be repeated; after it everything is replayed. Two inconsistent checkpoints can never
leave this process: a note is shown to nobody before the swap that compares it with its predecessor is durable.
"""

from collections.abc import Mapping

from atp.errors import TamperedError
from atp.log.reader import log_key, read_checkpoint
from atp.merkle.checkpoints import Checkpoint, sign_checkpoint
from atp.merkle.edge import Edge
from atp.merkle.keys import SigningKey, parse_signing_key
from atp.ports.event_store import EventStore, Swap
from atp.ports.key_store import KeyStore
from atp.ports.object_store import ObjectStore


def publish_once(
    edges: Mapping[str, Edge],
    *,
    origins: Mapping[str, str],
    event_store: EventStore,
    object_store: ObjectStore,
    key_store: KeyStore,
) -> dict[str, bytes]:
    """Sign the roots that grew, commit all of them in one transaction, then show them; the new notes by tenant.

    Costs a signature (20 µs) and a synced file a log, one transaction in all.
    """
    swaps = []
    for tenant, edge in edges.items():
        old = event_store.checkpoint(tenant)
        if old is None or read_checkpoint(old).size < edge.size:
            checkpoint = Checkpoint(origins[tenant], edge.size, edge.root)
            new = sign_checkpoint(checkpoint, *signing_keys(tenant, key_store=key_store))
            swaps.append(Swap(tenant, old, new, edge.size))
    if swaps:
        event_store.swap_checkpoints(swaps)
    for swap in swaps:
        object_store.replace(log_key(swap.tenant, "checkpoint"), swap.new)
    return {swap.tenant: swap.new for swap in swaps}


def signing_keys(tenant: str, *, key_store: KeyStore) -> list[SigningKey]:
    """The keys that sign a log now: two while a key change overlaps."""
    return [parse_signing_key(key) for key in key_store.log_keys(tenant)]


def show_again(tenant: str, *, event_store: EventStore, object_store: ObjectStore, shown: bytes | None) -> None:
    """After a crash: show the committed checkpoint again, or refuse to go on when a newer one is already public.

    TamperedError: the order of this log was rolled back, signing on would fork it.
    """
    committed = event_store.checkpoint(tenant)
    if shown is not None:
        size = read_checkpoint(shown).size
        if committed is None or read_checkpoint(committed).size < size:
            known = 0 if committed is None else read_checkpoint(committed).size
            raise TamperedError(
                f"could not open the log of {tenant}: its public checkpoint is of size {size}, the order knows {known}",
                hint="the order was rolled back; put back the newer order.db, never sign on",
            )
    if committed is not None and committed != shown:
        object_store.replace(log_key(tenant, "checkpoint"), committed)
