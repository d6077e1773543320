"""Keepers in memory, for tests and simulations: the strictest, what others bear is a ValueError here."""

import hashlib
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

from atp import limits
from atp.errors import ConflictError, MissingError, TamperedError, UnavailableError
from atp.limits import TILE_WIDTH
from atp.log.bundles import pack_bundle
from atp.merkle.hashes import leaf_hashes
from atp.ports.event_store import Batch, Log, Parked, Succession, Swap
from atp.ports.key_store import ApiKey
from atp.ports.object_store import check_key


@dataclass(slots=True)
class _Held:
    log: Log
    entries: list[bytes] = field(default_factory=list)
    trimmed: int = 0
    indexes: dict[bytes, list[int]] = field(default_factory=dict)
    note: bytes | None = None
    note_size: int = 0
    parked: dict[str, Parked] = field(default_factory=dict)


class MemoryEventStore:
    """The EventStore port on dictionaries; nothing outlives the process.

    Ids are hashed to 16 bits, so `find` does answer indexes of other ids now and then, as the port allows.
    """

    def __init__(self) -> None:
        self._logs: dict[str, _Held] = {}
        self._lock = threading.RLock()

    def create_log(self, log: Log) -> None:
        """See EventStore."""
        with self._lock:
            if any(log.tenant == held.log.tenant or log.origin == held.log.origin for held in self._logs.values()):
                raise ConflictError(f"could not create log {log.tenant!r}: the tenant or its origin exists")
            self._logs[log.tenant] = _Held(log)

    def logs(self) -> list[Log]:
        """See EventStore."""
        with self._lock:
            return [held.log for held in self._logs.values()]

    def append(self, batches: Sequence[Batch], parked: Mapping[str, Sequence[Parked]]) -> None:
        """See EventStore."""
        with self._lock:
            sizes: dict[str, int] = {}
            for batch in batches:
                _check_batch(batch)
                size = sizes.get(batch.tenant, self.size(batch.tenant))
                if batch.first_index != size:
                    raise ConflictError(
                        f"could not append to log {batch.tenant!r} at {batch.first_index}: its size is {size}",
                        hint="read the size again; another writer is at work",
                    )
                sizes[batch.tenant] = size + len(batch.entries)
            holders = [(self._held(tenant), records) for tenant, records in parked.items()]
            for batch in batches:
                self._extend(self._held(batch.tenant), batch)
            for held, records in holders:
                for record in records:
                    held.parked.setdefault(record.key, record)

    def size(self, tenant: str) -> int:
        """See EventStore."""
        with self._lock:
            return len(self._held(tenant).entries)

    def held_from(self, tenant: str) -> int:
        """See EventStore."""
        with self._lock:
            return self._held(tenant).trimmed

    def read(self, tenant: str, *, start: int, stop: int) -> list[bytes]:
        """See EventStore."""
        with self._lock:
            held = self._held(tenant)
            if start < held.trimmed:
                raise MissingError(
                    f"could not read entry {start} of log {tenant!r}: it was trimmed",
                    hint=f"entries below {held.trimmed} stand in the object store",
                )
            return held.entries[start:stop]

    def leaves(self, tenant: str, *, start: int, stop: int) -> list[bytes]:
        """See EventStore."""
        return leaf_hashes(self.read(tenant, start=start, stop=stop))

    def bundles(self, tenant: str, *, start: int, stop: int) -> list[bytes]:
        """See EventStore. ValueError when an entry of them is not there yet."""
        entries = [self.read(tenant, start=n * TILE_WIDTH, stop=(n + 1) * TILE_WIDTH) for n in range(start, stop)]
        if any(len(bundle) < TILE_WIDTH for bundle in entries):
            raise ValueError(f"bundles {start} to {stop} of {tenant!r} are not full yet")
        return [pack_bundle(bundle) for bundle in entries]

    def trim(self, below: Mapping[str, int]) -> None:
        """See EventStore. ValueError when a bound is above the size of the newest checkpoint."""
        with self._lock:
            for tenant, bound in below.items():
                held = self._held(tenant)
                if bound > held.note_size:
                    raise ValueError(f"trim of {tenant!r} below {bound}: its newest checkpoint is of {held.note_size}")
                for index in range(held.trimmed, bound):
                    held.entries[index] = b""
                held.trimmed = max(held.trimmed, bound)

    def find(self, tenant: str, ids: Sequence[str]) -> dict[str, list[int]]:
        """See EventStore."""
        with self._lock:
            indexes = self._held(tenant).indexes
            if self.is_missing_ids():
                raise UnavailableError("could not look up ids: the id index is lost", hint="rebuild it")
            return {event_id: list(indexes[key]) for event_id in ids if (key := _id_key(event_id)) in indexes}

    def is_missing_ids(self) -> bool:
        """See EventStore. Never, unless `lose_ids` was called."""
        with self._lock:
            return any(len(held.entries) and not held.indexes for held in self._logs.values())

    def lose_ids(self) -> None:
        """Forget the id index, as a disk may."""
        with self._lock:
            for held in self._logs.values():
                held.indexes.clear()

    def learn_ids(self, entries: Iterable[tuple[str, int, Sequence[str]]]) -> None:
        """See EventStore. ValueError unless every index of every log is learnt exactly once, in order."""
        with self._lock:
            learnt: dict[str, list[str]] = {tenant: [] for tenant in self._logs}
            for tenant, first, ids in entries:
                if first != len(learnt[tenant]):
                    raise ValueError(f"ids of {tenant!r} from {first}: {len(learnt[tenant])} comes next")
                learnt[tenant] += ids
            for tenant, held in self._logs.items():
                if len(learnt[tenant]) != len(held.entries):
                    raise ValueError(f"{len(learnt[tenant])} ids of {tenant!r} for {len(held.entries)} entries")
                held.indexes.clear()
                _index(held, 0, learnt[tenant])

    def checkpoint(self, tenant: str) -> bytes | None:
        """See EventStore."""
        with self._lock:
            return self._held(tenant).note

    def swap_checkpoints(self, swaps: Sequence[Swap]) -> None:
        """See EventStore. ValueError when a checkpoint goes back, covers no entry yet, or a tenant stands twice."""
        with self._lock:
            if len({swap.tenant for swap in swaps}) != len(swaps):
                raise ValueError("two checkpoints of one tenant in one swap")
            for swap in swaps:
                held = self._held(swap.tenant)
                if held.note != swap.old:
                    raise ConflictError(
                        f"could not swap the checkpoint of {swap.tenant!r}: another one is stored",
                        hint="read it again; another publisher is at work",
                    )
                if not held.note_size <= swap.size <= len(held.entries):
                    raise ValueError(f"checkpoint of size {swap.size} for {len(held.entries)} after {held.note_size}")
            for swap in swaps:
                held = self._held(swap.tenant)
                held.note, held.note_size = bytes(swap.new), swap.size

    def succeed(self, successions: Sequence[Succession]) -> None:
        """See EventStore. ValueErrors as `swap_checkpoints`."""
        with self._lock:
            heirs = {one.swap.tenant: one for one in successions}
            for tenant, one in heirs.items():
                others = {held.log.origin for name, held in self._logs.items() if name != tenant}
                if self._held(tenant).log.origin != one.former or one.origin in others:
                    raise ConflictError(f"could not let the log of {tenant!r} go on as {one.origin!r}", hint="reread")
            self.swap_checkpoints([one.swap for one in successions])
            for tenant, one in heirs.items():
                held = self._held(tenant)
                held.log = replace(held.log, origin=one.origin)

    def parked(self, tenant: str, *, limit: int) -> list[Parked]:
        """See EventStore."""
        with self._lock:
            records = self._held(tenant).parked.values()
            return sorted(records, key=lambda record: (record.parked_at, record.key))[:limit]

    def parked_count(self, tenant: str) -> int:
        """See EventStore."""
        with self._lock:
            return len(self._held(tenant).parked)

    def close(self) -> None:
        """See EventStore. What is stored stays, so that a test can open the same store again."""

    def _held(self, tenant: str) -> _Held:
        if tenant not in self._logs:
            raise MissingError(f"could not find log {tenant!r}: there is no such tenant")
        return self._logs[tenant]

    def _extend(self, held: _Held, batch: Batch) -> None:
        held.entries += batch.entries
        _index(held, batch.first_index, batch.ids)


