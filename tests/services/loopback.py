"""Real server processes on loopback: a free port, a start that waits until ready, a stop that is certain."""

import os
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

START_SECONDS_MAX = 30.0
STOP_SECONDS_MAX = 10.0


def free_port() -> int:
    """A TCP port that nothing listens on now; taken at once by the server that asked for it."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def running(
    command: Sequence[str | os.PathLike[str]],
    *,
    is_ready: Callable[[], bool],
    log: Path,
    env: dict[str, str] | None = None,
    owner: int | None = None,
) -> Iterator[subprocess.Popen[bytes]]:
    """Run `command` (as user id `owner`) until the block ends.

    Raises RuntimeError with the end of its output when it ends or `START_SECONDS_MAX` passes before it is ready.
    """
    with log.open("wb") as output:
        process = subprocess.Popen(command, env=env, user=owner, stdout=output, stderr=subprocess.STDOUT)
    try:
        _wait_until_ready(process, is_ready, log)
        yield process
    finally:
        _stop(process)


def _wait_until_ready(process: subprocess.Popen[bytes], is_ready: Callable[[], bool], log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS_MAX
    while not is_ready():
        if process.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError(f"could not start {process.args!r}: {log.read_text(errors='replace')[-2000:]}")
        time.sleep(0.05)


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(STOP_SECONDS_MAX)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
