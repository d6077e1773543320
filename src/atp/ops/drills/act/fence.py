"""The fence: what is started behind it has its own network, its own processes, and one directory that it can write to.

`python -m atp.ops.drills.act.fence SPEC WORD...` puts up what walls the kernel grants, and becomes WORD...:

- network, System V objects and processes of its own; nothing outlives the first process;
- the file system is read-only but for SCRATCH; /tmp, /var/tmp and /dev are private;
- /run and every directory of `cover` are empty, so that no socket in them can be reached;
- no capability but those that read and write files of others, and no way to new ones.

Which walls stand nobody says here: who is behind them tries them (`atp.ops.drills.act.trying`).
"""

import ctypes
import fcntl
import json
import os
import signal
import socket
import struct
import subprocess
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path

_ENTRY = "atp.ops.drills.act.fence"
_LIBC = ctypes.CDLL(None, use_errno=True)
_PRIVATE = ("/tmp", "/var/tmp")
_EMPTY = ("/run", "/var/run")
_DEVICES = ("null", "zero", "full", "random", "urandom")
_DEVICE_LINKS = {"fd": "/proc/self/fd", "stdin": "fd/0", "stdout": "fd/1", "stderr": "fd/2"}
_TRY_SECONDS = 10

# linux/sched.h, mount.h, prctl.h, capability.h, if.h
_NEW_MOUNTS, _NEW_IPC, _NEW_USER, _NEW_PROCESSES, _NEW_NETWORK = 0x20000, 0x8000000, 0x10000000, 0x20000000, 0x40000000
_APART = _NEW_MOUNTS | _NEW_IPC | _NEW_PROCESSES | _NEW_NETWORK
_READ_ONLY, _NO_SUID, _NO_DEVICES, _NO_EXEC, _BIND, _RECURSIVE, _OWN = 1, 2, 4, 8, 4096, 16384, 1 << 18
_MOUNT_SETATTR, _AT_CWD, _AT_RECURSIVE = 442, -100, 0x8000
_DEATH_SIGNAL, _DROP_BOUND, _NO_NEW_PRIVILEGES, _AMBIENT, _AMBIENT_CLEAR = 1, 24, 38, 47, 4
_CAPABILITY_VERSION, _CAPABILITIES_MAX = 0x20080522, 64
_OTHERS_FILES = (1, 2, 3)  # CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH, CAP_FOWNER
_GET_FLAGS, _SET_FLAGS, _UP = 0x8913, 0x8914, 1


def fence_words(scratch: Path, *, cover: Sequence[Path] = (), as_user: int | None = None) -> tuple[str, ...]:
    """What to put before a command so that it runs behind the fence and can write below `scratch` alone.

    The directories of `cover` are empty there. Owners of files read as they are; with `as_user`, which is not 0, the
    process has this id instead, and owns what the caller owns: for programs that refuse to be root. Costs about 50 ms.
    """
    assert as_user != 0
    spec = {"scratch": str(scratch), "cover": [str(path) for path in cover], "as_user": as_user}
    return (sys.executable, "-I", "-m", _ENTRY, json.dumps(spec))


def can_fence(scratch: Path) -> bool:
    """Whether the kernel grants a fence at all; tried with a process that does nothing, about 50 ms."""
    try:
        words = [*fence_words(scratch), sys.executable, "-I", "-c", "import os; os._exit(os.getpid() != 1)"]
        return subprocess.run(words, capture_output=True, timeout=_TRY_SECONDS, env={}).returncode == 0
    except (OSError, subprocess.SubprocessError):
        return False


def main() -> None:
    """Put the walls up, run the command behind them, and end as it ends."""
    spec, words = json.loads(sys.argv[1]), sys.argv[2:]
    _end_with_the_parent()
    if not _step_apart(spec["as_user"]):
        os.execv(words[0], words)
    child = os.fork()  # the first process of the new namespace: with it everything in there ends
    if child:
        os._exit(_code_of(os.waitpid(child, 0)[1]))
    try:
        _end_with_the_parent()
        with suppress(OSError):
            _raise_loopback()
        with suppress(PermissionError, NotImplementedError):
            _close_off(spec["scratch"])
            _cover(spec["scratch"], spec["cover"])
        os.chdir(spec["scratch"])
        _drop_capabilities()
        os.execv(words[0], words)
    except BaseException as error:
        sys.stderr.write(f"could not put up the fence: {error}\n")
        sys.stderr.flush()
        os._exit(1)


def _step_apart(as_user: int | None) -> bool:
    """Root needs no user namespace; where root is refused too, as in a container, one is tried."""
    user, group = os.geteuid(), os.getegid()
    with suppress(OSError, AttributeError):
        if user == 0 and as_user is None:
            _check(_LIBC.unshare(_APART))
            return True
    try:
        _check(_LIBC.unshare(_APART | _NEW_USER))
        Path("/proc/self/setgroups").write_text("deny")
        Path("/proc/self/uid_map").write_text(f"{user if as_user is None else as_user} {user} 1")
        Path("/proc/self/gid_map").write_text(f"{group if as_user is None else as_user} {group} 1")
    except (OSError, AttributeError):
        return False
    return True


def _close_off(scratch: str) -> None:
    """Everything is read-only but the scratch directory. NotImplementedError before Linux 5.12: nothing is changed."""
    _mount(None, "/", None, _RECURSIVE | _OWN)
    try:
        _set_read_only("/", is_set=True)
    except OSError:
        raise NotImplementedError from None
    _mount(scratch, scratch, None, _BIND)
    _set_read_only(scratch, is_set=False)


