"""What an operator's machine keeps for commands that work without a server: one folder for each server."""

import os
import pwd
import socket
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

from atp.adapters.machine import FileMachine
from atp.adapters.system_clock import SystemClock
from atp.client import Client
from atp.ops.drills.act.keeping import Keep
from atp.ops.drills.evidence.figures import OsUser
from atp.ops.record.sink import PUBLISH_SECONDS, ServerThenSpool
from atp.ops.record.waiting import Spool
from atp.ports.clock import Clock
from atp.verify.remember import default_memory

_FOLDER = "spool"
_DRILLS = "drills"
_FOLLOWED = "followed"
_NAME_CHARS = 16


def spool_folder(server: str) -> Path:
    """Where the spool for a server is, below `$ATP_STATE_DIR` or its default.

    Each has a key and numbers of its own: two URLs of one server are two machines to it, and no number is used twice.
    """
    name = sha256(server.rstrip("/").encode()).hexdigest()[:_NAME_CHARS]
    return default_memory().directory / _FOLDER / name


def spool_folders() -> list[Path]:
    """The folder of every server for which something was ever kept here."""
    root = default_memory().directory / _FOLDER
    return sorted(path for path in root.iterdir() if path.is_dir()) if root.is_dir() else []


def open_spool(server: str, *, tell: Callable[[str], object]) -> Spool:
    """What waits here for the server at this URL. Touches nothing yet."""
    return Spool(
        FileMachine(spool_folder(server)),
        server=server.rstrip("/"),
        host=socket.gethostname(),
        memory=default_memory(),
        clock=SystemClock(),
        tell=tell,
    )


def spooled_lines(folder: Path) -> list[bytes]:
    """The lines of one folder. UnavailableError when they cannot be read."""
    return FileMachine(folder).lines()


def open_sink(
    server: str,
    client: Client | None,
    *,
    tell: Callable[[str], object],
    publish_seconds: float | None = PUBLISH_SECONDS,
) -> ServerThenSpool:
    """Where the acts of a command are written down: the server at this URL, else this machine."""
    return ServerThenSpool(
        client,
        open_spool(server, tell=tell),
        memory=default_memory(),
        clock=SystemClock(),
        user=os_user(),
        tell=tell,
        publish_seconds=publish_seconds,
    )


def drill_keep(dataset: str) -> Keep:
    """What this machine keeps of the drills of a dataset, below `$ATP_STATE_DIR` or its default."""
    return Keep(default_memory().directory / _DRILLS / dataset)


def follow_room(dataset: str, source: str) -> Path:
    """Where this machine receives the write-ahead log of a dataset, below `$ATP_STATE_DIR` or its default."""
    name = f"{dataset}-{sha256(source.encode()).hexdigest()[:_NAME_CHARS]}"
    return default_memory().directory / _FOLLOWED / name


def machine_clock() -> Clock:
    """The time and randomness of acts on this machine."""
    return SystemClock()


def os_user() -> str:
    """The user of the operating system who runs this process: whom the kernel says, not the environment."""
    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        return f"uid-{os.geteuid()}"


def os_account() -> OsUser:
    """The same with its number, as the record of a drill has it."""
    return OsUser(os.geteuid(), os_user())
