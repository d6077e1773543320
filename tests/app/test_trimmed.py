"""Entries that left the order and those that stay in it are one log, wherever a batch happened to begin."""

import shutil
from pathlib import Path

from atp.app.open import open_stores
from atp.log.event import event_id
from atp.log.reader import Cache, LogReader
from tests.app.copied import check, copy, restore, succeeded
from tests.app.opened import ROOT, record, running
from tests.world import prepared, raw_event

SIZES = (1_000, 700, 300)
SIZE = sum(SIZES)


def trimmed(data: Path) -> int:
    """A directory whose order begins within a bundle; with which entry."""
    with running(data) as platform:
        first = 0
        for size in SIZES:
            record(platform, range(first, first + size))
            first += size
        platform.stores.events.trim({"default": SIZE - SIZE % 256})
        return platform.stores.events.held_from("default")


def test_durable_entries_are_read_once_each_where_the_order_begins_within_a_bundle(tmp_path: Path) -> None:
    held = trimmed(tmp_path / "data")
    assert held % 256, "or it shows nothing"
    stores = open_stores(tmp_path / "data")
    reader = LogReader("default", event_store=stores.events, object_store=stores.objects, cache=Cache())
    for start, stop in ((0, SIZE), (held - 1, held + 1), (held - 300, SIZE - 1), (held, SIZE)):
        assert [event_id(entry) for entry in reader.durable(start, stop)] == [f"e-{n}" for n in range(start, stop)]
    stores.events.close()


def test_a_lost_index_of_ids_is_made_again_of_a_trimmed_order(tmp_path: Path) -> None:
    trimmed(tmp_path / "data")
    shutil.rmtree(tmp_path / "data" / "ids")
    with running(tmp_path / "data") as platform:
        events = prepared(raw_event(3), raw_event(SIZE - 1), raw_event(SIZE))
        outcome = platform.record(events, by=ROOT, tenant="default").result(20)
        assert [receipt.index for receipt in outcome.receipts] == [3, SIZE - 1, SIZE]
        assert (outcome.duplicates, outcome.accepted) == (2, 1)


def test_a_copy_of_a_trimmed_directory_goes_on_with_every_id_known(tmp_path: Path) -> None:
    trimmed(tmp_path / "data")
    copied = copy(tmp_path / "data", tmp_path / "copy")
    restore(copied)
    with running(copied) as platform:
        outcome = platform.record(prepared(*map(raw_event, range(SIZE))), by=ROOT, tenant="default").result(20)
        assert [receipt.index for receipt in outcome.receipts] == list(range(SIZE))
        assert list(succeeded(platform, "default")) == [SIZE]
    assert check(copied).is_whole
