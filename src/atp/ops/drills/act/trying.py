"""Tries the walls of the fence from behind it: whatever can be reached or written to there shows that one is missing.

Canaries come first. Production is only tried when they were out of reach, so that a drill without a fence lets it be.
"""

import errno
import os
import socket
from collections.abc import Sequence

from atp.limits import DRILL_REACH_SECONDS
from atp.ops.drills.act.questions import Outside, Question, Tried

NAMESPACE = "/proc/self/ns/net"
_OUT_OF_SIGHT = (errno.EROFS, errno.ENOENT)


def try_walls(question: Question) -> Tried:
    """What is not kept from this process. Changes nothing, anywhere."""
    namespace = os.readlink(NAMESPACE) if os.path.exists(NAMESPACE) else ""
    reached = [address for address in question.canaries if _reaches(address)]
    wrote = _first_written(question.outside)
    if not reached and not wrote:
        reached = [address for address in question.addresses if _reaches(address)]
    return Tried(namespace, tuple(reached), tuple(wrote))


def reach(address: str) -> None:
    """Connect to `HOST:PORT` or to the path of a socket, however long it is. OSError when nobody answers."""
    if not address.startswith("/"):
        host, _, port = address.rpartition(":")
        socket.create_connection((host.strip("[]"), int(port)), timeout=DRILL_REACH_SECONDS).close()
        return
    folder = os.open(os.path.dirname(address), os.O_PATH | os.O_DIRECTORY)
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.settimeout(DRILL_REACH_SECONDS)
            connection.connect(f"/proc/self/fd/{folder}/{os.path.basename(address)}")
    finally:
        os.close(folder)


def _reaches(address: str) -> bool:
    try:
        reach(address)
    except (OSError, ValueError):
        return False
    return True


def _first_written(outside: Sequence[Outside]) -> list[str]:
    return next(([one.path] for one in outside if _is_writable(one)), [])


def _is_writable(outside: Outside) -> bool:
    """Whether nothing but permissions keeps a file from this very directory. The one that is tried has no name, so
    that nobody ever sees it."""
    try:
        found = os.stat(outside.path)
        if (found.st_dev, found.st_ino) != (outside.device, outside.inode):
            return False  # something private has its name here
        os.close(os.open(outside.path, os.O_TMPFILE | os.O_WRONLY, 0o600))
    except OSError as error:
        return error.errno not in _OUT_OF_SIGHT and not _is_read_only(outside.path)
    return True


def _is_read_only(path: str) -> bool:
    """What the kernel says where such a file cannot be made, for whatever reason."""
    try:
        return bool(os.statvfs(path).f_flag & os.ST_RDONLY)
    except OSError:
        return True
