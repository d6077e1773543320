"""A gibibyte of files: backup and restore against pipes of tar, zstd and age and `cp -a` in one run, all synced."""

import os
import random
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median

from atp.adapters.directory import DirectoryRepository
from atp.adapters.memory import FrozenClock
from atp.ops.backups.act import making, restoring
from atp.ops.backups.act.kinds.choose import arrival_of, capture_of
from atp.ops.backups.act.listing import find_backup
from atp.ops.backups.act.workplace import workplace
from atp.ops.backups.declare import Declared
from atp.ops.backups.evidence import Made
from atp.ops.backups.format.seal import draw_identity, parse_identities
from benchmarks.figures import Figure, Row
from benchmarks.run import Run
from tests.services.absent import AbsentError

TREE_BYTES = 1 << 30
_SMALL, _MIDDLE, _LARGE = 16_000, 1_200, 8
_LARGE_BYTES = 64 << 20
_PIECE_BYTES = 1 << 20
_TURNS = 3
_SEED = 4_711


class _Silent:
    def intend(self, step: str, data: object = None) -> None: ...
    def outcome(self, step: str, data: object = None) -> None: ...
    def failed(self, step: str, error: object, data: object = None) -> None: ...


def measure(bench: Run) -> Iterator[Row]:
    """Each the median of three, taken in turns; half of the files are events as JSON lines, half cannot be packed.

    "digests": what has to be done by hand for what is done here, the sums of every file and of what is stored taken
    beside, and each restored file held against its own.

    Nothing is removed before the last turn: ext4 makes new files slowly where many were removed a moment ago.
    """
    for program in ("tar", "zstd", "cp", "age"):
        if not shutil.which(program):
            raise AbsentError(program, enable="apt-get install -y coreutils tar zstd age")
    source, times = bench.scratch / "tree", dict[str, list[float]]()
    _plant(bench, source)
    for turn in range(_TURNS):
        for what, seconds in _turn(bench.scratch / f"turn-{turn}", source):
            times.setdefault(what, []).append(seconds)
    for turn in range(_TURNS):
        shutil.rmtree(bench.scratch / f"turn-{turn}")
    rates = {what: TREE_BYTES / median(each) / 1e6 for what, each in times.items()}
    yield _figure("backup of 1 GiB of files", rates, "backup", "tar | zstd", goal=1 / 1.15)
    yield _figure("backup of 1 GiB of files", rates, "backup", "tar | zstd | age", goal=1 / 1.15)
    yield _figure("backup of 1 GiB of files", rates, "backup", "tar | zstd | age, digests", goal=1 / 1.15)
    yield _figure("restore of 1 GiB of files", rates, "restore", "zstd | tar", goal=1 / 1.15)
    yield _figure("restore of 1 GiB of files", rates, "restore", "age | zstd | tar", goal=1 / 1.15)
    yield _figure("restore of 1 GiB of files", rates, "restore", "age | zstd | tar, digests", goal=1 / 1.15)
    yield _figure("restore of 1 GiB of files", rates, "restore", "cp -a", goal=1 / 1.5)


def _figure(what: str, rates: dict[str, float], ours: str, theirs: str, *, goal: float) -> Figure:
    note = "17,209 files; encrypted, digests of every file and part; the restore is read back and checked"
    return Figure(
        what=what, measured=rates[ours], unit="MB/s", yardstick=rates[theirs], against=theirs, goal=goal, note=note
    )


