"""Backups as files under one root directory, made immutable by the file system where this process may do that.

ROOT/NAME         the object
ROOT/.keep/NAME   one line, until when it is kept (RFC 3339); absent: never
ROOT/.aside/*     what is being stored; the file's name is the object's, percent-encoded, and some random digits
"""

import errno
import fcntl
import os
import secrets
import struct
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from io import FileIO
from pathlib import Path
from urllib.parse import quote, unquote

from atp.durable import begin_sync, disk_move, sync_directory
from atp.errors import AtpError, ConflictError, ForbiddenError, MissingError, UnavailableError
from atp.limits import REPOSITORY_CHUNK_BYTES
from atp.ports.clock import Clock
from atp.ports.object_store import check_key
from atp.ports.repository import Attempt, Kept, Lock, attempted, check_longer, check_over, whole_second

_ASIDE, _KEEP = ".aside", ".keep"
_CANARY = "canary"
_CANARY_SECONDS = 60
# linux/fs.h: FS_IOC_GETFLAGS, FS_IOC_SETFLAGS and FS_IMMUTABLE_FL, which `chattr +i` sets
_GET_FLAGS, _SET_FLAGS, _IMMUTABLE = 0x80086601, 0x40086602, 0x10
_BEGUN_BYTES = 16 << 20  # that the disk begins with at once
_HINTS = {
    errno.EACCES: "give this process's user the right to it",
    errno.EPERM: "give this process's user the right to it",
}


