"""A private S3 server (versitygw on a POSIX directory) with versions and an Object Lock that it really enforces."""

import os
import secrets
import shutil
import tempfile
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.services import go
from tests.services.loopback import free_port, running


@dataclass(frozen=True)
class Endpoint:
    """Where the server listens and the keys of its only user; address buckets by path."""

    url: str
    access_key: str
    secret_key: str
    region: str = "us-east-1"


@contextmanager
def serving() -> Iterator[Endpoint]:
    """Start an empty server (0.2 s); raises AbsentError when versitygw was not built."""
    program = go.find("versitygw")
    home = Path(tempfile.mkdtemp(prefix="atp-s3-"))
    port = free_port()
    endpoint = Endpoint(f"http://127.0.0.1:{port}", access_key="atp", secret_key=secrets.token_hex(16))
    objects, versions, metadata = (home / name for name in ("objects", "versions", "metadata"))
    for folder in (objects, versions, metadata):
        folder.mkdir()
    command = [str(program), "--quiet", "--port", f"127.0.0.1:{port}", "--health", "/health", "posix"]
    keys = {"ROOT_ACCESS_KEY_ID": endpoint.access_key, "ROOT_SECRET_ACCESS_KEY": endpoint.secret_key}
    try:
        with running(
            # beside the objects, not in extended attributes: those are missing on some file systems
            [*command, "--versioning-dir", versions, "--sidecar", metadata, objects],
            is_ready=lambda: _answers(f"{endpoint.url}/health"),
            log=home / "log",
            env=os.environ | keys,
        ):
            yield endpoint
    finally:
        shutil.rmtree(home, ignore_errors=True)


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=2) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False
