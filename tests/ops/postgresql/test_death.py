"""kill -9 in every phase of backup, restore, drill and following: nothing of ours lives on, the next run ends well."""

import ctypes
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import chdir, suppress
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import pytest

from tests.contracts.vaults import release
from tests.ops.postgresql.bank import Cluster, alone, banking, command_of, following, program, shipped, wait_for
from tests.ops.postgresql.test_recovery import bookings

pytestmark = [pytest.mark.whole, pytest.mark.slow]

PROGRAM = str(Path(sys.executable).parent / "atp")
OURS = ("postgres", "pg_basebackup", "pg_receivewal", "psql", "/wal/take")
SECONDS_MAX = 30.0
PR_SET_CHILD_SUBREAPER = 36
BACKUP = ["ask", "store", "lock", "publish"]
RESTORE = ["fetch", "check", "recover", "place"]
DRILL = ["choose", "restore/fetch", "restore/recover", "ask", "measure", "remove", "evidence"]
if "ATP_SOAK" not in os.environ:  # a bounded run takes two of each, the seed says which
    BACKUP, RESTORE, DRILL = (
        Random(os.environ.get("ATP_SEED", "")).sample(steps, 2) for steps in (BACKUP, RESTORE, DRILL)
    )


@dataclass(frozen=True, slots=True)
class Life:
    """A bank that lives in a folder, with a backup and three rows behind it."""

    bank: Cluster
    here: Path
    others: frozenset[int]

    @property
    def env(self) -> dict[str, str]:
        """With temporary files of its own."""
        return {**os.environ, **alone(self.here, self.bank).env, "TMPDIR": str(self.here / "tmp")}

    def run(self, *words: str) -> Any:
        """The document of the program, as a process of its own."""
        done = subprocess.run([PROGRAM, *words, "--json"], env=self.env, capture_output=True, text=True)
        assert "Traceback" not in done.stderr and done.stdout, done
        return json.loads(done.stdout)

    def began(self, step: str) -> int:
        """How often a step was intended, as the spool of this machine says."""
        words = f'"phase":"intended","step":"{step}"'.encode()
        return sum(lines.read_bytes().count(words) for lines in self.here.glob("state/spool/*/lines"))

    def die(self, words: Sequence[str], step: str, *, after: float) -> None:
        """Run the program, and kill it so many seconds after it began a step."""
        before = self.began(step)
        log = (self.here / "died.log").open("wb")
        process = subprocess.Popen([PROGRAM, *words], env=self.env, stdout=log, stderr=log)
        until = time.monotonic() + SECONDS_MAX
        while self.began(step) == before:
            assert process.poll() is None and time.monotonic() < until, (self.here / "died.log").read_text()
            time.sleep(0.002)
        time.sleep(after)
        process.kill()
        process.wait()

    def survivors(self) -> list[str]:
        """What this process or a dead child of it started and still runs, but for the bank."""
        assert self.bank.process is not None
        found = [
            words
            for pid in descendants(os.getpid(), but={self.bank.process.pid, *self.others})
            if (words := command_of(pid))
        ]
        return [words for words in found if any(name in words for name in OURS)]

    def check_none_survives(self) -> None:
        until = time.monotonic() + SECONDS_MAX
        while left := self.survivors():
            assert time.monotonic() < until, left
            time.sleep(0.02)


def descendants(root: int, *, but: set[int]) -> Iterator[int]:
    children = dict[int, list[int]]()
    for place in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            parent = int(place.read_text().rpartition(")")[2].split()[1])
            children.setdefault(parent, []).append(int(place.parent.name))
    waiting = [root]
    while waiting:
        for pid in children.get(waiting.pop(), []):
            if pid not in but:
                yield pid
                waiting.append(pid)