class DirectoryRepository:
    """The Repository port on an existing directory of one file system. A crash leaves whole objects, or none.

    Objects that are kept are made immutable (`chattr +i`) where the kernel lets this process: then even root has to
    lift that first. Storing costs two syncs and a link.
    """

    def __init__(self, root: Path, *, clock: Clock) -> None:
        self._root = root
        self._clock = clock
        if not root.is_dir():
            raise UnavailableError(
                f"could not open the repository {root}: there is no such directory",
                hint="mount it, or make it: a directory that is made by itself could be an empty mount point",
            )
        with _told("open", str(root), root):
            for name in (_ASIDE, _KEEP):
                (root / name).mkdir(mode=0o700, exist_ok=True)
            sync_directory(root)
            self.lock: Lock = "local" if self._may_protect() else "none"

    @contextmanager
    def store(self, name: str, *, keep_until: datetime | None = None) -> Iterator["_File"]:
        """See Repository."""
        check_key(name)
        aside = self._root / _ASIDE / f"{quote(name, safe='')}.{secrets.token_hex(8)}"
        with _told("store", name, self._root):
            file = aside.open("xb", buffering=0)  # what a buffer keeps would fail again when it is closed
        try:
            with file:
                yield _File(file, name, self._root)
                with _told("store", name, self._root):
                    os.fsync(file.fileno())
            with _told("store", name, self._root):
                self._name(aside, name, keep_until)
        finally:
            with suppress(OSError):
                aside.unlink()

    def read(self, name: str) -> Iterator[bytes]:
        """See Repository."""
        check_key(name)
        self._check_there()
        with _told("read", name, self._root), self._path(name).open("rb") as file:
            while chunk := file.read(REPOSITORY_CHUNK_BYTES):
                yield chunk

    def objects(self, prefix: str) -> Iterator[Kept]:
        """See Repository. What is stored meanwhile may be left out."""
        self._check_there()
        top = self._root / prefix.rpartition("/")[0]
        for directory, names, files in os.walk(top, onerror=_raise_unless_missing):
            names[:] = [name for name in names if name not in (_ASIDE, _KEEP)]
            below = Path(directory).relative_to(self._root)
            for file in files:
                name = (below / file).as_posix()
                if name.startswith(prefix):
                    with suppress(FileNotFoundError):
                        yield Kept(name, self._path(name).stat().st_size)

    def keep_until(self, name: str) -> datetime | None:
        """See Repository."""
        check_key(name)
        self._check_there()
        with _told("read", name, self._root):
            self._path(name).open("rb").close()  # a directory is no object
            try:
                return datetime.fromisoformat((self._root / _KEEP / name).read_text().strip())
            except FileNotFoundError:
                return None
            except ValueError:
                raise UnavailableError(
                    f"could not read until when {name!r} is kept: {_KEEP}/{name} holds no instant",
                    hint="write one line there, as 2026-01-31T00:00:00+00:00",
                ) from None

    def extend(self, name: str, keep_until: datetime) -> None:
        """See Repository."""
        check_longer(name, kept=self.keep_until(name), asked=keep_until)
        with _told("keep", name, self._root):
            self._note(name, keep_until)
            self._protect(self._path(name))

    def delete(self, name: str) -> None:
        """See Repository."""
        with suppress(MissingError):
            check_over(name, kept=self.keep_until(name), now=self._clock.now())
        with _told("delete", name, self._root):
            for path in (self._path(name), self._root / _KEEP / name):
                with suppress(FileNotFoundError, NotADirectoryError):
                    self._unprotect(path)
                    path.unlink()
                    self._tidy(path.parent)

    def locks_unasked(self) -> str:
        """See Repository."""
        return ""

    def unfinished(self, prefix: str) -> Iterator[str]:
        """See Repository."""
        self._check_there()
        with _told("list", _ASIDE, self._root):
            names = {unquote(path.stem) for path in (self._root / _ASIDE).iterdir()}
        yield from sorted(name for name in names if name.startswith(prefix))

    def forget(self, name: str) -> None:
        """See Repository."""
        with _told("delete", name, self._root):
            for path in (self._root / _ASIDE).iterdir():
                if unquote(path.stem) == name:
                    path.unlink(missing_ok=True)

    def challenge(self, kept: Sequence[str] = ()) -> list[Attempt]:
        """See Repository. Tries what a process would do that does not lift the protection first."""
        name = f"{_CANARY}/{secrets.token_hex(8)}"
        until = whole_second(self._clock.now() + timedelta(seconds=_CANARY_SECONDS))
        self._sweep_canaries()
        with self.store(name, keep_until=until) as sink:
            sink.write(b"canary\n")
        path, moved = self._path(name), self._path(f"{name}-moved")
        return [
            _try("change an object", lambda: path.open("ab").close(), broken="an object that is kept was changed"),
            _try("rename an object", lambda: path.rename(moved), broken="an object that is kept was renamed"),
            _try("remove an object", path.unlink, broken="an object that is kept was removed"),
            _try("remove its day", (self._root / _KEEP / name).unlink, broken="the day of an object was removed"),
            *(_released(one) for one in kept if self._is_released(one)),
        ]

    def _is_released(self, name: str) -> bool:
        until = self.keep_until(name) if self.lock == "local" else None
        return until is not None and self._clock.now() < until and not _is_immutable(self._path(name))

    def close(self) -> None:
        """See Repository."""

    def _path(self, name: str) -> Path:
        return self._root / name

    def _check_there(self) -> None:
        if not (self._root / _ASIDE).is_dir():
            raise UnavailableError(f"could not reach the repository {self._root}: it is gone", hint="mount it again")

    def _name(self, aside: Path, name: str, keep_until: datetime | None) -> None:
        """Give the finished file its name, which must be free: unlike a rename, a link never replaces."""
        path = self._path(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.exists():
            raise ConflictError(f"could not store {name!r}: the name is taken")
        if keep_until is not None:
            self._note(name, keep_until)
        try:
            os.link(aside, path)
        except FileExistsError:
            raise ConflictError(f"could not store {name!r}: the name is taken") from None
        aside.unlink()
        if keep_until is not None:
            self._protect(path)
        self._sync_up(path.parent)

    def _note(self, name: str, keep_until: datetime) -> None:
        note = self._root / _KEEP / name
        note.parent.mkdir(parents=True, exist_ok=True)
        aside = self._root / _ASIDE / f"{quote(name, safe='')}.{secrets.token_hex(8)}"
        with aside.open("x") as file:
            file.write(f"{keep_until.astimezone(UTC).isoformat()}\n")
            file.flush()
            os.fsync(file.fileno())
        with suppress(FileNotFoundError):
            self._unprotect(note)
        os.replace(aside, note)
        self._protect(note)
        self._sync_up(note.parent)

    def _sync_up(self, directory: Path) -> None:
        while directory != self._root:
            sync_directory(directory)
            directory = directory.parent
        sync_directory(self._root)

    def _tidy(self, directory: Path) -> None:
        """Remove directories that are empty now, up to the root."""
        with suppress(OSError):
            while directory not in (self._root, self._root / _KEEP):
                directory.rmdir()
                directory = directory.parent

    def _may_protect(self) -> bool:
        probe = self._root / _ASIDE / f"probe.{secrets.token_hex(8)}"
        probe.touch()
        try:
            _set_immutable(probe, is_immutable=True)
            _set_immutable(probe, is_immutable=False)
        except OSError:
            return False
        finally:
            probe.unlink()
        return True

    def _protect(self, path: Path) -> None:
        if self.lock == "local":
            _set_immutable(path, is_immutable=True)

    def _unprotect(self, path: Path) -> None:
        if self.lock == "local":
            _set_immutable(path, is_immutable=False)

    def _sweep_canaries(self) -> None:
        for one in [*self.objects(f"{_CANARY}/")]:
            with suppress(ForbiddenError):
                self.delete(one.name)


class _File:
    """The sink of one object."""

    def __init__(self, file: FileIO, name: str, root: Path) -> None:
        self._file = file
        self._name = name
        self._root = root
        self._size = self._begun = 0

    def write(self, data: bytes, /) -> None:
        """See Sink."""
        with _told("store", self._name, self._root):
            view = memoryview(data)
            while view:
                view = view[self._file.write(view) :]
            self._size += len(data)
            if self._size - self._begun >= _BEGUN_BYTES:
                begin_sync(self._file.fileno(), start=self._begun, size_bytes=self._size - self._begun)
                self._begun = self._size


def _is_immutable(path: Path) -> bool:
    file = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    try:
        return bool(_flags(file) & _IMMUTABLE)
    finally:
        os.close(file)


def _flags(file: int) -> int:
    return int(struct.unpack("l", fcntl.ioctl(file, _GET_FLAGS, struct.pack("l", 0)))[0])


def _set_immutable(path: Path, *, is_immutable: bool) -> None:
    file = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    try:
        flags = _flags(file)
        wanted = flags | _IMMUTABLE if is_immutable else flags & ~_IMMUTABLE
        if wanted != flags:
            fcntl.ioctl(file, _SET_FLAGS, struct.pack("l", wanted))
    finally:
        os.close(file)


def _try(tried: str, act: Callable[[], object], *, broken: str) -> Attempt:
    try:
        act()
    except OSError as error:
        return attempted(tried, f"{errno.errorcode.get(error.errno or 0, 'refused')}: {error.strerror}")
    return attempted(tried, "done", broken=broken)


def _released(name: str) -> Attempt:
    broken = f"{name} is kept no more: its protection was lifted (chattr +i)"
    return attempted(f"look whether {name} is protected", "it is not", broken=broken)


def _raise_unless_missing(error: OSError) -> None:
    if not isinstance(error, FileNotFoundError | NotADirectoryError):
        raise UnavailableError(
            f"could not list {error.filename}: {error.strerror}", hint=_hint(error, Path(error.filename))
        ) from None


@contextmanager
def _told(verb: str, thing: str, root: Path) -> Iterator[None]:
    """Turn the operating system's errors into the platform's."""
    try:
        yield
    except AtpError:
        raise
    except (FileNotFoundError, IsADirectoryError, NotADirectoryError) as error:
        if verb != "read":
            raise UnavailableError(f"could not {verb} {thing!r}: {error.strerror}", hint=_hint(error, root)) from None
        raise MissingError(f"could not read {thing!r}: there is no such object") from None
    except OSError as error:
        raise UnavailableError(f"could not {verb} {thing!r}: {error.strerror}", hint=_hint(error, root)) from None


def _hint(error: OSError, place: Path) -> str:
    return disk_move(error, place, otherwise=_HINTS.get(error.errno or 0, "check the repository, then repeat"))