def _cover(scratch: str, cover: Iterable[str]) -> None:
    """Put empty directories over what may hold sockets; what is needed and lies below one is shown again."""
    within = [path for path in _resolved(cover) if _is_below(path, scratch)]
    outside = [path for path in _resolved([*_EMPTY, *_PRIVATE, *cover]) if path not in within]
    shown = [scratch, *_resolved([*_code_places()])]
    handles = {path: os.open(path, os.O_PATH) for path in shown}
    for path in outside:
        if os.path.isdir(path):  # one above it may have taken it away
            _mount("tmpfs", path, "tmpfs", _NO_SUID | _NO_DEVICES, "mode=1777" if path in _PRIVATE else "mode=0755")
    for path, handle in handles.items():
        if any(_is_below(path, one) for one in outside):
            _show(path, handle)
    for path in outside:
        if path not in _PRIVATE and os.path.isdir(path):
            _set_read_only(path, is_set=True, is_recursive=False)
    for path in within:
        _mount("tmpfs", path, "tmpfs", _READ_ONLY | _NO_SUID | _NO_DEVICES, "mode=0755")
    _cover_devices()
    with suppress(OSError):  # where parts of /proc are hidden a new one is refused: then the old one stays, read-only
        _mount("proc", "/proc", "proc", _READ_ONLY | _NO_SUID | _NO_DEVICES | _NO_EXEC)


def _show(path: str, handle: int) -> None:
    """Put a directory back into its place, below something that covers it now."""
    os.makedirs(path, exist_ok=True)
    _mount(f"/proc/self/fd/{handle}", path, None, _BIND)


def _cover_devices() -> None:
    """The harmless devices alone, and a private /dev/shm: disks and terminals of the machine cannot be opened."""
    handles = {name: os.open(f"/dev/{name}", os.O_PATH) for name in _DEVICES}
    _mount("tmpfs", "/dev", "tmpfs", _NO_SUID, "mode=0755")
    for name, handle in handles.items():
        Path("/dev", name).touch()
        _mount(f"/proc/self/fd/{handle}", f"/dev/{name}", None, _BIND)
    for name, target in _DEVICE_LINKS.items():
        Path("/dev", name).symlink_to(target)
    Path("/dev/shm").mkdir()
    _mount("tmpfs", "/dev/shm", "tmpfs", _NO_SUID | _NO_DEVICES, "mode=1777")
    _set_read_only("/dev", is_set=True, is_recursive=False)


def _code_places() -> Iterator[str]:
    """Where the interpreter and this program lie."""
    yield from {sys.prefix, sys.base_prefix, str(Path(__file__).parents[4])}


def _resolved(paths: Iterable[str]) -> list[str]:
    """Real directories, those above before those below; the root is none of them: it cannot be covered."""
    found = {os.path.realpath(path) for path in paths if os.path.isdir(path)}
    return sorted(found - {"/"})


def _is_below(path: str, folder: str) -> bool:
    return os.path.commonpath([path, folder]) == folder and path != folder


def _drop_capabilities() -> None:
    """Root keeps what reads and writes files of others; nobody gets anything back."""
    kept = _OTHERS_FILES if os.geteuid() == 0 else ()
    for number in range(_CAPABILITIES_MAX):
        if number not in kept and _LIBC.prctl(_DROP_BOUND, number, 0, 0, 0) != 0:
            break
    _LIBC.prctl(_AMBIENT, _AMBIENT_CLEAR, 0, 0, 0)
    mask = sum(1 << number for number in kept)
    data = struct.pack("6I", mask, mask, 0, 0, 0, 0)  # effective, permitted, inheritable; then the upper half
    _check(_LIBC.capset(struct.pack("Ii", _CAPABILITY_VERSION, 0), data))
    _check(_LIBC.prctl(_NO_NEW_PRIVILEGES, 1, 0, 0, 0))


def _raise_loopback() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as handle:
        found = fcntl.ioctl(handle, _GET_FLAGS, struct.pack("16sH14x", b"lo", 0))
        flags = struct.unpack("16sH14x", found)[1]
        fcntl.ioctl(handle, _SET_FLAGS, struct.pack("16sH14x", b"lo", flags | _UP))


def _mount(source: str | None, target: str, kind: str | None, flags: int, options: str = "") -> None:
    words = [None if word is None else os.fsencode(word) for word in (source, target, kind)]
    _check(_LIBC.mount(*words, ctypes.c_ulong(flags), options.encode() or None), target)


def _set_read_only(path: str, *, is_set: bool, is_recursive: bool = True) -> None:
    wanted = struct.pack("4Q", int(is_set), int(not is_set), 0, 0)
    flags = _AT_RECURSIVE if is_recursive else 0
    _check(_LIBC.syscall(_MOUNT_SETATTR, _AT_CWD, os.fsencode(path), flags, wanted, ctypes.c_size_t(32)), path)


def _end_with_the_parent() -> None:
    with suppress(AttributeError):
        _LIBC.prctl(_DEATH_SIGNAL, signal.SIGKILL, 0, 0, 0)


def _code_of(status: int) -> int:
    return os.WEXITSTATUS(status) if os.WIFEXITED(status) else 128 + os.WTERMSIG(status)


def _check(result: int, path: str | None = None) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), path)


if __name__ == "__main__":
    main()
