"""What is kept of every log when the durable order is damaged, and which logs may not go on.

Bundles hold the full part of a log; the damaged order is asked for the rest: entries that follow without a gap and do
not contradict the bundles. A log goes on only when the order itself still knew its newest checkpoint and everything
under that is held: then no other checkpoint can have been handed out. Otherwise it can be read, and is never signed.
"""

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Protocol

from atp.errors import AtpError, MalformedError, MissingError, TamperedError
from atp.limits import TILE_WIDTH
from atp.log.bundles import unpack_bundle
from atp.log.reader import bundle_key, log_key
from atp.merkle.checkpoints import Checkpoint, open_checkpoint
from atp.merkle.entries import decode_entries
from atp.merkle.keys import VerifierKey, parse_vkey
from atp.ports.event_store import Log, Parked
from atp.ports.object_store import ObjectStore


class Wreck(Protocol):
    """What still reads of a damaged order."""

    def logs(self) -> list[Log]:
        """The logs that it knows."""

    def note(self, tenant: str) -> bytes | None:
        """Its checkpoint of a log."""

    def batches(self, tenant: str) -> list[tuple[int, int]]:
        """First index and count of each batch that it says it holds of a log, in the order of their entries."""

    def entries(self, tenant: str, first: int) -> list[bytes] | None:
        """The entries of a batch; None when they are not what was written."""

    def parked(self, tenant: str) -> list[Parked]:
        """The parked records of a log."""


@dataclass(frozen=True, slots=True)
class Salvaged:
    """What is left of a log: the batches of its order, its newest known checkpoint, and how far it is held.

    `loss` says which entries are gone, `stop` why the log may not go on; None when nothing is.
    """

    log: Log
    note: bytes | None
    size: int
    held: int
    batches: list[tuple[int, list[bytes]]]
    parked: list[Parked]
    loss: str | None = None
    stop: str | None = None


def salvage(wreck: Wreck, *, objects: ObjectStore, now: str) -> Iterator[Salvaged]:
    """What is left of every log, one in memory at a time: at most a bundle and what the order has of it."""
    logs = {log.tenant: log for log in wreck.logs()}
    for tenant in [*logs, *sorted(_tenants(objects) - logs.keys())]:
        keys = _vkeys(tenant, objects)
        log = logs.get(tenant) or (Log(tenant, keys[0].name, now) if keys else None)
        if log is not None:
            yield _salvage(log, keys, wreck, objects)


def _salvage(log: Log, keys: Sequence[VerifierKey], wreck: Wreck, objects: ObjectStore) -> Salvaged:
    ours = _opened(wreck.note(log.tenant), log, keys)
    public = _opened(_get(objects, log_key(log.tenant, "checkpoint")), log, keys)
    newest = max((ours, public), key=lambda known: known[0].size if known else -1)
    size = newest[0].size if newest else 0
    batches, held = _entries(log.tenant, wreck, objects)
    told = max([size, *(first + count for first, count in wreck.batches(log.tenant))])
    loss = f"entries {held} to {told - 1} of {log.tenant} are lost" if told > held else None
    stop = None
    if size > held:
        stop = f"its entries {held} to {size - 1} are lost, and a checkpoint covers {size}"
    elif public and (ours is None or ours[0].size < public[0].size):
        stop = "the order forgot its newest checkpoint, there may be one that nobody here knows"
    return Salvaged(log, newest[1] if newest else None, size, held, batches, wreck.parked(log.tenant), loss, stop)


def _entries(tenant: str, wreck: Wreck, objects: ObjectStore) -> tuple[list[tuple[int, list[bytes]]], int]:
    """The last full bundle, which tells where the order begins, and what follows it; and where that ends."""
    number, bundle = _last_bundle(tenant, objects)
    batches = [(number * TILE_WIDTH, bundle)] if bundle else []
    held = number * TILE_WIDTH + len(bundle)
    for first, count in wreck.batches(tenant):
        if first + count <= held:
            continue
        entries = wreck.entries(tenant, first)
        if first > held or entries is None:
            break
        known = held - first  # how many of them are held already
        common = min(known, len(bundle))
        if entries[known - common : known] != bundle[len(bundle) - common :]:
            break
        batches.append((held, entries[known:]))
        held, bundle = first + count, []
    return batches, held


def _last_bundle(tenant: str, objects: ObjectStore) -> tuple[int, list[bytes]]:
    """The number and the entries of the last full bundle before which none is missing; (0, []) without any."""
    stored = set(objects.keys(log_key(tenant, "tile/entries/")))
    count = 0
    while bundle_key(tenant, count) in stored:
        count += 1
    for number in range(count - 1, -1, -1):
        with suppress(TamperedError, MalformedError, MissingError):
            return number, decode_entries(unpack_bundle(objects.get(bundle_key(tenant, number))))
    return 0, []


def _tenants(objects: ObjectStore) -> set[str]:
    return {key.split("/")[1] for key in objects.keys("logs/") if key.endswith("/vkey")}


def _vkeys(tenant: str, objects: ObjectStore) -> list[VerifierKey]:
    with suppress(AtpError, UnicodeDecodeError):
        return [parse_vkey(line) for line in objects.get(log_key(tenant, "vkey")).decode().splitlines()]
    return []


def _get(objects: ObjectStore, key: str) -> bytes | None:
    with suppress(MissingError):
        return objects.get(key)
    return None


def _opened(note: bytes | None, log: Log, keys: Sequence[VerifierKey]) -> tuple[Checkpoint, bytes] | None:
    """The checkpoint of a note that the log signed; None for anything else."""
    with suppress(MalformedError, TamperedError):
        if note is not None:
            return open_checkpoint(note, origin=log.origin, log_keys=keys).checkpoint, note
    return None
