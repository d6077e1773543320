"""Misuse that other keepers bear in silence, and memory does not."""

from collections.abc import Callable
from datetime import timedelta

import pytest

from atp.adapters.memory import FrozenClock, MemoryEventStore, MemoryKeyStore, MemoryObjectStore
from atp.adapters.memory_repository import MemoryRepository
from atp.errors import ForbiddenError, UnavailableError
from atp.ports.event_store import Swap
from tests.contracts.keepers import batch_of, filled

MISUSES: dict[str, Callable[[MemoryEventStore], object]] = {
    "trimming what no checkpoint covers": lambda store: store.trim({"acme": 6}),
    "a checkpoint beyond the log": lambda store: store.swap_checkpoints([Swap("acme", b"5", b"9", 9)]),
    "a checkpoint that goes back": lambda store: store.swap_checkpoints([Swap("acme", b"5", b"4", 4)]),
    "two checkpoints of one log": lambda store: store.swap_checkpoints([Swap("acme", b"5", b"6", 6)] * 2),
    "an entry too long": lambda store: store.append([batch_of("acme", 8, [b"x" * 65_536], ["x"])], {}),
    "ids with a gap": lambda store: store.learn_ids([("acme", 1, ["x"] * 7)]),
    "ids of no entry": lambda store: store.learn_ids([("acme", 0, ["x"] * 9)]),
}


@pytest.mark.parametrize("misuse", MISUSES.values(), ids=MISUSES.keys())
def test_misuse_of_the_order_is_a_bug(misuse: Callable[[MemoryEventStore], object]) -> None:
    store = MemoryEventStore()
    filled(store, "acme", 8)
    store.swap_checkpoints([Swap("acme", None, b"5", 5)])
    with pytest.raises(ValueError):
        misuse(store)
    assert (store.size("acme"), store.checkpoint("acme"), store.held_from("acme")) == (8, b"5", 0)


def test_a_key_is_mutable_or_immutable_for_ever() -> None:
    store = MemoryObjectStore()
    store.put({"tile": b"1"})
    store.replace("checkpoint", b"1")
    with pytest.raises(ValueError):
        store.replace("tile", b"1")
    with pytest.raises(ValueError):
        store.put({"checkpoint": b"1"})


def test_a_repository_that_locks_unasked_says_so_and_does() -> None:
    store = MemoryRepository(FrozenClock(), locks_for=timedelta(days=1))
    with store.store("a/b") as sink:
        sink.write(b"1")
    assert store.locks_unasked() == "for 1 day, 0:00:00"
    with pytest.raises(ForbiddenError, match="could not delete"):
        store.delete("a/b")


def test_a_log_is_never_left_without_a_key() -> None:
    with pytest.raises(ValueError):
        MemoryKeyStore().put_log_keys("acme", [])


def test_lost_ids_are_missing_until_they_are_learnt() -> None:
    store = MemoryEventStore()
    filled(store, "acme", 2)
    store.lose_ids()
    assert store.is_missing_ids()
    with pytest.raises(UnavailableError):
        store.find("acme", ["b"])
    store.learn_ids([("acme", 0, ["a", "b"])])
    assert not store.is_missing_ids()
    assert store.find("acme", ["b"])["b"] == [1]
