"""The second process of a server: it follows the logs, so that the views cost nobody an acknowledgement.

It knows full bundles and views, and no key, no order and no address. It ends when the server does, and is started again
when it ends before. Only one may write the views of a directory: it waits until one of a dead server is gone.
"""

import fcntl
import gc
import os
import signal
import socket
import subprocess
import sys
import traceback
from contextlib import suppress
from multiprocessing.connection import Connection
from pathlib import Path

from atp.adapters.filesystem import FilesystemObjectStore
from atp.adapters.signatures import Signatures
from atp.errors import AtpError, UnavailableError
from atp.log.project.follow import follow_bundles
from atp.ports.object_store import ObjectStore
from atp.ports.read_models import ReadModels

_LOCK = "views.lock"
_NICE = 5  # acknowledgements come first, and yet who writes waits for the views when they are `LAG_SECONDS_MAX` behind
_GC_THRESHOLD = 50_000
_END_SECONDS = 2.0
# glibc would give large arrays back after each frame and fault them in again: a third of the time.
_MALLOC = {"MALLOC_MMAP_THRESHOLD_": str(64 << 20), "MALLOC_TRIM_THRESHOLD_": str(64 << 20)}


class Follower:
    """The server's end. For one thread; the process is started when it is needed first."""

    def __init__(self, data: Path) -> None:
        self._data = data
        self._process: subprocess.Popen[bytes] | None = None
        self._connection: Connection | None = None

    def follow(self, tenant: str, size: int) -> int:
        """Follow the next bundles of a log of `size` published entries; how many frames its view holds then.

        Raises what `follow_bundles` raises; UnavailableError when the process ended: the next call starts another.
        """
        try:
            connection = self._connection or self._start()
            connection.send((tenant, size))
            answer = connection.recv()
        except (EOFError, OSError) as error:
            self.close()
            raise UnavailableError(f"could not follow the log of {tenant}: the follower ended", hint="wait") from error
        if isinstance(answer, Exception):
            raise answer
        return int(answer)

    def close(self) -> None:
        """End the process."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None
        if self._process is not None:
            try:
                self._process.wait(_END_SECONDS)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
            self._process = None

    def _start(self) -> Connection:
        ours, theirs = socket.socketpair()
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", __name__, str(self._data), str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                env=os.environ | _MALLOC,
            )
        self._connection = Connection(ours.detach())
        return self._connection


def main(data: Path, connection: Connection) -> None:
    """Answer (tenant, size) after (tenant, size) until the other end is closed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the server, whose end ends this too
    os.nice(_NICE)
    lock = os.open(data / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    fcntl.flock(lock, fcntl.LOCK_EX)
    objects, models = FilesystemObjectStore(data), Signatures(data / "views")
    gc.freeze()
    gc.set_threshold(_GC_THRESHOLD, 20, 50)
    with suppress(EOFError, ConnectionError):  # the server ended
        while True:
            tenant, size = connection.recv()
            connection.send(_follow(tenant, size, objects, models))


def _follow(tenant: str, size: int, objects: ObjectStore, models: ReadModels) -> int | Exception:
    try:
        return follow_bundles(tenant, size, object_store=objects, read_models=models)
    except AtpError as error:
        return error
    except Exception:
        return RuntimeError(traceback.format_exc())


if __name__ == "__main__":
    main(Path(sys.argv[1]), Connection(int(sys.argv[2])))
