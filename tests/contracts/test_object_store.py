"""What every ObjectStore keeps: an object is whole, durable and never another one."""

import os
import threading
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atp.errors import AtpError, MalformedError, MissingError, TamperedError
from atp.ports.object_store import ObjectStore, check_key
from tests.contracts.keepers import Keeper

Keepers = Keeper[ObjectStore]
NO_KEYS = ["", "/", "/etc/passwd", "..", "../x", "a/../../x", "a/./b", "a//b", "a/", ".hidden", "a/.b", "a\0b", "a\nb"]


def test_an_object_is_read_as_it_was_put(object_stores: Keepers) -> None:
    store = object_stores.open()
    objects = {"logs/acme/tile/0/000": b"\x00\xff" * 4096, "logs/acme/tile/0/x001/234.p/17": b"", "top": b"1"}
    store.put(objects)
    store = object_stores.reopen(store) if hasattr(store, "close") else object_stores.open()
    assert {key: store.get(key) for key in objects} == objects


def test_what_is_not_there_is_missing(object_stores: Keepers) -> None:
    store = object_stores.open()
    store.put({"a/b": b"1"})
    for key in ("a", "a/b/c", "b", "a/bb"):
        with pytest.raises(MissingError):
            store.get(key)


def test_the_same_bytes_may_be_put_again(object_stores: Keepers) -> None:
    store = object_stores.open()
    for _ in range(3):
        store.put({"a/b": b"1", "c": b"2"})
    assert store.get("a/b") == b"1"


@pytest.mark.parametrize("other", [b"", b"2", b"11"])
def test_other_bytes_are_refused_and_the_stored_ones_stay(object_stores: Keepers, other: bytes) -> None:
    store = object_stores.open()
    store.put({"a/b": b"1"})
    with pytest.raises(TamperedError, match=r"^could not store .*\(hint: .*\)$"):
        store.put({"before": b"x", "a/b": other, "z": b"x"})
    assert store.get("a/b") == b"1"


def test_nothing_is_put_in_a_step_of_nothing(object_stores: Keepers) -> None:
    store = object_stores.open()
    store.put({})
    assert list(store.keys("")) == []


def test_many_objects_are_put_at_once(object_stores: Keepers, rng: Random) -> None:
    store = object_stores.open()
    objects = {f"logs/t{k % 7}/tile/0/{k:03}": rng.randbytes(k) for k in range(200)}
    store.put(objects)
    assert sorted(store.keys("")) == sorted(objects)
    assert all(store.get(key) == data for key, data in objects.items())


def test_a_mutable_object_is_replaced(object_stores: Keepers) -> None:
    store = object_stores.open()
    for note in (b"1", b"22", b"22", b""):
        store.replace("logs/acme/checkpoint", note)
        assert store.get("logs/acme/checkpoint") == note
    assert object_stores.open().get("logs/acme/checkpoint") == b""


def test_keys_are_listed_by_how_they_begin(object_stores: Keepers) -> None:
    store = object_stores.open()
    keys = ["logs/a/1", "logs/a/2", "logs/ab/1", "logs/b/x/y", "other"]
    store.put(dict.fromkeys(keys, b"x"))
    store.replace("logs/a/checkpoint", b"x")
    keys.append("logs/a/checkpoint")
    for prefix in ("", "logs", "logs/", "logs/a", "logs/a/", "logs/a/1", "logs/b/x/", "o", "nothing", "logs/a/1/2"):
        assert sorted(store.keys(prefix)) == sorted(key for key in keys if key.startswith(prefix))


@pytest.mark.parametrize("key", NO_KEYS)
def test_a_key_that_could_leave_the_root_is_refused(object_stores: Keepers, key: str) -> None:
    store = object_stores.open()
    with pytest.raises(MalformedError):
        store.put({"good": b"1", key: b"1"})
    with pytest.raises(MalformedError):
        store.replace(key, b"1")
    with pytest.raises(MalformedError):
        store.get(key)
    assert list(store.keys("")) == []


@given(st.text(max_size=20))
def test_a_key_that_is_let_in_stays_below_its_root(key: str) -> None:
    try:
        check_key(key)
    except MalformedError:
        return
    assert os.path.normpath(f"/root/{key}") == f"/root/{key}"


def test_of_two_writers_of_one_key_one_is_refused(object_stores: Keepers) -> None:
    store = object_stores.open()
    for turn in range(20):
        refused = race(store, f"race/{turn}")
        assert len(refused) == 3
        assert store.get(f"race/{turn}") not in refused


def race(store: ObjectStore, key: str) -> list[bytes]:
    """Put four different objects under one key at the same time; those that were refused."""
    refused: list[bytes] = []
    barrier = threading.Barrier(4)

    def put(data: bytes) -> None:
        barrier.wait()
        try:
            store.put({key: data})
        except TamperedError:
            refused.append(data)

    threads = [threading.Thread(target=put, args=(b"%d" % writer,)) for writer in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return refused


def test_a_reader_never_sees_half_an_object(object_stores: Keepers) -> None:
    store = object_stores.open()
    notes = [bytes([turn]) * 100_000 for turn in range(40)]
    store.replace("note", notes[0])
    faults: list[object] = []
    is_over = threading.Event()

    def read() -> None:
        try:
            while not is_over.is_set():
                assert store.get("note") in notes
        except (AssertionError, AtpError) as error:
            faults.append(error)

    reader = threading.Thread(target=read)
    reader.start()
    for note in notes:
        store.replace("note", note)
    is_over.set()
    reader.join()
    assert faults == []
