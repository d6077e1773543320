"""A gibibyte of files: backup and restore against `tar | zstd` and `cp -a` in the same run, all of them synced."""

import os
import random
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from atp.adapters.directory import DirectoryRepository
from atp.adapters.memory import FrozenClock
from atp.ops.backups.act import making, restoring
from atp.ops.backups.act.listing import find_backup
from atp.ops.backups.act.workplace import workplace
from atp.ops.backups.declare import Declared
from atp.ops.backups.evidence import Made
from atp.ops.backups.format.seal import draw_identity, parse_identities
from benchmarks.figures import Figure, Row
from benchmarks.run import Run
from tests.services.absent import AbsentError

TREE_BYTES = 1 << 30
_FILES = 4_096
_TURNS = 3
_SEED = 4_711


class _Silent:
    def intend(self, step: str, data: object = None) -> None: ...
    def outcome(self, step: str, data: object = None) -> None: ...
    def failed(self, step: str, error: object, data: object = None) -> None: ...


def measure(bench: Run) -> Iterator[Row]:
    """Each the best of three, taken in turns; half of the bytes are events as JSON lines, half cannot be packed."""
    for program in ("tar", "zstd", "cp"):
        if not shutil.which(program):
            raise AbsentError(program, enable="apt-get install -y coreutils tar zstd")
    source, times = bench.scratch / "tree", dict[str, list[float]]()
    _plant(bench, source)
    for turn in range(_TURNS):
        for what, seconds in _turn(bench.scratch / f"turn-{turn}", source):
            times.setdefault(what, []).append(seconds)
        shutil.rmtree(bench.scratch / f"turn-{turn}")
    best = {what: TREE_BYTES / min(each) / 1e6 for what, each in times.items()}
    yield _figure("backup of 1 GiB of files", best, "backup", "tar | zstd", goal=0.5)
    yield _figure("restore of 1 GiB of files", best, "restore", "zstd | tar", goal=0.5)
    yield _figure("restore of 1 GiB of files", best, "restore", "cp -a", goal=0.25)


def _figure(what: str, best: dict[str, float], ours: str, theirs: str, *, goal: float) -> Figure:
    note = "encrypted, digests of every file and part; the restore is read back and checked"
    return Figure(
        what=what, measured=best[ours], unit="MB/s", yardstick=best[theirs], against=theirs, goal=goal, note=note
    )


def _turn(folder: Path, source: Path) -> Iterator[tuple[str, float]]:
    folder.mkdir()
    (folder / "shelf").mkdir()
    private, recipient = draw_identity()
    clock = FrozenClock()
    shelf = DirectoryRepository(folder / "shelf", clock=clock)
    declared = Declared("tree", "files", source, "shelf", (), (recipient,), None)
    packed, copy = folder / "tree.tar.zst", folder / "copy"
    unpacked = folder / "unpacked"
    unpacked.mkdir()
    yield "tar | zstd", _timed(lambda: _run(f"tar -C {source} -cf - . | zstd -3 -T2 -q -o {packed} && sync"))
    yield "backup", _timed(lambda: _back_up(declared, shelf, clock, folder))
    yield "cp -a", _timed(lambda: _run(f"cp -a {source} {copy} && sync"))
    shutil.rmtree(copy)
    yield "zstd | tar", _timed(lambda: _run(f"zstd -dqc {packed} | tar -C {unpacked} -xf - && sync"))
    shutil.rmtree(unpacked)
    yield "restore", _timed(lambda: _restore(shelf, private, folder / "restored"))


def _timed(act: Callable[[], object]) -> float:
    os.sync()
    began = time.perf_counter()
    act()
    return time.perf_counter() - began


def _run(command: str) -> None:
    subprocess.run(["bash", "-o", "pipefail", "-c", command], check=True)


def _back_up(declared: Declared, shelf: DirectoryRepository, clock: FrozenClock, folder: Path) -> None:
    with workplace("tree", below=folder) as place:
        observed = making.Observed()
        made = Made(making.new_backup_id(clock))
        run = making.Run(declared, observed, {"shelf": shelf}, place, clock, lambda _: None, made)
        run.carry_out(making.plan(declared, observed), record=_Silent())


def _restore(shelf: DirectoryRepository, private: str, place: Path) -> None:
    listed = find_backup(shelf, dataset="tree")
    assert listed.manifest is not None
    target = restoring.observe_target(place, kind="files", replace=None)
    restored, identities = restoring.Restored(listed.backup, str(place)), parse_identities(private)
    one = restoring.Restore(shelf, listed.manifest, target, identities, lambda _: None, restored)
    one.carry_out(restoring.plan(listed, target), record=_Silent())


def _plant(bench: Run, root: Path) -> None:
    rng = random.Random(_SEED)
    lines = b"".join(
        sample.body(event_id) + b"\n"
        for batch in bench.batches(seed=_SEED, events=20_000)
        for event_id, sample in batch
    )
    each = TREE_BYTES // _FILES
    for number in range(_FILES):
        folder = root / f"{number // 64}"
        folder.mkdir(parents=True, exist_ok=True)
        start = rng.randrange(len(lines) - each)
        (folder / f"{number}").write_bytes(rng.randbytes(each) if number % 2 else lines[start : start + each])
