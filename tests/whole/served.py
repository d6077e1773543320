"""A real server process on a directory of its own, and the command line that talks to it."""

import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.cli.running import Atp
from tests.services.loopback import free_port, running

PROGRAM = Path(sys.executable).parent / "atp"


@dataclass(frozen=True)
class Served:
    """Where the server is, and a client of it."""

    url: str
    folder: Path
    atp: Atp

    @property
    def data(self) -> Path:
        """The data directory."""
        return self.folder / "data"

    @property
    def key_file(self) -> Path:
        """The root key."""
        return self.data / "root.key"


@contextmanager
def serving(folder: Path) -> Iterator[Served]:
    """`atp serve` in `folder / "data"`, ended when the block ends."""
    url = f"http://127.0.0.1:{free_port()}"
    data = folder / "data"
    env = {"ATP_URL": url, "ATP_KEY_FILE": str(data / "root.key"), "ATP_STATE_DIR": str(folder / "state")}
    command = [PROGRAM, "serve", "--data", data, "--listen", url.removeprefix("http://")]
    with running(command, is_ready=lambda: _is_ready(url), log=folder / "log"):
        yield Served(url, folder, Atp(env))


def _is_ready(url: str) -> bool:
    try:
        with urllib.request.urlopen(f"{url}/health/ready", timeout=1) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False
