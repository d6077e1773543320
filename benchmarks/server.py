"""The server under measurement: `atp serve` as a process of its own, on a directory that the caller names."""

import json
import os
import shutil
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.load import HOST
from tests.services.loopback import free_port, running

PROGRAM = str(Path(sys.executable).with_name("atp"))
_PAUSE_SECONDS = 0.1
_SETTLE_SECONDS_MAX = 600.0
_TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")
RATE_PER_SECOND = 1e9  # the limit of a key would be measured else


@dataclass(frozen=True, slots=True)
class Server:
    """A server that is ready: where it listens, the root key, its process, and the seconds it took to be ready."""

    port: int
    key: str
    pid: int
    start_seconds: float

    def get(self, path: str) -> Any:
        """The JSON document at a path."""
        asked = urllib.request.Request(
            f"http://{HOST}:{self.port}{path}", headers={"Authorization": f"Bearer {self.key}"}
        )
        with urllib.request.urlopen(asked, timeout=60) as answer:
            return json.load(answer)

    def settle(self, *, tenant: str = "default") -> None:
        """Wait until everything durable is published and in the views. RuntimeError when that takes too long."""
        deadline = time.monotonic() + _SETTLE_SECONDS_MAX
        while time.monotonic() < deadline:
            log = log_status(self.get("/v1/status"), tenant)
            if log["size"] == log["published_size"] == log["viewed_size"]:
                return
            time.sleep(_PAUSE_SECONDS)
        raise RuntimeError(f"could not settle the log of {tenant}: {log}")

    def rss_bytes(self) -> int:
        """Resident memory of the process and all below it."""
        return sum(_status_kib(pid, "VmRSS") * 1024 for pid in _family(self.pid))

    def cpu_seconds(self) -> float:
        """User and system time that the process and all below it have used."""
        return sum(_cpu_seconds(pid) for pid in _family(self.pid))


def log_status(status: Any, tenant: str) -> Any:
    """The row of one log in the answer of `/v1/status`."""
    return next(log for log in status["logs"] if log["tenant"] == tenant)


@contextmanager
def serving(data: Path) -> Iterator[Server]:
    """Run `atp serve` on a directory, which stays; ready when the block begins, gone when it ends."""
    config, port = data.with_suffix(".toml"), free_port()
    config.write_text(f"rate_per_second = {RATE_PER_SECOND}\n")
    command = [PROGRAM, "serve", "--data", str(data), "--listen", f"{HOST}:{port}", "--config", str(config)]
    with _started(command, data, port) as server:
        yield server


@contextmanager
def serving_nothing(scratch: Path) -> Iterator[Server]:
    """The same application, which stores nothing; gone when the block ends."""
    data, port = scratch / "bare", free_port()
    try:
        with _started([sys.executable, "-m", "benchmarks.bare", str(port), str(data)], data, port) as server:
            yield server
    finally:
        shutil.rmtree(data, ignore_errors=True)


@contextmanager
def _started(command: list[str], data: Path, port: int) -> Iterator[Server]:
    began = time.perf_counter()
    with running(command, is_ready=lambda: _is_ready(port), log=data.with_suffix(".log")) as process:
        ready_after = time.perf_counter() - began
        yield Server(port, (data / "root.key").read_text().strip(), process.pid, ready_after)


@contextmanager
def serving_anew(scratch: Path, name: str) -> Iterator[Server]:
    """Run `atp serve` on a new directory, which is removed at the end."""
    data = scratch / name
    try:
        with serving(data) as server:
            yield server
    finally:
        shutil.rmtree(data, ignore_errors=True)


def _is_ready(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://{HOST}:{port}/health/ready", timeout=5) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False


def _family(pid: int) -> list[int]:
    found = [pid]
    for parent in found:
        for children in Path(f"/proc/{parent}/task").glob("*/children"):
            found += map(int, children.read_text().split())
    return found


def _status_kib(pid: int, name: str) -> int:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1])
    return 0


def _cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS_PER_SECOND
