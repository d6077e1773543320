"""What a follower tells of a trail may go into that very trail: it alone is no reason to ship anything.

Else each increment would be written down, which is the reason for another. It is shipped with whatever comes next.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from atp.errors import AtpError
from atp.ops.backups.act.kinds.trail.logs import Held
from atp.ops.backups.evidence import BACKUP_SHIPPED
from atp.ops.estate.evidence.proofs import BACKUP_DONE
from atp.tenants.names import OPERATIONS
from atp.verify.entry import parse_entry
from atp.verify.order import Order, open_order


def only_told(order: Path, *, beyond: Held, dataset: str) -> bool:
    """Whether all that the operators' log of an order has beyond what was copied is what a follower told of this
    dataset; what cannot be read is something else. Costs the batches of that log that no bundle holds yet."""
    size = next((log.size for log in beyond.logs if log.tenant == OPERATIONS), 0)
    try:
        with open_order(order) as found:
            return all(_is_ours(entry, dataset) for entry in _entries(found, first=size))
    except AtpError:
        return False


def _entries(order: Order, *, first: int) -> Iterator[bytes | None]:
    """From an index on; None for those that cannot be told apart, or that are in bundles alone already."""
    reached = first
    for log in order.logs():
        for batch in order.batches(log.number) if log.tenant == OPERATIONS else ():
            yield from (None for _ in range(reached, batch.first))
            entries = batch.entries or (None,) * batch.count
            yield from (entry for index, entry in enumerate(entries, batch.first) if index >= first)
            reached = batch.first + batch.count


def _is_ours(entry: bytes | None, dataset: str) -> bool:
    event: Any = parse_entry(entry).get("event") if entry is not None else None
    if not isinstance(event, dict) or event.get("action") not in (BACKUP_SHIPPED, BACKUP_DONE):
        return False
    resource = event.get("resource")
    return isinstance(resource, dict) and resource.get("id") == dataset
