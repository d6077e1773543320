"""A real `atp serve` that can be killed, wrapped and started again on the same directory and port."""

import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Sequence
from pathlib import Path

from atp.client import Client
from tests.services.loopback import free_port

PROGRAM = Path(sys.executable).parent / "atp"
START_SECONDS_MAX = 60
STOP_SECONDS_MAX = 10
INSTALLATION = "example.org"


class Server:
    """The process, its data in `folder / "data"`, its words in `folder / "words"`."""

    def __init__(self, folder: Path, *, data: Path | None = None) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.data = data or folder / "data"
        self.url = f"http://127.0.0.1:{free_port()}"
        self._words = folder / "words"
        self._config = folder / "config.toml"
        self._config.write_text(f'installation = "{INSTALLATION}"\nrate_per_second = 1000000.0\n')
        self._process: subprocess.Popen[bytes] | None = None

    def begin(self, *, prefix: Sequence[str] = ()) -> None:
        """Start it, behind another program when `prefix` names one, and do not wait."""
        command = [PROGRAM, "serve", "--data", self.data, "--listen", self.url.removeprefix("http://")]
        with self._words.open("ab") as words:
            self._process = subprocess.Popen(
                [*prefix, *command, "--config", self._config], stdout=words, stderr=subprocess.STDOUT
            )

    def start(self, *, prefix: Sequence[str] = ()) -> float:
        """Start it and wait until it is ready; the seconds that took. RuntimeError with its words when it ends."""
        began = time.monotonic()
        self.begin(prefix=prefix)
        while not self.is_ready():
            if self.code() is not None or time.monotonic() - began > START_SECONDS_MAX:
                raise RuntimeError(f"could not start: {self.words()[-3000:]}")
            time.sleep(0.02)
        return time.monotonic() - began

    def is_ready(self) -> bool:
        """Whether it answers and says that it has started: on a small disk it is never called ready for more."""
        try:
            with urllib.request.urlopen(f"{self.url}/health/startup", timeout=2) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._running().pid

    def code(self) -> int | None:
        """Its exit code, None while it runs."""
        return self._running().poll()

    def kill(self) -> None:
        """SIGKILL, whatever it is doing."""
        self._running().kill()
        self._running().wait()

    def stop(self) -> int:
        """SIGTERM; its exit code. It has to end in time."""
        process = self._running()
        process.terminate()
        try:
            return process.wait(STOP_SECONDS_MAX)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise

    def wait(self) -> int:
        """Wait until it ends by itself; its exit code."""
        return self._running().wait(START_SECONDS_MAX)

    def words(self) -> str:
        """All it said, over all its lives."""
        return self._words.read_text(errors="replace")

    def client(self, *, tries: int = 1) -> Client:
        """A new connection with the root key."""
        return Client(self.url, key=(self.data / "root.key").read_text().strip(), tries=tries)

    def memory_bytes(self) -> int:
        """Its resident set."""
        pages = Path(f"/proc/{self._running().pid}/statm").read_text().split()[1]
        return int(pages) * os.sysconf("SC_PAGE_SIZE")

    def _running(self) -> subprocess.Popen[bytes]:
        assert self._process is not None, "it was never started"
        return self._process


def verify(data: Path) -> subprocess.CompletedProcess[str]:
    """`atp verify` on a directory that no server holds."""
    state = {"ATP_STATE_DIR": str(data.parent / "state")}
    return subprocess.run(
        [PROGRAM, "verify", data, "--json"], capture_output=True, text=True, env={**os.environ, **state}, check=False
    )
