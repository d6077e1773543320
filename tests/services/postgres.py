"""A private PostgreSQL: its own cluster in a temporary directory, on a free loopback port, gone when the tests end."""

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

import psycopg

from tests.services.absent import APT_LINE, AbsentError
from tests.services.loopback import free_port, running

DEBIAN = Path("/usr/lib/postgresql")
UNPRIVILEGED = ("postgres", "nobody")


@contextmanager
def serving() -> Iterator[str]:
    """Start a cluster (2 s) and give the DSN of its empty database `atp`; raises AbsentError without PostgreSQL.

    `fsync` is off: a killed server loses nothing, only a lost machine would.
    """
    programs = find_programs()
    owner = unprivileged_user() if os.geteuid() == 0 else None  # the server refuses to run as root
    home = Path(tempfile.mkdtemp(prefix="atp-postgres-"))
    try:
        if owner is not None:
            os.chown(home, owner, -1)
        with _cluster(programs, home, owner) as dsn:
            yield dsn
    finally:
        shutil.rmtree(home, ignore_errors=True)


@contextmanager
def _cluster(programs: Path, home: Path, owner: int | None) -> Iterator[str]:
    data, port = home / "data", free_port()
    settings = {"listen_addresses": "127.0.0.1", "port": port, "unix_socket_directories": home, "fsync": "off"}
    dsn = f"postgresql://atp@127.0.0.1:{port}/postgres"
    subprocess.run(
        [programs / "initdb", "--username=atp", "--auth=trust", "--encoding=UTF8", "--locale=C", "--no-sync", data],
        user=owner,
        check=True,
        capture_output=True,
    )
    flags = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
    with running(
        [programs / "postgres", "-D", data, *flags], is_ready=lambda: _accepts(dsn), log=home / "log", owner=owner
    ):
        yield create_database(dsn, name="atp")


def create_database(dsn: str, *, name: str | None = None) -> str:
    """Create one more empty database in the cluster of `dsn` (50 ms) and give its DSN."""
    name = name or f"t{uuid4().hex}"
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{name}"'.encode())
    return f"{dsn.rpartition('/')[0]}/{name}"


def find_programs() -> Path:
    """The directory of `initdb` and `postgres`: Debian keeps them off the PATH, one directory per version."""
    on_path = shutil.which("initdb")
    newest_first = sorted(DEBIAN.glob("*/bin"), key=lambda folder: int(folder.parent.name), reverse=True)
    for folder in [*newest_first, *([Path(on_path).resolve().parent] if on_path else [])]:
        if (folder / "initdb").exists() and (folder / "postgres").exists():
            return folder
    raise AbsentError("PostgreSQL", enable=APT_LINE)


def unprivileged_user() -> int:
    """The user that runs servers when the tests are run by root."""
    known = {user.pw_name: user.pw_uid for user in pwd.getpwall()}
    return next(known[name] for name in UNPRIVILEGED if name in known)


def _accepts(dsn: str) -> bool:
    try:
        psycopg.connect(dsn, connect_timeout=2).close()
    except psycopg.OperationalError:
        return False
    return True
