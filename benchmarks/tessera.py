"""A yardstick of the trade: Tessera's POSIX log behind its own HTTP server, one entry a request."""

import os
import shutil
import subprocess
import tempfile
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from atp.merkle.keys import SigningKey
from benchmarks.load import HOST, Load, drive, request, run
from benchmarks.run import Run
from tests.services.absent import AbsentError
from tests.services.loopback import free_port, running

CONNECTIONS = 256
_VERSION = "v1.0.4"
_PACKAGE = f"github.com/transparency-dev/tessera/cmd/conformance/posix@{_VERSION}"
_TOOLS = Path(__file__).resolve().parents[1] / ".tools" / "bin"
_SEED = 8_000


def per_second(bench: Run) -> float:
    """Events a second that it acknowledges. AbsentError when it cannot be built here."""
    with _serving(bench.scratch) as port:

        async def send() -> Load:
            batches = bench.batches(seed=_SEED, size=1)
            posts = (request("POST", "/add", body=sample.body(event_id)) for ((event_id, sample),) in batches)
            return await drive(port, posts, connections=CONNECTIONS, seconds=bench.seconds)

        return run(send).per_second


@contextmanager
def _serving(scratch: Path) -> Iterator[int]:
    program, port, home = _find_program(), free_port(), scratch / "tessera"
    home.mkdir()
    key = home / "key"
    key.write_text(SigningKey.from_seed(bytes(32), name="example.com/yardstick").secret())
    command = [
        str(program),
        "--storage_dir",
        str(home / "log"),
        "--listen",
        f"{HOST}:{port}",
        "--private_key",
        str(key),
    ]
    try:
        with running(command, is_ready=lambda: _is_ready(port), log=scratch / "tessera.log"):
            yield port
    finally:
        shutil.rmtree(home)


def _is_ready(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://{HOST}:{port}/checkpoint", timeout=5):
            return True
    except (urllib.error.URLError, OSError):
        return False


def _find_program() -> Path:
    """The server, built once (a minute)."""
    built = _TOOLS / f"tessera-posix-{_VERSION}"
    if not built.exists():
        _build(built)
    return built


def _build(built: Path) -> None:
    go = shutil.which("go")
    if not go:
        raise AbsentError("Tessera's POSIX server, nor Go to build it", enable="install Go 1.25 or newer")
    built.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=built.parent) as folder:
        done = subprocess.run([go, "install", _PACKAGE], env=os.environ | {"GOBIN": folder}, capture_output=True)
        if done.returncode:
            raise AbsentError("Tessera's POSIX server: it was not built", enable=f"go install {_PACKAGE}")
        (Path(folder) / "posix").replace(built)