@pytest.fixture(scope="module")
def life(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Life]:
    here = tmp_path_factory.mktemp("death")
    (here / "tmp").mkdir()
    with banking() as bank, chdir(here):
        made = Life(bank, here, frozenset(descendants(os.getpid(), but=set())))
        program(here, bank)
        with following(alone(here, bank), here):
            made.run("backup", "run", "ledger")
            made.run("drill", "heartbeat", "ledger")
            bank.ask("INSERT INTO booking (id) VALUES (1), (2), (3)")
            wait_for(here / "follow.log", "reaches to")
            ((segment,),) = bank.ask("SELECT pg_walfile_name(pg_switch_wal())")
            until = time.monotonic() + SECONDS_MAX
            while not any(path.name >= str(segment) for path in shipped(here)):
                assert time.monotonic() < until, (here / "follow.log").read_text()
                time.sleep(0.05)
        yield made
        release(here / "vault")


@pytest.fixture(autouse=True)
def orphans(life: Life, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """What the dead leave behind becomes a child of this process, and is ended at last."""
    monkeypatch.chdir(life.here)
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    try:
        yield
    finally:
        ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0)
        assert life.bank.process is not None
        for pid in [*descendants(os.getpid(), but={life.bank.process.pid, *life.others})]:
            if any(name in command_of(pid) for name in OURS):
                os.kill(pid, signal.SIGKILL)


@pytest.mark.parametrize("step", BACKUP)
def test_a_backup_that_was_killed_is_none_and_the_next_one_is_whole(life: Life, rng: Random, step: str) -> None:
    before = life.run("backup", "list")["backups"]
    life.die(["backup", "run", "ledger"], step, after=rng.uniform(0, 0.2) if step == "store" else 0)
    life.check_none_survives()
    assert len(life.run("backup", "list")["backups"]) - len(before) in ((0, 1) if step == "publish" else (0,))
    made = life.run("backup", "run", "ledger")
    assert life.run("backup", "verify", made["backup"], "--identity", "KEY.txt")["ok"]
    assert not [path for path in (life.here / "vault/.aside").rglob("*") if path.is_file()], "nothing is unfinished"


@pytest.mark.parametrize("step", RESTORE)
def test_a_restore_that_was_killed_leaves_the_place_free_and_the_next_one_ends(
    life: Life, rng: Random, step: str
) -> None:
    words = ["restore", "ledger", "--to", f"back-{step}", "--identity", "KEY.txt", "--yes"]
    place = life.here / f"back-{step}"
    placed = life.began("place")
    life.die(words, step, after=rng.uniform(0, 0.2) if step == "recover" else 0)
    life.check_none_survives()
    assert not place.exists() or life.began("place") > placed
    if not place.exists():
        life.run(*words)
    assert bookings(place) == [1, 2, 3]
    assert not list(life.here.glob(f".{place.name}*/*")), "nothing in plain is left beside it"


@pytest.mark.parametrize("step", DRILL)
def test_a_drill_that_was_killed_is_swept_by_the_next_one(life: Life, rng: Random, step: str) -> None:
    words = ["drill", "run", "ledger", "--identity", "KEY.txt"]
    life.die(words, step, after=rng.uniform(0, 0.2) if step == "restore/recover" else 0)
    life.check_none_survives()
    done = life.run(*words)["drill"]
    assert next(one["verdict"] for one in done["objectives"] if one["name"] == "content") == "pass", done
    assert list((life.here / "scratch").iterdir()) == []
    life.check_none_survives()
    assert life.bank.ask("SELECT count(*) FROM booking") == [(3,)], "production is as it was"


def test_a_follower_that_was_killed_takes_its_receiver_with_it_and_the_next_one_goes_on(life: Life) -> None:
    before = len(shipped(life.here))
    with following(alone(life.here, life.bank), life.here) as process:
        until = time.monotonic() + SECONDS_MAX
        while not any("pg_receivewal -D" in words for words in life.survivors()):
            assert process.poll() is None and time.monotonic() < until, "there is no receiver"
            time.sleep(0.02)
        process.kill()
        process.wait()
        life.check_none_survives()
    with following(alone(life.here, life.bank), life.here):
        life.bank.ask("SELECT pg_switch_wal()")
        life.bank.ask("CREATE TABLE later (id int)")
        life.bank.ask("SELECT pg_switch_wal()")
        until = time.monotonic() + SECONDS_MAX
        while len(shipped(life.here)) == before:
            assert time.monotonic() < until, (life.here / "follow.log").read_text()
            time.sleep(0.05)