def _check_batch(batch: Batch) -> None:
    if len(batch.entries) != len(batch.ids):
        raise ValueError(f"{len(batch.ids)} ids for {len(batch.entries)} entries")
    if list(batch.leaves) != leaf_hashes(batch.entries):
        raise ValueError("a leaf is not that of its entry")
    if any(type(entry) is not bytes or len(entry) > limits.ENTRY_BYTES_MAX for entry in batch.entries):
        raise ValueError(f"an entry is not bytes of at most {limits.ENTRY_BYTES_MAX}")


def _id_key(event_id: str) -> bytes:
    return hashlib.blake2b(event_id.encode(), digest_size=2).digest()


def _index(held: _Held, first: int, ids: Sequence[str]) -> None:
    for index, event_id in enumerate(ids, first):
        held.indexes.setdefault(_id_key(event_id), []).append(index)


class MemoryObjectStore:
    """The ObjectStore port on a dictionary."""

    def __init__(self) -> None:
        self._objects: dict[str, bytes] = {}
        self._mutable: set[str] = set()
        self._lock = threading.Lock()

    def put(self, objects: Mapping[str, bytes]) -> None:
        """See ObjectStore. ValueError when the key was stored by `replace`."""
        for key in objects:
            check_key(key)
        with self._lock:
            for key, data in objects.items():
                if key in self._mutable:
                    raise ValueError(f"{key!r} is mutable: it was stored by replace")
                if self._objects.get(key, data) != data:
                    raise TamperedError(f"could not store {key!r}: it holds other bytes", hint="verify the log")
                self._objects[key] = bytes(data)

    def replace(self, key: str, data: bytes) -> None:
        """See ObjectStore. ValueError when the key was stored by `put`."""
        with self._lock:
            check_key(key)
            if key in self._objects and key not in self._mutable:
                raise ValueError(f"{key!r} is immutable: it was stored by put")
            self._mutable.add(key)
            self._objects[key] = bytes(data)

    def get(self, key: str) -> bytes:
        """See ObjectStore."""
        with self._lock:
            check_key(key)
            if key not in self._objects:
                raise MissingError(f"could not read {key!r}: there is no such object")
            return self._objects[key]

    def keys(self, prefix: str) -> Iterator[str]:
        """See ObjectStore."""
        with self._lock:
            found = [key for key in self._objects if key.startswith(prefix)]
        return iter(found)


