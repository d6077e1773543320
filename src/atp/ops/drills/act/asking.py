"""Starts the process behind the fence, and believes the fence only when a way out was tried and failed."""

import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import msgspec

from atp.errors import UnavailableError
from atp.limits import DRILL_ANSWER_BYTES_MAX, DRILL_ASK_SECONDS, DRILL_REACH_SECONDS
from atp.ops.drills.act import inside
from atp.ops.drills.act.questions import Found, Question
from atp.ops.drills.evidence.measure import FENCED, UNFENCED

_NAMESPACE = "/proc/self/ns/net"
_PROBE_SECONDS = 10
_SAID_CHARS = 300


def fence_words() -> tuple[str, ...]:
    """What starts a process in a network namespace of its own; nothing where the kernel refuses it.

    Root needs no user namespace, and without one owners of files read as they are.
    """
    unshare = shutil.which("unshare")
    if unshare is None:
        return ()
    words = (unshare, "--net") if os.geteuid() == 0 else (unshare, "--user", "--map-current-user", "--net")
    try:
        done = subprocess.run([*words, "true"], capture_output=True, timeout=_PROBE_SECONDS)
    except (OSError, subprocess.SubprocessError):
        return ()
    return words if done.returncode == 0 else ()


@contextmanager
def listening() -> Iterator[int]:
    """A port on the loopback that was reached from here: whoever cannot reach it is somewhere else."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = int(listener.getsockname()[1])
        with socket.create_connection(("127.0.0.1", port), timeout=DRILL_REACH_SECONDS):
            yield port


def ask(question: Question, *, fence: Sequence[str]) -> tuple[Found, str]:
    """What the copy answers, and what can be said of the fence. UnavailableError when the process gives no answer."""
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
    is_apart = bool(found.namespace) and found.namespace != os.readlink(_NAMESPACE) and not found.reached
    return found, f"{FENCED}, a listener of this machine could not be reached from it" if is_apart else UNFENCED


def _last_line(said: bytes) -> str:
    lines = said.decode(errors="replace").strip().splitlines()
    return lines[-1][:_SAID_CHARS] if lines else "it ended without a word"
