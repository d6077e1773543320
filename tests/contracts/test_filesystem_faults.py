"""Objects as files when the world fails: crashes, full and read-only disks, other hands in the directory."""

import os
import time
from pathlib import Path

import pytest

from atp.adapters.filesystem import FilesystemObjectStore
from atp.errors import MissingError, TamperedError, UnavailableError
from tests.contracts.machine import killed_after, small_disk


def test_a_full_disk_refuses_and_an_emptied_one_takes_the_same_call(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", megabytes=2) as disk:
        store = FilesystemObjectStore(disk.path / "data")
        store.put({"a": b"1"})
        disk.fill()
        objects = {f"logs/{k}": bytes([k]) * 10_000 for k in range(20)}
        with pytest.raises(UnavailableError, match=r"^could not store .*No space.*\(hint: make room"):
            store.put(objects)
        with pytest.raises(UnavailableError, match=r"^could not replace .*No space.*\(hint: make room"):
            store.replace("checkpoint", b"x" * 10_000)
        assert list(store.keys("logs/")) == []
        assert list((disk.path / "data" / ".aside").iterdir()) == []
        disk.free()
        store.put(objects)
        assert len(list(store.keys("logs/"))) == 20


def test_a_read_only_disk_is_named_and_still_read(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", megabytes=2) as disk:
        FilesystemObjectStore(disk.path / "data").put({"a": b"1"})
        disk.set_writable(False)
        store = FilesystemObjectStore(disk.path / "data")
        assert store.get("a") == b"1"
        with pytest.raises(UnavailableError, match=r"^could not store .*\(hint: mount"):
            store.put({"b": b"1"})


def test_a_killed_writer_leaves_whole_objects(tmp_path: Path) -> None:
    script = (
        "import sys, pathlib\n"
        "from atp.adapters.filesystem import FilesystemObjectStore\n"
        "store = FilesystemObjectStore(pathlib.Path(sys.argv[1]))\n"
        "for k in range(10**6):\n"
        "    store.put({f'logs/{k}/{i}': b'%06d' % k * 2_000 for i in range(10)})\n"
        "    print(k, flush=True)\n"
    )
    printed = killed_after(20, ["-c", script, str(tmp_path / "data")])
    store = FilesystemObjectStore(tmp_path / "data")
    for k in range(int(printed[-1]) + 1):
        assert all(store.get(f"logs/{k}/{i}") == b"%06d" % k * 2_000 for i in range(10))
    for key in store.keys("logs/"):
        assert store.get(key) == b"%06d" % int(key.split("/")[1]) * 2_000


def test_what_a_crash_left_aside_is_removed_an_hour_later(tmp_path: Path) -> None:
    FilesystemObjectStore(tmp_path).put({"a": b"1"})
    old, young = tmp_path / ".aside" / "old", tmp_path / ".aside" / "young"
    for leftover in (old, young):
        leftover.write_bytes(b"half")
    os.utime(old, (time.time() - 4_000, time.time() - 4_000))
    store = FilesystemObjectStore(tmp_path)
    assert not old.exists()
    assert young.exists()
    assert list(store.keys("")) == ["a"]


def test_a_directory_in_the_place_of_an_object_is_no_object(tmp_path: Path) -> None:
    store = FilesystemObjectStore(tmp_path)
    store.put({"a/b": b"1"})
    with pytest.raises(MissingError):
        store.get("a")
    with pytest.raises(UnavailableError, match=r"^could not store 'a'"):
        store.put({"a": b"1"})
    with pytest.raises(UnavailableError, match=r"^could not store 'a/b/c'"):
        store.put({"a/b/c": b"1"})


def test_an_object_that_was_edited_is_not_overwritten(tmp_path: Path) -> None:
    store = FilesystemObjectStore(tmp_path)
    store.put({"a/b": b"signed"})
    (tmp_path / "a" / "b").write_bytes(b"edited")
    with pytest.raises(TamperedError):
        store.put({"a/b": b"signed"})
    assert store.get("a/b") == b"edited"


def test_a_root_that_is_a_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "root").write_text("a file")
    with pytest.raises(UnavailableError, match=r"^could not open .*root.*\(hint: "):
        FilesystemObjectStore(tmp_path / "root")
