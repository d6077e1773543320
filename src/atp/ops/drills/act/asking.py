"""Starts the process behind the fence, and believes only the walls that were tried in vain."""

import os
import socket
import subprocess
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import msgspec

from atp.errors import UnavailableError
from atp.limits import DRILL_ANSWER_BYTES_MAX, DRILL_ASK_SECONDS
from atp.ops.drills.act import inside
from atp.ops.drills.act.questions import Found, Outside, Question, Tried
from atp.ops.drills.act.trying import NAMESPACE, reach
from atp.ops.drills.evidence.measure import Walls

_CANARIES = "outside"
_SOCKETS = "/proc/net/unix"
_ACCEPTS = 0x10000  # linux/net.h: a socket that listens
_SAID_CHARS = 300


@contextmanager
def listening(folder: Path) -> Iterator[tuple[str, ...]]:
    """Canaries: a port on the loopback and a socket in `folder`/outside, both reached from here, at once.

    Whoever cannot reach the one is in another network, and from whom the other is kept sees another file system.
    """
    place = folder / _CANARIES
    place.mkdir(mode=0o700)
    with ExitStack() as stack:
        port = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        local = stack.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM))
        handle = os.open(place, os.O_PATH | os.O_DIRECTORY)
        stack.callback(os.close, handle)
        local.bind(f"/proc/self/fd/{handle}/canary")  # the length of an address is limited, that of a path is not
        local.listen()
        canaries = (f"127.0.0.1:{port.getsockname()[1]}", str(place / "canary"))
        for address in canaries:
            reach(address)
        yield canaries


def sockets_here() -> tuple[str, ...]:
    """The paths of all sockets that somebody listens on in this network namespace; none where the kernel tells none."""
    found = list[str]()
    with suppress(OSError), open(_SOCKETS, encoding="utf-8", errors="surrogateescape") as lines:
        next(lines, "")
        for line in lines:
            words = line.split(maxsplit=7)
            if len(words) == 8 and int(words[3], 16) & _ACCEPTS and words[7].startswith("/"):
                found.append(words[7].rstrip("\n"))
    return tuple(dict.fromkeys(found))


def outside(paths: Iterable[Path]) -> tuple[Outside, ...]:
    """These directories, or those that these files lie in; what is not there is left out."""
    found = list[Outside]()
    for path in paths:
        place = path if path.is_dir() else path.parent
        with suppress(OSError):
            seen = place.stat()
            found.append(Outside(str(place.resolve()), seen.st_dev, seen.st_ino))
    return tuple(found)


def covered(addresses: Iterable[str]) -> list[Path]:
    """The directories of the sockets among these addresses."""
    return list(dict.fromkeys(Path(address).parent for address in addresses if address.startswith("/")))


def ask(question: Question, *, fence: Sequence[str]) -> tuple[Found, Walls]:
    """What the copy answers, and which walls of the fence were found standing. UnavailableError: it gives no answer."""
    words = [*fence, sys.executable, "-I", "-m", inside.__name__]
    try:
        done = subprocess.run(
            words, input=msgspec.json.encode(question), capture_output=True, timeout=DRILL_ASK_SECONDS, env={}
        )
        if done.returncode != 0 or len(done.stdout) > DRILL_ANSWER_BYTES_MAX:
            raise UnavailableError(f"could not ask the restored copy: {_last_line(done.stderr)}")
        found = msgspec.json.decode(done.stdout, type=Found)
    except (OSError, subprocess.SubprocessError, msgspec.MsgspecError) as error:
        raise UnavailableError(f"could not ask the restored copy: {type(error).__name__}: {error}") from None
    return found, _walls(question, found.tried)


def _walls(question: Question, tried: Tried) -> Walls:
    """A wall stands when something was tried on it, and nothing came through."""
    is_apart = bool(tried.namespace) and tried.namespace != os.readlink(NAMESPACE)
    sockets = [address for address in tried.reached if address.startswith("/")]
    return Walls(
        network=is_apart and len(sockets) == len(tried.reached),
        sockets=any(address.startswith("/") for address in question.canaries) and not sockets,
        files=bool(question.outside) and not tried.wrote,
        reached=tried.reached,
        wrote=tried.wrote,
    )


def _last_line(said: bytes) -> str:
    lines = said.decode(errors="replace").strip().splitlines()
    return lines[-1][:_SAID_CHARS] if lines else "it ended without a word"
