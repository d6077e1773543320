"""Where every id of every log stands, without a B-tree: a table of the newest ids in memory, sorted runs on disk.

Random ids make each insert into a B-tree a write somewhere else; here an id costs a dictionary entry, its share of one
sequential file, and of one merge for every factor of 5. An id is a keyed 64-bit hash, its position
`log number << 40 | index`. Ids that are not yet in a synced run are in the batches of `order.db`, whose `ids` blobs
must stay until `synced_through` has passed them.
"""

import shutil
import threading
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from hashlib import blake2b
from pathlib import Path

import numpy as np

from atp.adapters.sqlite.runs import Run, Words, is_unbroken, merge_runs, open_runs, sorted_piece, write_run
from atp.durable import sync_directory

_OUTWEIGHED = 4
_INDEX_BITS = 40
_WAITING_MAX = 4  # full tables that wait for their file; the disk is behind then, and inserts wait for it


@dataclass(slots=True)
class _Recent:
    """The ids of the batches with after < seq <= through, in memory."""

    after: int
    through: int
    positions: dict[int, int] = field(default_factory=dict)
    repeats: list[tuple[int, int]] = field(default_factory=list)  # of hashes that `positions` has already
    inserted: tuple[bytearray, bytearray] = field(default_factory=lambda: (bytearray(), bytearray()))

    def insert(self, hashes: Words, position: int, through: int) -> None:
        for place, number in enumerate(hashes.tolist(), position):
            if self.positions.setdefault(number, place) != place:
                self.repeats.append((number, place))
        self.inserted[0].extend(hashes.tobytes())
        self.inserted[1].extend(np.arange(position, position + len(hashes), dtype=np.uint64).tobytes())
        self.through = through

    def find(self, needles: Sequence[int]) -> list[tuple[int, int]]:
        positions = self.positions
        found = [(needle, positions[needle]) for needle in needles if needle in positions]
        if found and self.repeats:
            hits = {needle for needle, _ in found}
            found += [repeat for repeat in self.repeats if repeat[0] in hits]
        return found

    def __len__(self) -> int:
        return len(self.inserted[0]) // 8

    def piece(self) -> tuple[Words, Words]:
        hashes, positions = (np.frombuffer(words, np.uint64) for words in self.inserted)
        return sorted_piece(hashes, positions)


@dataclass(frozen=True, slots=True)
class _View:
    """What a lookup reads; replaced whole, so readers need no lock."""

    runs: tuple[Run, ...]
    waiting: tuple[_Recent, ...]
    recent: _Recent


