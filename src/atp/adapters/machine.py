"""What an operator's machine keeps, as files that only their owner can read: `machine.key`, `lines`, `lock`."""

import fcntl
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from atp.durable import disk_move, replace_file, sync_directory
from atp.errors import UnavailableError

_OTHERS = 0o077
_HOLD_SECONDS_MAX = 10.0
_LOOK_SECONDS = 0.001  # short against a write: who adds without a pause lets others in


class FileMachine:
    """The Machine port on a directory of its own (0700, files 0600), which is made at the first use.

    The kernel lets go of the lock of a process that dies. Lines are added behind the last whole one and synced; the
    directory is synced when a file appears in it.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._key = directory / "machine.key"
        self._lines = directory / "lines"

    def secret(self, draw: Callable[[], str]) -> str:
        """See Machine."""
        with self._named("read"):
            if not self._key.exists():
                with self._locked():
                    if not self._key.exists():
                        replace_file(self._key, f"{draw()}\n".encode())
            if mode := self._key.stat().st_mode & _OTHERS:
                raise UnavailableError(
                    f"could not read {self._key}: its mode lets others at the key ({mode:o})",
                    hint=f"chmod go= {self._key}, and put {self.directory} aside if anybody may have read it",
                )
            return self._key.read_text().strip()

    def lines(self) -> list[bytes]:
        """See Machine."""
        with self._named("read"):
            return _whole(self._lines.read_bytes())[0] if self._lines.exists() else []

    @contextmanager
    def hold(self) -> Iterator["HeldFile"]:
        """See Machine."""
        with self._named("hold"), self._locked():
            held = HeldFile(self._lines)
            try:
                yield held
            finally:
                held.close()

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Alone in this directory. UnavailableError when somebody else stays in it for too long."""
        self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = os.open(self.directory / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            deadline = time.monotonic() + _HOLD_SECONDS_MAX
            while not _try_lock(lock):
                if time.monotonic() > deadline:
                    raise UnavailableError(
                        f"could not hold {self.directory}: another process has it", hint="let that one end"
                    )
                time.sleep(_LOOK_SECONDS)
            yield
        finally:
            os.close(lock)

    @contextmanager
    def _named(self, verb: str) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise _unavailable(verb, self.directory, error) from None


class HeldFile:
    """The HeldLines port on an open file; for one thread."""

    def __init__(self, path: Path) -> None:
        self._path = path
        is_new = not path.exists()
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            if is_new:
                sync_directory(path.parent)
            self._held, torn = _whole(path.read_bytes())
            self._torn_bytes = len(torn)
            self._end = sum(map(len, self._held)) + len(self._held)
            if torn:
                self._forget()
        except BaseException:
            os.close(self._file)
            raise

    def lines(self) -> list[bytes]:
        """See HeldLines."""
        return list(self._held)

    def torn_bytes(self) -> int:
        """See HeldLines."""
        return self._torn_bytes

    def add(self, line: bytes) -> None:
        """See HeldLines. ValueError for what is not one line."""
        _check_line(line)
        written = line + b"\n"
        try:
            at = 0
            while at < len(written):
                at += os.pwrite(self._file, written[at:], self._end + at)
            os.fsync(self._file)
        except OSError as error:
            with suppress(OSError):
                self._forget()
            raise _unavailable("write", self._path, error) from None
        self._end += len(written)
        self._held.append(line)

    def replace(self, lines: Sequence[bytes]) -> None:
        """See HeldLines. ValueError for what is not one line."""
        for line in lines:
            _check_line(line)
        try:
            replace_file(self._path, b"".join(b"%b\n" % line for line in lines))
            file = os.open(self._path, os.O_RDWR | os.O_CLOEXEC)
        except OSError as error:
            raise _unavailable("write", self._path, error) from None
        os.close(self._file)
        self._file, self._held = file, list(lines)
        self._end = sum(map(len, lines)) + len(lines)

    def close(self) -> None:
        """Let go of the file."""
        os.close(self._file)

    def _forget(self) -> None:
        """Cut off whatever stands behind the last whole line."""
        os.ftruncate(self._file, self._end)
        os.fsync(self._file)


def _whole(data: bytes) -> tuple[list[bytes], bytes]:
    """The lines that end with a line feed, and what stands behind the last one."""
    *lines, torn = data.split(b"\n")
    return lines, torn


def _check_line(line: bytes) -> None:
    if b"\n" in line or not line:
        raise ValueError("not one line")


def _try_lock(lock: int) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _unavailable(verb: str, path: Path, error: OSError) -> UnavailableError:
    hint = disk_move(error, path, otherwise="check its owner, its disk and its mode")
    return UnavailableError(f"could not {verb} {path}: {error.strerror}", hint=hint)
