"""4/8 publish: a root -> a signed, public checkpoint. The one commit point of the path.

Before the swap everything may be repeated; after it everything is replayed. Two inconsistent checkpoints can never
leave this process: a note is shown to nobody before the swap that compares it with its predecessor is durable.
"""

from collections.abc import Mapping

from atp.errors import TamperedError
from atp.log.reader import Cache, LogReader, log_key, read_checkpoint
from atp.merkle.checkpoints import Checkpoint, sign_checkpoint
from atp.merkle.edge import Edge
from atp.merkle.keys import SigningKey, parse_signing_key
from atp.merkle.proofs import check_consistency, prove_consistency
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
    """After a crash: show the committed checkpoint again, or refuse to go on where that would fork the log.

    TamperedError: entries under the committed checkpoint are lost, or the public one is newer, or contradicts it.
    MissingError: tiles that the comparison needs are gone. Costs nothing more where both are the same.
    """
    committed = event_store.checkpoint(tenant)
    size = read_checkpoint(committed).size if committed else 0
    if size > (held := event_store.size(tenant)):
        raise TamperedError(
            f"could not open the log of {tenant}: its entries {held} to {size - 1} are lost, and a checkpoint covers "
            f"{size}",
            hint="put back the order.db that holds them, or restore a backup; never sign on",
        )
    if shown == committed:
        return
    if shown is not None:
        _check_grown(tenant, read_checkpoint(shown), committed, event_store=event_store, object_store=object_store)
    if committed is not None:
        object_store.replace(log_key(tenant, "checkpoint"), committed)


def _check_grown(
    tenant: str, shown: Checkpoint, committed: bytes | None, *, event_store: EventStore, object_store: ObjectStore
) -> None:
    """TamperedError unless the committed checkpoint is the public one or a later one of the same history."""
    known = read_checkpoint(committed) if committed else None
    if known is None or known.size < shown.size:
        raise TamperedError(
            f"could not open the log of {tenant}: its public checkpoint is of size {shown.size}, the order knows "
            f"{known.size if known else 0}",
            hint="the order was rolled back; put back the newer order.db, never sign on",
        )
    if shown.size == 0:
        return
    reader = LogReader(tenant, event_store=event_store, object_store=object_store, cache=Cache())
    proof = prove_consistency(old_size=shown.size, size=known.size, read_tiles=reader.tiles)
    check_consistency(old_size=shown.size, size=known.size, old_root=shown.root, proof=proof, root=known.root)
