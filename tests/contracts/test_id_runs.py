"""The id index below the order: runs, filters and merges against a plain dictionary, met hashes included."""

import struct
import tempfile
import zlib
from pathlib import Path

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from atp.adapters.sqlite.ids import IdIndex
from atp.adapters.sqlite.runs import Run, merge_runs, open_runs, write_run

FEW = [0, 1, 2, 7, 8, 255, 256, 1 << 60, (1 << 60) + 1, (1 << 63) - 1, 1 << 63, (1 << 64) - 2, (1 << 64) - 1]
hashes_of_a_batch = st.lists(st.one_of(st.sampled_from(FEW), st.integers(0, (1 << 64) - 1)), min_size=1, max_size=9)
stories = st.lists(st.tuples(st.integers(1, 3), hashes_of_a_batch, st.sampled_from(["", "", "flush", "reopen"])))


def open_index(directory: Path, *, needed: int, recent_max: int) -> IdIndex:
    return IdIndex(directory, key=b"secret", needed_through=needed, recent_max=recent_max)


@given(stories, st.integers(1, 30))
def test_every_hash_is_found_wherever_it_lies(story: list[tuple[int, list[int], str]], recent_max: int) -> None:
    known: dict[int, dict[int, list[int]]] = {1: {}, 2: {}, 3: {}}
    sizes = {1: 0, 2: 0, 3: 0}
    with tempfile.TemporaryDirectory() as directory:
        index = open_index(Path(directory), needed=0, recent_max=recent_max)
        for seq, (log, hashes, then) in enumerate(story, 1):
            index.insert(np.array(hashes, np.uint64), log=log, first=sizes[log], seq=seq)
            for place, one in enumerate(hashes, sizes[log]):
                known[log].setdefault(one, []).append(place)
            sizes[log] += len(hashes)
            if then:
                index.set_aside()
                index.flush()
                assert index.synced_through == seq
            if then == "reopen":
                index.close()
                index = open_index(Path(directory), needed=seq, recent_max=recent_max)
                assert not index.is_missing
            check(index, known)
        index.close()


def check(index: IdIndex, known: dict[int, dict[int, list[int]]]) -> None:
    for log, places in known.items():
        asked = [*FEW, *places]
        found = index.find(np.array(asked, np.uint64), log=log)
        assert found == places


def run_of(directory: Path, hashes: list[int], *, after: int) -> Run:
    ordered = np.sort(np.array(hashes, np.uint64))
    positions = np.arange(len(hashes), dtype=np.uint64)
    return write_run(directory, [(ordered, positions)], after=after, through=after + 1, count=len(hashes))


def test_a_merge_of_many_pieces_is_one_ascending_run(tmp_path: Path, seed: int) -> None:
    rng = np.random.default_rng(seed)
    parts = [np.sort(rng.integers(0, 1 << 64, 300_000, dtype=np.uint64)) for _ in range(2)]
    positions = np.arange(300_000, dtype=np.uint64)
    runs = [
        write_run(tmp_path, [(part, positions)], after=number, through=number + 1, count=300_000)
        for number, part in enumerate(parts)
    ]
    merged = merge_runs(tmp_path, runs, after=0, through=2)
    assert np.array_equal(merged.hashes, np.sort(np.concatenate(parts)))
    assert [run.path for run in open_runs(tmp_path)] == [merged.path]
    needles = np.sort(parts[1][:500])
    assert {needle for needle, _ in merged.find(needles)} == set(needles.tolist())


def test_a_merge_that_crashed_before_it_deleted_is_finished_by_the_next_opening(tmp_path: Path) -> None:
    runs = [run_of(tmp_path, [5, 7], after=0), run_of(tmp_path, [6], after=1)]
    kept = {run.path: run.path.read_bytes() for run in runs}
    merged = merge_runs(tmp_path, runs, after=0, through=2)
    for path, data in kept.items():
        path.write_bytes(data)
    assert [run.path for run in open_runs(tmp_path)] == [merged.path]
    assert [path for path in kept if path.exists()] == []


def test_ids_of_one_log_are_hashed_otherwise_in_another(tmp_path: Path) -> None:
    index = open_index(tmp_path, needed=0, recent_max=10)
    one, other = index.hashes(1, ["a", "b"]), index.hashes(2, ["a", "b"])
    assert len({*one.tolist(), *other.tolist()}) == 4
    assert index.hashes(1, ["b"]).tolist() == one.tolist()[1:]
    index.close()


def test_there_are_few_runs_however_often_is_flushed(tmp_path: Path, seed: int) -> None:
    rng = np.random.default_rng(seed)
    index = open_index(tmp_path, needed=0, recent_max=64)
    for seq in range(1, 301):
        index.insert(rng.integers(0, 1 << 64, 7, dtype=np.uint64), log=1, first=7 * seq, seq=seq)
        index.set_aside()
        index.flush()
    index.close()
    assert len(list(tmp_path.glob("*.ids"))) <= 12


def test_what_one_table_could_hold_is_one_run(tmp_path: Path) -> None:
    index = open_index(tmp_path, needed=0, recent_max=64)
    for seq in range(1, 60):
        index.insert(np.array([seq], np.uint64), log=1, first=seq, seq=seq)
        index.set_aside()
        index.flush()
    index.close()
    assert [len(run.hashes) for run in open_runs(tmp_path)] == [59]


def test_the_bytes_of_a_run_are_frozen(tmp_path: Path) -> None:
    hashes, positions = np.array([0, 1 << 63, (1 << 64) - 1], np.uint64), np.array([1, 2, 1 << 40], np.uint64)
    run = write_run(tmp_path, [(hashes, positions)], after=4, through=6, count=3)
    words = [*hashes.tolist(), *positions.tolist()]
    body = b"".join(word.to_bytes(8, "little") for word in words)
    bits = (1 | 1 << 16 | 1 << 31).to_bytes(4, "little")
    crcs = [zlib.crc32(part) for part in (body[:24], body[24:], bits)]
    header = struct.pack("<8sQQQIII20x", b"ATPIDS1\n", 4, 6, 3, *crcs)
    assert run.path.name == "00000000000000000004-00000000000000000006.ids"
    assert run.path.read_bytes() == header + body + bits
