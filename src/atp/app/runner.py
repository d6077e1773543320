"""Runs what is due as a child process of the server: the command that a person would type, one at a time, niced."""

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from atp.app.config import Runs
from atp.errors import UnavailableError
from atp.limits import RUN_SECONDS_MAX, RUN_TAIL_BYTES
from atp.ops.estate.evidence.due import Due, Kind

_PROGRAM = ("-P", "-m", "atp.cli.main")
_NICE = 10
_END_SECONDS = 1.0
_STATE = "machine"
_TIMED_OUT = -1


@dataclass(frozen=True, slots=True)
class Ended:
    """A run that has ended: its exit code (-1: it was stopped after `RUN_SECONDS_MAX`) and the end of what it said."""

    dataset: str
    kind: Kind
    code: int
    seconds: float
    tail: str


@dataclass(frozen=True, slots=True)
class _Running:
    due: Due
    process: subprocess.Popen[bytes]
    words: IO[bytes]
    began: float


class Runner:
    """For one thread. Secrets reach the child as names of files alone; what it does it writes down itself, through the
    server at `url`, as the person of the API key in `key_file`."""

    def __init__(self, runs: Runs, *, url: str, estate: Path, data: Path, root_key: Path) -> None:
        self._runs = runs
        self._url = url
        self._estate = estate
        self._data = data
        self._key_file = runs.key_file or root_key
        self._running: _Running | None = None

    @property
    def can_drill(self) -> bool:
        """Whether there is a key to open copies with."""
        return self._runs.identity is not None

    @property
    def is_running(self) -> bool:
        """Whether one is under way, or has ended and was not looked at."""
        return self._running is not None

    def begin(self, due: Due) -> None:
        """Start it. UnavailableError when the machine starts no process."""
        assert self._running is None, "one at a time"
        try:
            words = tempfile.TemporaryFile()  # noqa: SIM115 - it is closed when the run has ended
            process = subprocess.Popen(
                [sys.executable, *_PROGRAM, *self.words(due)],
                stdin=subprocess.DEVNULL,
                stdout=words,
                stderr=words,
                env=self._environment(),
                process_group=0,
            )
        except OSError as error:
            raise UnavailableError(f"could not run the {due.kind} of {due.dataset}: {error.strerror}") from None
        os.setpriority(os.PRIO_PROCESS, process.pid, _NICE)
        self._running = _Running(due, process, words, time.monotonic())

    def look(self) -> Ended | None:
        """What came of it, once; None while it goes on. One that takes too long is stopped."""
        if self._running is None:
            return None
        code, seconds = self._running.process.poll(), time.monotonic() - self._running.began
        if code is None and seconds > RUN_SECONDS_MAX:
            self._kill()
            code = _TIMED_OUT
        if code is None:
            return None
        running, self._running = self._running, None
        with running.words:
            return Ended(running.due.dataset, running.due.kind, code, seconds, _tail(running.words))

    def stop(self) -> None:
        """End what runs: it is told to, and killed a second later. A backup or drill that was cut short is repeated."""
        if self._running is not None:
            self._kill()
            self._running.words.close()
            self._running = None

    def words(self, due: Due) -> list[str]:
        """The command line for it."""
        verb = {"backup": ["backup", "run"], "verify": ["backup", "verify"], "drill": ["drill", "run"]}[due.kind]
        shared = ["--file", str(self._estate), "--url", self._url, "--key-file", str(self._key_file), "--json"]
        identity = ["--identity", str(self._runs.identity)] if self.can_drill and due.kind != "backup" else []
        return [*verb, due.dataset, *shared, *identity]

    def _environment(self) -> dict[str, str]:
        """The server's own, which the estate file may refer to; keys and servers of people's shells left out."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith("ATP_")}
        return {**kept, "ATP_STATE_DIR": os.environ.get("ATP_STATE_DIR") or str(self._data.resolve() / _STATE)}

    def _kill(self) -> None:
        assert self._running is not None, "something runs"
        process = self._running.process
        _signal(process, signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(_END_SECONDS)
        _signal(process, signal.SIGKILL)
        process.wait()


def _signal(process: subprocess.Popen[bytes], number: signal.Signals) -> None:
    """To the run and what it started: they are a process group of their own."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, number)


def _tail(words: IO[bytes]) -> str:
    size = words.seek(0, os.SEEK_END)
    words.seek(max(0, size - RUN_TAIL_BYTES))
    return words.read(RUN_TAIL_BYTES).decode(errors="replace")
