"""Any sequence of appends, trims, swaps and reopenings, against plain lists."""

import tempfile
from dataclasses import dataclass, field
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from atp.adapters.memory import MemoryEventStore
from atp.adapters.sqlite import open_order
from atp.errors import ConflictError
from atp.ports.event_store import EventStore, Swap
from tests.contracts.keepers import Keeper, batch_of, log

TENANTS = ("a", "b")


@dataclass(slots=True)
class Model:
    """What a tenant's log has to hold."""

    entries: list[bytes] = field(default_factory=list)
    ids: list[str] = field(default_factory=list)
    note: bytes | None = None
    trimmed: int = 0


@dataclass(frozen=True, slots=True)
class Append:
    tenant: str
    entries: list[bytes]
    ids: list[int]
    off_by: int


@dataclass(frozen=True, slots=True)
class Act:
    verb: str
    tenant: str


tenants = st.sampled_from(TENANTS)
entries = st.lists(st.binary(max_size=40), max_size=12)
appends = st.builds(
    Append, tenants, entries, st.lists(st.integers(0, 60), min_size=12, max_size=12), st.sampled_from([0, 0, 0, 0, 1])
)
acts = st.builds(Act, st.sampled_from(["reopen", "trim", "swap", "learn"]), tenants)
stories = st.lists(st.one_of(appends, appends, acts), max_size=25)


@given(stories)
def test_the_strictest_keeper_is_a_list(story: list[Append | Act]) -> None:
    store = MemoryEventStore()
    play(Keeper("memory", lambda: store), story)


@given(stories, st.sampled_from([3, 20, 1_000]))
def test_a_file_keeps_what_lists_would(story: list[Append | Act], ids_max: int) -> None:
    with tempfile.TemporaryDirectory() as directory:
        keeper = Keeper[EventStore]("sqlite", lambda: open_order(Path(directory), ids_in_memory_max=ids_max))
        try:
            play(keeper, story)
        finally:
            keeper.close()


def play(keeper: Keeper[EventStore], story: list[Append | Act]) -> None:
    store = keeper.open()
    models = {tenant: Model() for tenant in TENANTS}
    for tenant in TENANTS:
        store.create_log(log(tenant))
    for step in story:
        model = models[step.tenant]
        if isinstance(step, Append):
            append(store, model, step)
        else:
            store = act(keeper, store, models, step)
        check(store, step.tenant, model)
    store = keeper.reopen(store)
    for tenant, model in models.items():
        check(store, tenant, model)


def append(store: EventStore, model: Model, step: Append) -> None:
    ids = [f"id {number}" for number in step.ids[: len(step.entries)]]
    try:
        store.append([batch_of(step.tenant, len(model.entries) + step.off_by, step.entries, ids)], {})
    except ConflictError:
        assert step.off_by
        return
    assert not step.off_by
    model.entries += step.entries
    model.ids += ids


def act(keeper: Keeper[EventStore], store: EventStore, models: dict[str, Model], step: Act) -> EventStore:
    model = models[step.tenant]
    if step.verb == "reopen":
        return keeper.reopen(store)
    if step.verb == "learn":
        store.learn_ids([(tenant, 0, one.ids) for tenant, one in models.items()])
        return store
    size = len(model.entries)
    if step.verb == "swap":
        note = f"{model.note!r} then {size}".encode()[-40:]
        store.swap_checkpoints([Swap(step.tenant, model.note, note, size)])
        model.note = note
    elif model.note is not None:
        model.trimmed = max(model.trimmed, int(model.note.rpartition(b" ")[2]))
        store.trim({step.tenant: model.trimmed})
    return store


def check(store: EventStore, tenant: str, model: Model) -> None:
    size = len(model.entries)
    assert store.size(tenant) == size
    held_from = store.held_from(tenant)
    assert held_from <= model.trimmed
    assert store.read(tenant, start=held_from, stop=size) == model.entries[held_from:]
    assert store.checkpoint(tenant) == model.note
    found = store.find(tenant, [f"id {number}" for number in range(61)])
    for index, one in enumerate(model.ids):
        assert index in found[one]
    assert all(0 <= index < size for candidates in found.values() for index in candidates)