class MemoryKeyStore:
    """The KeyStore port on dictionaries."""

    def __init__(self) -> None:
        self._log_keys: dict[str, list[str]] = {}
        self._api_keys: list[ApiKey] = []
        self._evidence_key = ""
        self._lock = threading.Lock()

    def log_keys(self, tenant: str) -> list[str]:
        """See KeyStore."""
        with self._lock:
            if tenant not in self._log_keys:
                raise MissingError(f"could not find signing keys of {tenant!r}: there are none")
            return list(self._log_keys[tenant])

    def put_log_keys(self, tenant: str, keys: Sequence[str]) -> None:
        """See KeyStore. ValueError without a key."""
        if not keys:
            raise ValueError("a log without a signing key")
        with self._lock:
            self._log_keys[tenant] = list(keys)

    def evidence_key(self) -> str:
        """See KeyStore."""
        with self._lock:
            if not self._evidence_key:
                raise MissingError("could not find the evidence key: there is none")
            return self._evidence_key

    def put_evidence_key(self, key: str) -> None:
        """See KeyStore. ValueError when it is not one line."""
        if not key or not key.isprintable():
            raise ValueError("an evidence key that is not one line")
        with self._lock:
            self._evidence_key = key

    def api_keys(self) -> list[ApiKey]:
        """See KeyStore."""
        with self._lock:
            return list(self._api_keys)

    def put_api_keys(self, keys: Sequence[ApiKey]) -> None:
        """See KeyStore. ValueError when two keys have one id."""
        if len({key.id for key in keys}) != len(keys):
            raise ValueError("two API keys have one id")
        with self._lock:
            self._api_keys = list(keys)


class FrozenClock:
    """The Clock port standing still until it is told: equal seeds give equal "random" bytes."""

    def __init__(self, now: datetime = datetime(2026, 1, 1, tzinfo=UTC), *, seed: int = 0) -> None:
        self._now = now
        self._monotonic = 0.0
        self._seed = seed
        self._drawn = 0
        self._lock = threading.Lock()

    def now(self) -> datetime:
        """See Clock."""
        with self._lock:
            return self._now

    def monotonic(self) -> float:
        """See Clock."""
        with self._lock:
            return self._monotonic

    def random_bytes(self, count: int) -> bytes:
        """See Clock; a function of the seed and of what was drawn before."""
        with self._lock:
            self._drawn += 1
            return hashlib.shake_256(f"{self._seed}/{self._drawn}".encode()).digest(count)

    def advance(self, seconds: float) -> None:
        """Let time pass on both clocks. ValueError when it is negative."""
        if seconds < 0:
            raise ValueError("time passes forwards; use step")
        with self._lock:
            self._now += timedelta(seconds=seconds)
            self._monotonic += seconds

    def step(self, seconds: float) -> None:
        """Set the wall clock forwards or back, as an operator or NTP does; the monotonic clock does not notice."""
        with self._lock:
            self._now += timedelta(seconds=seconds)
