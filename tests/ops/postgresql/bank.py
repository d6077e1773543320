"""A real PostgreSQL cluster that is written to, followed, backed up, destroyed, and drilled: by the program itself."""

import os
import pwd
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from tempfile import mkdtemp

import psycopg
import pytest

from tests.cli.running import Atp
from tests.services.absent import AbsentError
from tests.services.postgres import find_programs, unprivileged_user

ESTATE = """\
version: atp.estate/1
name: A small bank
environments: [production]
datasets:
  ledger:
    kind: postgresql
    source: {{env: LEDGER_ADDRESS}}
    rpo: 10s
    rto: 15min
    retention: 30d
    backup: {{repository: vault, schedule: 12h, continuous: true, recipients: [{recipient}]}}
    drill:
      place: {here}/scratch
      checks:
        - {{sql: "select count(*), min(balance) >= 0 from account", expect: [[100, true]]}}
        - rows: {{table: public.booking, at_least: 1}}
      heartbeat: {{every: 1s, ledger: {here}/beats}}
repositories:
  vault: {{kind: directory, place: {here}/vault}}
"""
TABLES = """\
CREATE TABLE account (id int PRIMARY KEY, balance int NOT NULL);
INSERT INTO account SELECT n, 1000 FROM generate_series(1, 100) AS n;
CREATE TABLE booking (id int PRIMARY KEY, at timestamptz NOT NULL DEFAULT clock_timestamp());
"""


@dataclass(slots=True)
class Cluster:
    """A cluster on a private socket, with everything synced, that dies and is gone when it is told to."""

    home: Path
    programs: Path
    user: int | None
    process: "subprocess.Popen[bytes] | None" = None
    words: tuple[str, ...] = ()

    @property
    def data(self) -> Path:
        return self.home / "data"

    @property
    def address(self) -> str:
        """With a password, which must never be seen."""
        return f"host={self.home} port=5432 user=atp password=sesame dbname=postgres"

    def create(self, *options: str) -> None:
        self._run("initdb", "--username=atp", "--auth=trust", "--locale=C", "--encoding=UTF8", *options, str(self.data))

    def start(self) -> None:
        words = [str(self.programs / "postgres"), "-D", str(self.data), "-c", "listen_addresses="]
        words += ["-c", f"unix_socket_directories={self.home}", *self.words]
        with (self.home / "log").open("ab") as log:
            self.process = subprocess.Popen(words, user=self.user, stdout=log, stderr=log)
        for _ in range(500):
            with suppress(psycopg.OperationalError):
                return self.connect().close()
            time.sleep(0.02)
        raise AssertionError((self.home / "log").read_text())

    def connect(self) -> "psycopg.Connection[tuple[object, ...]]":
        return psycopg.connect(self.address, autocommit=True)

    def ask(self, sql: str) -> list[tuple[object, ...]]:
        with self.connect() as connection:
            answer = connection.execute(sql.encode())
            return answer.fetchall() if answer.description else []

    def destroy(self) -> None:
        """The server is killed, and its data directory removed."""
        self.kill()
        shutil.rmtree(self.data)

    def kill(self) -> None:
        if self.process is not None:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait()
            self.process = None
            time.sleep(0.2)  # its children see it
            for left in self.home.glob(".s.*"):
                left.unlink()

    def _run(self, program: str, *words: str) -> None:
        subprocess.run([self.programs / program, *words], user=self.user, check=True, capture_output=True)


@contextmanager
def cluster(*options: str) -> Iterator[Cluster]:
    """A new, running, empty one; AbsentError without PostgreSQL."""
    programs = find_programs()
    user = unprivileged_user() if os.geteuid() == 0 else None
    home = Path(mkdtemp(prefix="atp-bank-"))
    try:
        if user is not None:
            os.chown(home, user, pwd.getpwuid(user).pw_gid)
        made = Cluster(home, programs, user)
        made.create(*options)
        made.start()
        try:
            yield made
        finally:
            made.kill()
    finally:
        shutil.rmtree(home, ignore_errors=True)


@contextmanager
def banking() -> Iterator[Cluster]:
    """A cluster with the tables of a bank; the test is skipped aloud without PostgreSQL."""
    try:
        with cluster() as made:
            with made.connect() as connection:
                connection.execute(TABLES)
            yield made
    except AbsentError as error:
        pytest.skip(str(error))


def alone(here: Path, bank: Cluster) -> Atp:
    """The program in a folder, without a server."""
    return Atp({"ATP_STATE_DIR": str(here / "state"), "ATP_URL": "http://127.0.0.1:9", "LEDGER_ADDRESS": bank.address})


def program(here: Path, bank: Cluster) -> Atp:
    """The same, with a repository, a key and an estate file in that folder, which is the current one."""
    (here / "vault").mkdir()
    made = alone(here, bank)
    recipient = made.document("backup", "key", "-o", "KEY.txt")["recipient"]
    (here / "estate.yaml").write_text(ESTATE.format(here=here, recipient=recipient))
    return made


@dataclass(slots=True)
class Writer:
    """Books from a thread, one commit after another, and counts what was acknowledged."""

    cluster: Cluster
    acknowledged: list[tuple[int, datetime]] = field(default_factory=list)
    _over: threading.Event = field(default_factory=threading.Event)

    @contextmanager
    def writing(self) -> Iterator["Writer"]:
        thread = threading.Thread(target=self._write, name="writer")
        thread.start()
        try:
            yield self
        finally:
            self._over.set()
            thread.join()

    def _write(self) -> None:
        with suppress(psycopg.OperationalError), self.cluster.connect() as connection:
            for number in range(1, 1_000_000):
                connection.execute("INSERT INTO booking (id) VALUES (%s)", (number,))
                self.acknowledged.append((number, datetime.now(UTC)))
                if self._over.wait(0.002):
                    return


@contextmanager
def following(atp: Atp, here: Path, *, within: str = "1s") -> Iterator["subprocess.Popen[bytes]"]:
    """`atp backup follow` as a process of its own, ended by SIGTERM."""
    words = [str(Path(sys.executable).parent / "atp"), "backup", "follow", "ledger", "--within", within]
    with (here / "follow.log").open("wb") as log:
        process = subprocess.Popen(words, cwd=here, env={**os.environ, **atp.env}, stdout=log, stderr=log)
    try:
        wait_for(here / "follow.log", "following ledger")
        yield process
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
            assert process.wait(timeout=60) == 0, (here / "follow.log").read_text()


def wait_for(path: Path, words: str, *, seconds: float = 60) -> None:
    """Until a file holds some words."""
    deadline = time.monotonic() + seconds
    while words not in path.read_text():
        assert time.monotonic() < deadline, path.read_text()
        time.sleep(0.05)


def covered(path: Path) -> datetime:
    """The moment until which a segment and those before it hold every commit."""
    return datetime.strptime(path.name.split("_")[1], "%Y%m%dT%H%M%S%fZ").replace(tzinfo=UTC)


def command_of(pid: int) -> str:
    """What a process was started with; empty when it is dead."""
    with suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    return ""


def shipped(here: Path) -> list[Path]:
    """The whole segments in the repository, oldest first."""
    found = (here / "vault/ledger/wal").glob("*/*")
    return sorted(path for path in found if not path.name.endswith("_partial") and ".history_" not in path.name)
