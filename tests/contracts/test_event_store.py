"""What every EventStore keeps: the order, all or nothing, and the swap of checkpoints."""

import threading
from collections.abc import Callable

import pytest

from atp.errors import AtpError, ConflictError, MissingError, TooLargeError, UnavailableError
from atp.limits import TILE_WIDTH
from atp.log.bundles import pack_bundle
from atp.merkle.hashes import leaf_hashes
from atp.ports.event_store import EventStore, Log, Parked, Succession, Swap
from tests.contracts.keepers import (
    ADMITS_ONE_OPENER,
    IS_EXACT,
    IS_STRICT,
    Keeper,
    batch,
    batch_of,
    check_whole,
    entry,
    event_id,
    filled,
    log,
)

Keepers = Keeper[EventStore]


def parked(key: str, *, minute: int = 0) -> Parked:
    return Parked(key, "could not read the event: it is empty", b"\x00{", f"2026-01-01T00:{minute:02}:00Z")


def test_a_new_store_has_no_logs(event_stores: Keepers) -> None:
    store = event_stores.open()
    assert store.logs() == []
    assert not store.is_missing_ids()


def test_logs_are_listed_in_the_order_of_their_creation(event_stores: Keepers) -> None:
    store = event_stores.open()
    created = [log(tenant) for tenant in ("zebra", "acme", "müller")]
    for one in created:
        store.create_log(one)
    assert store.logs() == created
    assert event_stores.reopen(store).logs() == created


def test_a_tenant_and_an_origin_are_given_once(event_stores: Keepers) -> None:
    store = event_stores.open()
    store.create_log(log("acme"))
    for second in (Log("acme", "example.com/other", "t"), Log("other", "example.com/acme", "t")):
        with pytest.raises(ConflictError):
            store.create_log(second)
    assert store.logs() == [log("acme")]
    store.create_log(log("other"))


def test_a_new_log_is_empty(event_stores: Keepers) -> None:
    store = event_stores.open()
    store.create_log(log("acme"))
    check_whole(store, "acme", size=0)
    assert store.checkpoint("acme") is None
    assert store.parked_count("acme") == 0
    assert store.parked("acme", limit=9) == []
    assert store.find("acme", ["nobody"]) == {}


@pytest.mark.parametrize(
    "ask",
    [
        lambda store: store.size("nobody"),
        lambda store: store.held_from("nobody"),
        lambda store: store.read("nobody", start=0, stop=1),
        lambda store: store.find("nobody", ["x"]),
        lambda store: store.checkpoint("nobody"),
        lambda store: store.swap_checkpoints([Swap("nobody", None, b"note", 0)]),
        lambda store: store.append([batch("nobody", 0, 1)], {}),
        lambda store: store.append([], {"nobody": [parked("x")]}),
        lambda store: store.parked("nobody", limit=1),
        lambda store: store.parked_count("nobody"),
        lambda store: store.trim({"nobody": 1}),
    ],
)
def test_an_unknown_tenant_is_missing(event_stores: Keepers, ask: Callable[[EventStore], object]) -> None:
    store = event_stores.open()
    filled(store, "acme", 3)
    with pytest.raises(MissingError):
        ask(store)
    check_whole(store, "acme", size=3)


def test_entries_are_read_as_they_were_appended(event_stores: Keepers) -> None:
    store = event_stores.open()
    filled(store, "acme", 3, 1, 10)
    check_whole(store, "acme", size=14)
    for start in range(16):
        for stop in range(18):
            assert store.read("acme", start=start, stop=stop) == [entry("acme", k) for k in range(start, min(stop, 14))]


def test_the_longest_entry_is_stored_and_a_longer_one_refused(event_stores: Keepers) -> None:
    store = event_stores.open()
    store.create_log(log("acme"))
    longest = b"\xff" * 65_535
    store.append([batch_of("acme", 0, [longest], ["a"])], {})
    with pytest.raises(ValueError if IS_STRICT in event_stores.tags else TooLargeError):
        store.append([batch_of("acme", 1, [b"fits", longest + b"!"], ["b", "c"])], {})
    assert store.read("acme", start=0, stop=9) == [longest]


def test_what_was_appended_is_there_after_a_reopening(event_stores: Keepers) -> None:
    store = event_stores.open()
    filled(store, "acme", 4, 4)
    filled(store, "other", 2)
    store.append([batch("other", 2, 3)], {"acme": [parked("x")]})
    store.swap_checkpoints([Swap("acme", None, b"a note", 8)])
    again = event_stores.reopen(store)
    check_whole(again, "acme", size=8)
    check_whole(again, "other", size=5)
    assert again.checkpoint("acme") == b"a note"
    assert again.parked("acme", limit=2) == [parked("x")]
    again.append([batch("acme", 8, 1)], {})
    check_whole(again, "acme", size=9)


