"""A gibibyte of PostgreSQL: backup, restore, drill against `pg_basebackup` and `cp -a` in one run, all synced."""

import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import chdir
from pathlib import Path
from typing import Any

from benchmarks.backup import run_pipe
from benchmarks.figures import Figure, Row
from benchmarks.run import Run
from tests.cli.running import Atp
from tests.contracts.vaults import release
from tests.ops.postgresql.bank import Cluster, cluster, program
from tests.services.absent import AbsentError

ROWS = 1_150_000  # of 900 bytes: a gibibyte of pages
_TURNS = 2
_FILL = """\
CREATE TABLE account (id int PRIMARY KEY, balance int NOT NULL);
INSERT INTO account SELECT n, 1000 FROM generate_series(1, 100) AS n;
CREATE TABLE booking (id int PRIMARY KEY, body text NOT NULL);
INSERT INTO booking SELECT n, (SELECT string_agg(md5((n * 26::bigint + k)::text), ' ') FROM generate_series(1, 26) AS k)
  FROM generate_series(1, {rows}) AS n;
CHECKPOINT;
"""


def measure(bench: Run) -> Iterator[Row]:
    """Each the best of two, as the command line does it, its start included; text that zstd packs to about a half."""
    for tool in ("zstd", "age"):
        if not shutil.which(tool):
            raise AbsentError(tool, enable="apt-get install -y zstd age")
    here = bench.scratch / "cluster"
    here.mkdir()
    with cluster() as bank, chdir(here):
        with bank.connect() as connection:
            connection.execute(_FILL.format(rows=ROWS).encode())
        atp, best = program(here, bank), dict[str, float]()
        try:
            for _ in range(_TURNS):
                for what, seconds in _turn(atp, bank, here):
                    best[what] = min(seconds, best.get(what, seconds))
        finally:
            release(here)
    yield _row("backup of 1 GiB of PostgreSQL", best, "backup", "pg_basebackup", 1.15)
    yield _row("backup of 1 GiB of PostgreSQL", best, "backup", "pg_basebackup | zstd | age", 1.15)
    yield _row("restore of 1 GiB of PostgreSQL", best, "restore", "cp -a", 3.0)
    yield Figure(
        what="drill of 1 GiB of PostgreSQL beyond its restore",
        measured=best["drill"],
        unit="s",
        yardstick=10.0,
        against="limit",
        is_ceiling=True,
        note="start behind the fence, every row read, questions, evidence, a raw copy beside it, cleaning up",
    )


def _row(what: str, best: dict[str, float], ours: str, theirs: str, goal: float) -> Figure:
    return Figure(
        what=what, measured=best[ours], unit="s", yardstick=best[theirs], against=theirs, goal=goal, is_ceiling=True
    )


def _turn(atp: Atp, bank: Cluster, here: Path) -> Iterator[tuple[str, float]]:
    tool = bank.programs / "pg_basebackup"
    words = [tool, "-d", bank.address, "-D", here / "tool", "-Ft", "-X", "fetch", "-c", "fast"]
    words += ["--compress=client-zstd:level=3,workers=2", "--manifest-checksums=SHA256"]
    yield "pg_basebackup", _timed(lambda: subprocess.run(words, check=True, capture_output=True))[0]
    shutil.rmtree(here / "tool")
    plain = f"{tool} -d '{bank.address}' -D - -Ft -X fetch -c fast --manifest-checksums=SHA256"
    sealing = f"{plain} | zstd -3 -T2 -q | age -r $(age-keygen -y KEY.txt) -o tool.age"
    yield "pg_basebackup | zstd | age", _timed(lambda: run_pipe(sealing))[0]
    (here / "tool.age").unlink()
    yield "backup", _timed(lambda: atp.document("backup", "run", "ledger"))[0]
    yield "cp -a", _timed(lambda: subprocess.run(["cp", "-a", bank.data, here / "copy"], check=True))[0]
    shutil.rmtree(here / "copy")
    restore = ("restore", "ledger", "--to", "back", "--identity", "KEY.txt", "--yes")
    yield "restore", _timed(lambda: atp.document(*restore))[0]
    shutil.rmtree(here / "back")
    took, ran = _timed(lambda: atp("drill", "run", "ledger", "--identity", "KEY.txt", "--json"))
    yield "drill", took - _restored(ran.json["drill"])


def _restored(drill: dict[str, Any]) -> float:
    return next(float(leg["seconds"]) for leg in drill["legs"] if leg["name"] == "restored")


def _timed(act: Callable[[], Any]) -> tuple[float, Any]:
    os.sync()
    began = time.perf_counter()
    done = act()
    os.sync()
    return time.perf_counter() - began, done
