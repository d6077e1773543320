"""The keepers under test: how each is opened on the same stored state, and what it does that others do not."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from atp.merkle.hashes import leaf_hashes
from atp.ports.event_store import Batch, EventStore, Log

ADMITS_ONE_OPENER = "admits one opener"
IS_EXACT = "answers no index of another id"
IS_STRICT = "misuse is a ValueError"

Port = TypeVar("Port")


@dataclass(slots=True)
class Keeper(Generic[Port]):
    """`open()` opens the state that was stored before; what was opened is closed when the test ends."""

    name: str
    opener: Callable[[], Port]
    tags: frozenset[str] = frozenset()
    opened: list[Any] = field(default_factory=list)

    def open(self) -> Port:
        store = self.opener()
        self.opened.append(store)
        return store

    def reopen(self, store: Any) -> Port:
        store.close()
        return self.open()

    def close(self) -> None:
        for store in self.opened:
            if hasattr(store, "close"):
                store.close()


def log(tenant: str) -> Log:
    return Log(tenant, f"example.com/{tenant}", "2026-01-01T00:00:00Z")


def entry(tenant: str, index: int) -> bytes:
    """What stands at an index, of a length that differs from index to index; the first is empty."""
    return (b"%d of %s " % (index, tenant.encode())) * (index % 7) if index else b""


def event_id(tenant: str, index: int) -> str:
    return f"{tenant}-event-{index}"


def batch(tenant: str, first: int, count: int) -> Batch:
    indexes = range(first, first + count)
    return batch_of(tenant, first, [entry(tenant, k) for k in indexes], [event_id(tenant, k) for k in indexes])


def batch_of(tenant: str, first: int, entries: Sequence[bytes], ids: Sequence[str]) -> Batch:
    return Batch(tenant, first, entries, leaf_hashes(entries), ids)


def filled(store: EventStore, tenant: str, *sizes: int) -> None:
    """Create a log and append batches of these sizes, each in a step of its own."""
    store.create_log(log(tenant))
    for size in sizes:
        store.append([batch(tenant, store.size(tenant), size)], {})


def check_whole(store: EventStore, tenant: str, *, size: int) -> None:
    """The store holds exactly the first `size` entries of `filled`, finds each by its id, and no other."""
    assert store.size(tenant) == size
    start = store.held_from(tenant)
    assert store.read(tenant, start=start, stop=size + 1) == [entry(tenant, k) for k in range(start, size)]
    ids = [event_id(tenant, k) for k in range(size)]
    found = store.find(tenant, ids)
    assert [k for k, name in enumerate(ids) if k not in found.get(name, [])] == []