def test_batches_of_many_tenants_are_appended_in_one_step(event_stores: Keepers) -> None:
    store = event_stores.open()
    for tenant in ("a", "b"):
        store.create_log(log(tenant))
    store.append([batch("a", 0, 2), batch("b", 0, 3), batch("a", 2, 2)], {"b": [parked("x")]})
    check_whole(store, "a", size=4)
    check_whole(store, "b", size=3)
    assert store.parked_count("b") == 1


@pytest.mark.parametrize("wrong_first", [0, 3, 5, 100])
def test_a_gap_or_an_overlap_is_refused_and_nothing_is_written(event_stores: Keepers, wrong_first: int) -> None:
    store = event_stores.open()
    filled(store, "a", 4)
    filled(store, "b", 1)
    with pytest.raises(ConflictError):
        store.append([batch("b", 1, 2), batch("a", wrong_first, 2)], {"b": [parked("x")]})
    check_whole(store, "a", size=4)
    check_whole(store, "b", size=1)
    assert store.parked_count("b") == 0
    assert store.find("b", [event_id("b", 2)]).get(event_id("b", 2), []) in ([], [0])
    check_whole(event_stores.reopen(store), "b", size=1)


def test_one_of_two_writers_at_the_same_index_is_refused(event_stores: Keepers) -> None:
    store = event_stores.open()
    filled(store, "acme", 1)
    wrote: list[int] = []

    def write(writer: int) -> None:
        try:
            store.append([batch_of("acme", 1, [b"%d" % writer], [f"by {writer}"])], {})
            wrote.append(writer)
        except ConflictError:
            pass

    threads = [threading.Thread(target=write, args=(writer,)) for writer in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(wrote) == 1
    assert store.read("acme", start=1, stop=9) == [b"%d" % wrote[0]]


def test_a_second_opener_is_refused_or_sees_what_the_first_wrote(event_stores: Keepers) -> None:
    store = event_stores.open()
    filled(store, "acme", 2)
    if ADMITS_ONE_OPENER in event_stores.tags:
        with pytest.raises(UnavailableError):
            event_stores.open()
    else:
        check_whole(event_stores.open(), "acme", size=2)
    check_whole(store, "acme", size=2)


def test_an_empty_batch_changes_nothing(event_stores: Keepers) -> None:
    store = event_stores.open()
    filled(store, "acme", 2)
    store.append([], {})
    store.append([batch("acme", 2, 0)], {})
    check_whole(event_stores.reopen(store), "acme", size=2)


def test_ids_and_entries_of_a_batch_are_of_one_number(event_stores: Keepers) -> None:
    store = event_stores.open()
    store.create_log(log("acme"))
    with pytest.raises(ValueError):
        store.append([batch_of("acme", 0, [b"1", b"2"], ["one"])], {})
    check_whole(store, "acme", size=0)


def test_an_unknown_id_is_left_out(event_stores: Keepers) -> None:
    store = event_stores.open()
    filled(store, "acme", 3)
    filled(store, "other", 30)
    found = store.find("acme", [event_id("acme", 1), event_id("other", 1), *[f"nobody-{k}" for k in range(50)]])
    assert 1 in found[event_id("acme", 1)]
    assert all(0 <= index < 3 for candidates in found.values() for index in candidates)
    if IS_EXACT in event_stores.tags:
        assert found == {event_id("acme", 1): [1]}


def test_an_id_that_stands_twice_is_found_at_both_indexes(event_stores: Keepers) -> None:
    store = event_stores.open()
    store.create_log(log("acme"))
    store.append([batch_of("acme", 0, [b"1", b"2", b"3"], ["same", "other", "same"])], {})
    store.append([batch_of("acme", 3, [b"4"] * 9, ["same"] * 9)], {})
    expected = [0, 2, *range(3, 12)]
    assert [k for k in store.find("acme", ["same", "same"])["same"] if k != 1] == expected
    assert [k for k in event_stores.reopen(store).find("acme", ["same"])["same"] if k != 1] == expected


def test_any_text_is_an_id(event_stores: Keepers) -> None:
    store = event_stores.open()
    store.create_log(log("acme"))
    ids = ["", " ", "ä", "\U0001f600", "x" * 5_000, "a'b\"c", "%s", "{}"]
    store.append([batch_of("acme", 0, [b"entry"] * len(ids), ids)], {})
    found = event_stores.reopen(store).find("acme", ids)
    assert [index in found[one] for index, one in enumerate(ids)] == [True] * len(ids)


BATCHES = [[600], [1] * 300, [100, 200, 300, 7], [64] * 9, [250, 6, 256, 40]]


@pytest.mark.parametrize("sizes", BATCHES, ids=lambda sizes: f"{len(sizes)}")
def test_leaves_and_bundles_are_those_of_the_entries_however_they_came(event_stores: Keepers, sizes: list[int]) -> None:
    store = event_stores.open()
    filled(store, "acme", *sizes)
    entries = [entry("acme", index) for index in range(sum(sizes))]
    for _ in range(2):
        assert store.leaves("acme", start=0, stop=sum(sizes) + 9) == leaf_hashes(entries)
        assert store.leaves("acme", start=255, stop=257) == leaf_hashes(entries[255:257])
        full = len(entries) // TILE_WIDTH
        packed = [pack_bundle(entries[n * TILE_WIDTH : (n + 1) * TILE_WIDTH]) for n in range(full)]
        assert store.bundles("acme", start=0, stop=full) == packed
        assert store.bundles("acme", start=full, stop=full) == store.leaves("acme", start=9, stop=9) == []
        store = event_stores.reopen(store)


def test_trimmed_entries_are_missing_and_the_others_stay(event_stores: Keepers) -> None:
    store = event_stores.open()
    filled(store, "acme", *[4] * 10)
    filled(store, "other", 5)
    store.swap_checkpoints([Swap("acme", None, b"note", 40)])
    store.trim({"acme": 10})
    held_from = store.held_from("acme")
    assert 8 <= held_from <= 10
    for _ in range(2):
        with pytest.raises(MissingError):
            store.read("acme", start=held_from - 1, stop=20)
        check_whole(store, "acme", size=40)
        assert (store.held_from("acme"), store.held_from("other")) == (held_from, 0)
        store = event_stores.reopen(store)


def test_a_log_that_is_trimmed_altogether_keeps_its_size(event_stores: Keepers) -> None:
    store = event_stores.open()
    filled(store, "acme", 4, 4)
    store.swap_checkpoints([Swap("acme", None, b"note", 8)])
    store.trim({"acme": 8})
    assert store.held_from("acme") >= 4
    again = event_stores.reopen(store)
    check_whole(again, "acme", size=8)
    again.append([batch("acme", 8, 3)], {})
    check_whole(again, "acme", size=11)
    with pytest.raises(ConflictError):
        again.append([batch("acme", 8, 3)], {})


def test_trimming_again_or_lower_changes_nothing(event_stores: Keepers) -> None:
    store = event_stores.open()
    filled(store, "acme", *[2] * 10)
    store.swap_checkpoints([Swap("acme", None, b"note", 20)])
    store.trim({"acme": 12})
    held_from = store.held_from("acme")
    for bound in (12, 5, 0):
        store.trim({"acme": bound})
    assert store.held_from("acme") == held_from
    check_whole(store, "acme", size=20)


def test_logs_go_on_under_other_origins_with_their_checkpoints_all_or_none(event_stores: Keepers) -> None:
    store = event_stores.open()
    for tenant in ("acme", "other", "third"):
        filled(store, tenant, 4)
    store.swap_checkpoints([Swap("acme", None, b"1", 3)])
    heirs = [
        Succession("example.com/acme", "example.com/acme/2", Swap("acme", b"1", b"2", 4)),
        Succession("example.com/other", "example.com/other/2", Swap("other", None, b"first", 4)),
    ]
    refused = [
        Succession("example.com/nobody", "example.com/third/2", Swap("third", None, b"x", 4)),
        Succession("example.com/third", "example.com/third/2", Swap("third", b"never stored", b"x", 4)),
        Succession("example.com/third", "example.com/default", Swap("third", None, b"x", 4)),
    ]
    store.create_log(Log("default", "example.com/default", "t"))
    for one in refused:
        with pytest.raises(ConflictError):
            store.succeed([*heirs, one])
        assert [held.origin for held in store.logs()[:3]] == [
            f"example.com/{name}" for name in ("acme", "other", "third")
        ]
        assert (store.checkpoint("acme"), store.checkpoint("other"), store.checkpoint("third")) == (b"1", None, None)
    store.succeed(heirs)
    for _ in range(2):
        origins = {held.tenant: held.origin for held in store.logs()}
        assert origins["acme"] == "example.com/acme/2" and origins["third"] == "example.com/third"
        assert (store.checkpoint("acme"), store.checkpoint("other")) == (b"2", b"first")
        check_whole(store, "acme", size=4)
        store = event_stores.reopen(store)
    with pytest.raises(ConflictError):
        store.create_log(Log("new", "example.com/acme/2", "t"))


def test_a_checkpoint_is_swapped_only_for_the_one_that_is_stored(event_stores: Keepers) -> None:
    store = event_stores.open()
    filled(store, "acme", 9)
    with pytest.raises(ConflictError):
        store.swap_checkpoints([Swap("acme", b"never stored", b"1", 1)])
    store.swap_checkpoints([Swap("acme", None, b"1", 1)])
    for old in (None, b"2", b""):
        with pytest.raises(ConflictError):
            store.swap_checkpoints([Swap("acme", old, b"other", 5)])
    store.swap_checkpoints([Swap("acme", b"1", b"2", 5)])
    assert store.checkpoint("acme") == b"2"
    assert event_stores.reopen(store).checkpoint("acme") == b"2"


def test_checkpoints_are_swapped_together_or_not_at_all(event_stores: Keepers) -> None:
    store = event_stores.open()
    for tenant in ("a", "b", "c"):
        filled(store, tenant, 3)
    store.swap_checkpoints([Swap("a", None, b"a1", 1), Swap("b", None, b"b1", 1)])
    with pytest.raises(ConflictError):
        store.swap_checkpoints(
            [Swap("a", b"a1", b"a2", 2), Swap("c", None, b"c1", 1), Swap("b", b"not this", b"b2", 2)]
        )
    again = event_stores.reopen(store)
    assert [again.checkpoint(tenant) for tenant in ("a", "b", "c")] == [b"a1", b"b1", None]


def test_parked_records_come_oldest_first_and_a_key_is_parked_once(event_stores: Keepers) -> None:
    store = event_stores.open()
    filled(store, "acme", 1)
    filled(store, "other", 1)
    late, early, again = parked("late", minute=9), parked("early", minute=1), parked("late", minute=0)
    store.append([], {"acme": [late, early, early], "other": [parked("late")]})
    store.append([batch("acme", 1, 1)], {"acme": [again]})
    store = event_stores.reopen(store)
    assert store.parked("acme", limit=10) == [early, late]
    assert store.parked("acme", limit=1) == [early]
    assert store.parked_count("acme") == 2
    assert store.parked("other", limit=1) == [parked("late")]
    assert store.size("acme") == 2


def test_learning_all_ids_again_changes_no_answer(event_stores: Keepers) -> None:
    store = event_stores.open()
    filled(store, "a", 5, 7)
    filled(store, "b", 30)
    ids = {tenant: [event_id(tenant, k) for k in range(store.size(tenant))] for tenant in ("a", "b")}
    store.learn_ids([("b", 0, ids["b"][:11]), ("a", 0, ids["a"]), ("b", 11, ids["b"][11:])])
    store.append([batch("a", 12, 9)], {})
    for _ in range(2):
        check_whole(store, "a", size=21)
        check_whole(store, "b", size=30)
        assert not store.is_missing_ids()
        store = event_stores.reopen(store)


def test_too_few_ids_are_not_learnt(event_stores: Keepers) -> None:
    store = event_stores.open()
    filled(store, "acme", 20)
    with pytest.raises(ValueError):
        store.learn_ids([("acme", 0, [event_id("acme", 0)])])
    check_whole(store, "acme", size=20)


def test_readers_see_whole_batches_while_a_writer_appends_and_trims(event_stores: Keepers) -> None:
    store = event_stores.open()
    filled(store, "acme", 4)
    faults: list[object] = []
    is_over = threading.Event()

    def read() -> None:
        try:
            while not is_over.wait(0.001):  # readers that never rest would starve the writer, and prove nothing more
                check_prefix(store)
        except (AssertionError, AtpError) as error:
            faults.append(error)

    readers = [threading.Thread(target=read) for _ in range(3)]
    for reader in readers:
        reader.start()
    note = None
    for size in range(4, 304, 4):
        store.append([batch("acme", size, 4)], {})
        store.swap_checkpoints([Swap("acme", note, b"%d" % size, size)])
        note = b"%d" % size
        store.trim({"acme": size - 30})
    is_over.set()
    for reader in readers:
        reader.join()
    assert faults == []
    check_whole(store, "acme", size=304)


def check_prefix(store: EventStore) -> None:
    size = store.size("acme")
    assert size % 4 == 0
    start = store.held_from("acme")
    try:
        assert store.read("acme", start=start, stop=size) == [entry("acme", k) for k in range(start, size)]
    except MissingError:
        assert store.held_from("acme") > start
    newest = event_id("acme", size - 1)
    assert size - 1 in store.find("acme", [newest])[newest]