def _turn(folder: Path, source: Path) -> Iterator[tuple[str, float]]:
    folder.mkdir()
    for name in ("shelf", "unzipped", "opened", "checked"):
        (folder / name).mkdir()
    private, recipient = draw_identity()
    (folder / "key").write_text(f"{private}\n")
    clock = FrozenClock()
    shelf = DirectoryRepository(folder / "shelf", clock=clock)
    declared = Declared("tree", "files", source, "shelf", (), (recipient,), None)
    packing, zipped, sealed = f"tar -C {source} -cf - . | zstd -3 -T2 -q", folder / "tar.zst", folder / "tar.zst.age"
    yield "tar | zstd", _timed(lambda: run_pipe(f"{packing} -o {zipped} && sync"))
    yield "tar | zstd | age", _timed(lambda: run_pipe(f"{packing} | age -r {recipient} -o {sealed} && sync"))
    sums = f"(cd {source} && find . -type f -print0 | xargs -0 sha256sum) > {folder / 'sums'}"
    summed = f"{sums} & {packing} | age -r {recipient} | tee {folder / 'summed'} | sha256sum > {folder / 'sum'}"
    yield "tar | zstd | age, digests", _timed(lambda: run_pipe(f"{summed} && wait && sync"))
    yield "backup", _timed(lambda: _back_up(declared, shelf, clock, folder))
    yield "cp -a", _timed(lambda: run_pipe(f"cp -a {source} {folder / 'copy'} && sync"))
    yield "zstd | tar", _timed(lambda: run_pipe(f"zstd -dqc {zipped} | tar -C {folder / 'unzipped'} -xf - && sync"))
    opening = f"age -d -i {folder / 'key'} {sealed} | zstd -dqc | tar -C {folder / 'opened'} -xf -"
    yield "age | zstd | tar", _timed(lambda: run_pipe(f"{opening} && sync"))
    checking = f"cd {folder / 'checked'} && sha256sum --quiet -c {folder / 'sums'} && wait"
    opening = f"age -d -i {folder / 'key'} {sealed} | zstd -dqc | tar -C {folder / 'checked'} -xf -"
    yield "age | zstd | tar, digests", _timed(lambda: run_pipe(f"{opening} && (sync & {checking})"))
    yield "restore", _timed(lambda: _restore(shelf, private, folder / "restored"))


def _timed(act: Callable[[], object]) -> float:
    os.sync()
    began = time.perf_counter()
    act()
    return time.perf_counter() - began


def run_pipe(command: str) -> None:
    """Have a shell do it."""
    subprocess.run(["bash", "-o", "pipefail", "-c", command], check=True)


def _back_up(declared: Declared, shelf: DirectoryRepository, clock: FrozenClock, folder: Path) -> None:
    with workplace("tree", below=folder) as place:
        observed = making.Observed()
        made = Made(making.new_backup_id(clock))
        capture = capture_of(declared, folder=place.folder, clock=clock, moved=lambda _: None)
        run = making.Run(declared, observed, capture, {"shelf": shelf}, place, clock, lambda _: None, made)
        run.carry_out(making.plan(declared, observed, capture), record=_Silent())


def _restore(shelf: DirectoryRepository, private: str, place: Path) -> None:
    listed = find_backup(shelf, dataset="tree")
    assert listed.manifest is not None
    target = restoring.observe_target(place, kind="files", replace=None)
    restored, identities = restoring.Restored(listed.backup, str(place)), parse_identities(private)
    arrival = arrival_of(listed.manifest, repository=shelf, identities=identities)
    one = restoring.Restore(shelf, listed.manifest, target, arrival, identities, lambda _: None, restored)
    one.carry_out(restoring.plan(listed.manifest, target, arrival), record=_Silent())


def _plant(bench: Run, root: Path) -> None:
    rng = random.Random(_SEED)
    lines = b"".join(
        sample.body(event_id) + b"\n"
        for batch in bench.batches(seed=_SEED, events=20_000)
        for event_id, sample in batch
    )
    sizes = [rng.randrange(512, 16 << 10) for _ in range(_SMALL)]
    sizes += [rng.randrange(32 << 10, 512 << 10) for _ in range(_MIDDLE)] + [_LARGE_BYTES] * _LARGE
    sizes.append(TREE_BYTES - sum(sizes))
    rng.shuffle(sizes)
    for number, size in enumerate(sizes):
        folder = root / f"{number // 256}"
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / f"{number}").open("wb") as file:
            for at in range(0, size, _PIECE_BYTES):
                each = min(size - at, _PIECE_BYTES)
                start = rng.randrange(len(lines) - each)
                file.write(rng.randbytes(each) if number % 2 else lines[start : start + each])
