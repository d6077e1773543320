"""Keepers that fail on demand: each delegates to another one and drops, or keeps and denies, its n-th write."""

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from atp.app.pipeline import Stores
from atp.errors import UnavailableError
from atp.ports.event_store import Batch, EventStore, Log, Parked, Succession, Swap
from atp.ports.key_store import ApiKey, KeyStore
from atp.ports.object_store import ObjectStore
from atp.ports.read_models import Frame, Narrowing, ReadModels

WRITES = ("create_log", "append", "swap", "put", "replace", "extend", "trim", "log_keys", "api_keys")
"""Every write of the path, by the keeper's method; `append` parks, too."""


@dataclass
class Fault:
    """What happens to the `nth` write named `write`: it is lost, or kept though it fails; once, or for ever."""

    write: str
    nth: int
    is_kept: bool
    is_for_ever: bool
    error: Exception = field(default_factory=lambda: UnavailableError("could not write: the disk failed"))
    fired: int = 0
    _count: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def pass_through(self, write: str, act: Callable[[], None]) -> None:
        """Do a write, unless it is the one that fails."""
        with self._lock:
            self._count += write == self.write
            is_hit = write == self.write and (self._count == self.nth or (self.is_for_ever and self._count > self.nth))
            self.fired += is_hit
        if not is_hit or self.is_kept:
            act()
        if is_hit:
            raise self.error


class FaultyEventStore:
    """The EventStore port on another one, with a fault."""

    def __init__(self, inner: EventStore, fault: Fault) -> None:
        self._inner = inner
        self._fault = fault
        self.logs = inner.logs
        self.size = inner.size
        self.held_from = inner.held_from
        self.read = inner.read
        self.leaves = inner.leaves
        self.bundles = inner.bundles
        self.find = inner.find
        self.is_missing_ids = inner.is_missing_ids
        self.checkpoint = inner.checkpoint
        self.parked = inner.parked
        self.parked_count = inner.parked_count
        self.close = inner.close

    def create_log(self, log: Log) -> None:
        self._fault.pass_through("create_log", lambda: self._inner.create_log(log))

    def append(self, batches: Sequence[Batch], parked: Mapping[str, Sequence[Parked]]) -> None:
        self._fault.pass_through("append", lambda: self._inner.append(batches, parked))

    def trim(self, below: Mapping[str, int]) -> None:
        self._fault.pass_through("trim", lambda: self._inner.trim(below))

    def learn_ids(self, entries: Iterable[tuple[str, int, Sequence[str]]]) -> None:
        self._inner.learn_ids(entries)

    def swap_checkpoints(self, swaps: Sequence[Swap]) -> None:
        self._fault.pass_through("swap", lambda: self._inner.swap_checkpoints(swaps))

    def succeed(self, successions: Sequence[Succession]) -> None:
        self._fault.pass_through("swap", lambda: self._inner.succeed(successions))


class FaultyObjectStore:
    """The ObjectStore port on another one, with a fault: each object of a `put` is a write of its own."""

    def __init__(self, inner: ObjectStore, fault: Fault) -> None:
        self._inner = inner
        self._fault = fault

    def put(self, objects: Mapping[str, bytes]) -> None:
        for key, data in objects.items():
            self._put_one(key, data)

    def replace(self, key: str, data: bytes) -> None:
        self._fault.pass_through("replace", lambda: self._inner.replace(key, data))

    def get(self, key: str) -> bytes:
        return self._inner.get(key)

    def keys(self, prefix: str) -> Iterator[str]:
        return self._inner.keys(prefix)

    def _put_one(self, key: str, data: bytes) -> None:
        self._fault.pass_through("put", lambda: self._inner.put({key: data}))


class FaultyReadModels:
    """The ReadModels port on another one, with a fault."""

    def __init__(self, inner: ReadModels, fault: Fault) -> None:
        self._inner = inner
        self._fault = fault

    def followed(self, tenant: str) -> int:
        return self._inner.followed(tenant)

    def extend(self, tenant: str, frames: Sequence[Frame]) -> None:
        self._fault.pass_through("extend", lambda: self._inner.extend(tenant, frames))

    def candidates(self, tenant: str, narrowing: Narrowing) -> Iterator[int]:
        return self._inner.candidates(tenant, narrowing)

    def matches(self, tenant: str, frame: Frame) -> bool:
        return self._inner.matches(tenant, frame)

    def clear(self, tenant: str) -> None:
        self._inner.clear(tenant)


class FaultyKeyStore:
    """The KeyStore port on another one, with a fault."""

    def __init__(self, inner: KeyStore, fault: Fault) -> None:
        self._inner = inner
        self._fault = fault

    def log_keys(self, tenant: str) -> list[str]:
        return self._inner.log_keys(tenant)

    def put_log_keys(self, tenant: str, keys: Sequence[str]) -> None:
        self._fault.pass_through("log_keys", lambda: self._inner.put_log_keys(tenant, keys))

    def evidence_key(self) -> str:
        return self._inner.evidence_key()

    def put_evidence_key(self, key: str) -> None:
        self._fault.pass_through("evidence_key", lambda: self._inner.put_evidence_key(key))

    def api_keys(self) -> list[ApiKey]:
        return self._inner.api_keys()

    def put_api_keys(self, keys: Sequence[ApiKey]) -> None:
        self._fault.pass_through("api_keys", lambda: self._inner.put_api_keys(keys))


def faulty(stores: Stores, fault: Fault) -> Stores:
    """The same keepers behind one fault."""
    return Stores(
        events=FaultyEventStore(stores.events, fault),
        objects=FaultyObjectStore(stores.objects, fault),
        models=FaultyReadModels(stores.models, fault),
        keys=FaultyKeyStore(stores.keys, fault),
    )