class IdIndex:
    """Positions of ids by their hashes. One thread inserts at a time, any number may look up meanwhile.

    `needed_through` is the newest batch whose `ids` blob is gone: the runs on disk must reach at least there.
    A table in memory is written out when it holds `recent_max` ids (about 150 bytes each).
    """

    def __init__(self, directory: Path, *, key: bytes, needed_through: int, recent_max: int) -> None:
        directory.mkdir(exist_ok=True)
        sync_directory(directory.parent)
        self._directory = directory
        self._key = key
        self._recent_max = recent_max
        self._lock = threading.Lock()  # guards the replacing of `_view`
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="ids")
        self._merger = ThreadPoolExecutor(1, thread_name_prefix="ids-merge")
        self._writing: Future[None] | None = None
        runs = tuple(open_runs(directory))
        self.is_missing = not is_unbroken(runs, needed_through=needed_through)
        end = runs[-1].through if runs else 0
        self._view = _View(runs, (), _Recent(end, end))

    @property
    def synced_through(self) -> int:
        """The newest batch whose ids stand in a synced run, and those of all batches before it."""
        runs = self._view.runs
        return runs[-1].through if runs else 0

    def hashes(self, log: int, ids: Sequence[str]) -> Words:
        """The keyed hashes of ids of a log: BLAKE2b (RFC 7693) with a secret key, so nobody can aim for a collision.

        About 0.5 µs an id.
        """
        seed = blake2b(log.to_bytes(8, "little"), digest_size=8, key=self._key)
        digests = bytearray()
        for event_id in ids:
            one = seed.copy()
            one.update(event_id.encode())
            digests += one.digest()
        return np.frombuffer(bytes(digests), "<u8")

    def insert(self, hashes: Words, *, log: int, first: int, seq: int) -> None:
        """Learn the ids of batch `seq`, which follows every batch that was learnt before."""
        recent = self._view.recent
        recent.insert(hashes, log << _INDEX_BITS | first, seq)
        if len(recent) >= self._recent_max:
            self.set_aside()

    def find(self, hashes: Words, *, log: int) -> dict[int, list[int]]:
        """Ascending indexes in `log` by hash, of every hash that is known there. Costs about 1 µs an id at 10 M ids."""
        view = self._view
        needles = np.sort(hashes)
        found = [hit for run in view.runs for hit in run.find(needles)]
        distinct = needles.tolist()
        for recent in (*view.waiting, view.recent):
            found += recent.find(distinct)
        indexes: dict[int, set[int]] = {}
        for needle, position in found:
            if position >> _INDEX_BITS == log:
                indexes.setdefault(needle, set()).add(position & ((1 << _INDEX_BITS) - 1))
        return {needle: sorted(places) for needle, places in indexes.items()}

    def flush(self) -> None:
        """Bring what `set_aside` took, and all before it, into synced runs. UnavailableError when the disk refuses.

        Not for the thread that inserts while others wait for it: it may last as long as a disk takes.
        """
        self._writer.submit(self._write_waiting).result()

    def rebuild(self, learnt: Iterable[tuple[int, int, Sequence[str]]], *, through: int, count: int) -> None:
        """Replace everything by (log number, first index, ids) of all entries, `count` in all, up to batch `through`.

        Nobody may insert meanwhile. Memory is bounded: ids are written in parts, then merged. ValueError when there
        are not `count` of them; the index stays as it was then.
        """
        for thread in (self._writer, self._merger):
            thread.submit(int).result()
        parts = self._directory / "rebuild"
        shutil.rmtree(parts, ignore_errors=True)
        parts.mkdir()
        runs = [
            write_run(parts, [piece], after=number, through=number + 1, count=len(piece[0]))
            for number, piece in enumerate(self._pieces(learnt))
        ]
        if (given := sum(len(run.hashes) for run in runs)) != count:
            raise ValueError(f"{given} ids were given for {count} entries")
        whole = [merge_runs(self._directory, runs, after=0, through=through)] if runs else []
        for path in self._directory.glob("*.ids"):
            if path not in [run.path for run in whole]:
                path.unlink()
        parts.rmdir()
        self._view = _View(tuple(whole), (), _Recent(through, through))
        self.is_missing = False

    def set_aside(self) -> None:
        """Close the table in memory and let it be written, in the background."""
        if not len(self._view.recent):
            return
        with self._lock:
            view = self._view
            end = view.recent.through
            self._view = _View(view.runs, (*view.waiting, view.recent), _Recent(end, end))
        waited = self._writing
        self._writing = self._writer.submit(self._write_waiting)
        if waited is not None and len(self._view.waiting) > _WAITING_MAX:
            waited.exception()

    def close(self) -> None:
        """Wait for the files that are being written."""
        self._writer.shutdown()
        self._merger.shutdown()

    def _pieces(self, learnt: Iterable[tuple[int, int, Sequence[str]]]) -> Iterator[tuple[Words, Words]]:
        hashes: list[Words] = []
        positions: list[Words] = []
        held = 0
        for log, first, ids in learnt:
            hashes.append(self.hashes(log, ids))
            positions.append(np.arange(len(ids), dtype=np.uint64) + np.uint64(log << _INDEX_BITS | first))
            held += len(ids)
            if held >= 8 * self._recent_max:
                yield sorted_piece(np.concatenate(hashes), np.concatenate(positions))
                hashes, positions, held = [], [], 0
        if held:
            yield sorted_piece(np.concatenate(hashes), np.concatenate(positions))

    def _write_waiting(self) -> None:
        """In the writer's thread: what waits, oldest first. What fails stays in memory and is tried again next time."""
        while waiting := self._view.waiting:
            oldest = waiting[0]
            after, through = oldest.after, oldest.through
            run = write_run(self._directory, [oldest.piece()], after=after, through=through, count=len(oldest))
            with self._lock:
                view = self._view
                self._view = replace(view, runs=(*view.runs, run), waiting=view.waiting[1:])
            self._merger.submit(self._merge)

    def _merge(self) -> None:
        """In the merger's thread: until no run is worth merging. What fails is tried again after the next write."""
        while tail := _mergeable(self._view.runs, self._recent_max):
            merged = merge_runs(self._directory, tail, after=tail[0].after, through=tail[-1].through)
            with self._lock:
                runs = self._view.runs
                start = runs.index(tail[0])
                runs = (*runs[:start], merged, *runs[start + len(tail) :])
                self._view = replace(self._view, runs=runs)


def drop_foreign_ids(directory: Path, *, key: bytes) -> None:
    """Remove the index of another order, as one that was put back finds it: under another key it misses every id.

    A file beside the directory, `ids.key`, names the key by its digest.
    """
    mark, ours = directory.with_suffix(".key"), blake2b(key, digest_size=16).hexdigest()
    found = mark.read_text() if mark.exists() else None
    if found != ours:
        if found is not None:
            shutil.rmtree(directory, ignore_errors=True)
        mark.write_text(ours)


def _mergeable(runs: Sequence[Run], small: int) -> Sequence[Run]:
    """The newest runs that should become one: from the oldest run on that is outweighed by what follows it.

    So there are at most `_OUTWEIGHED` runs for each factor of `_OUTWEIGHED + 1` in size, and each id is written once
    for each such factor. Runs of at most `small` ids together are always one.
    """
    younger = 0
    start = len(runs)
    for place in range(len(runs) - 1, -1, -1):
        count = len(runs[place].hashes)
        if younger and (count * _OUTWEIGHED <= younger or count + younger <= small):
            start = place
        younger += count
    return runs[start:]
