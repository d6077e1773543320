"""Room on this machine for one run at a time, and what is left there when a run dies.

FOLDER/attempt    the id of the backup that is being made, so that the next run knows what nobody will finish
FOLDER/*          the copy of a database, the list of contents: readable by this user alone, gone when the run ends
"""

import fcntl
import os
import re
import shutil
import stat
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from atp.durable import disk_move
from atp.errors import ConflictError, ForbiddenError, UnavailableError

_ATTEMPT = "attempt"
_NO_ROOM = re.compile("No space left on device|Disk quota exceeded|disk is full")
_DIGITS = 12


@dataclass(frozen=True, slots=True)
class Workplace:
    """An empty directory; `dead` is the backup that a run before this one began and never ended."""

    folder: Path
    dead: str | None

    def begin(self, backup: str) -> None:
        """Note, synced, which backup is being made."""
        note = self.folder / _ATTEMPT
        with writing(note), note.open("w") as file:
            file.write(backup)
            file.flush()
            os.fsync(file.fileno())


def room_of(dataset: str, source: Path) -> str:
    """The name of a dataset's room: another one for another source, though an estate of the same names declares it."""
    return f"{dataset}-{sha256(os.fsencode(os.path.abspath(source))).hexdigest()[:_DIGITS]}"


@contextmanager
def workplace(name: str, *, dataset: str = "", below: Path | None = None) -> Iterator[Workplace]:
    """The one room of this name, for a `dataset` (by default called as the room). ConflictError while another run is in
    it; what a dead one left there is removed.

    It is `below` a directory, that for temporary files (TMPDIR) by default; it stays after a death alone.
    """
    folder = _private(_rooms(below)) / name
    with held(folder, what=f"back up {dataset or name!r}: another run is at it"):
        dead = left_by_dead(name, below=below)
        _clear(folder)
        yield Workplace(folder, dead)
        shutil.rmtree(folder, ignore_errors=True)


def left_by_dead(name: str, *, below: Path | None = None) -> str | None:
    """The backup that a run in this room began and never ended, or that runs now; None when there is none."""
    with suppress(OSError):
        return (_rooms(below) / name / _ATTEMPT).read_text() or None
    return None


def _rooms(below: Path | None) -> Path:
    return (below or Path(tempfile.gettempdir())) / f"atp-backup-{os.geteuid()}"


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turn the operating system's errors about a file here into the platform's."""
    with telling(f"write {path}", place=path, otherwise="name another place with TMPDIR"):
        yield


@contextmanager
def telling(what: str, *, place: Path, otherwise: str) -> Iterator[None]:
    """Turn the operating system's errors into the platform's: what could not be done, why, and the next move."""
    try:
        yield
    except OSError as error:
        hint = disk_move(error, place, otherwise=otherwise)
        raise UnavailableError(f"could not {what}: {error.strerror}", hint=hint) from None


def is_without_room(said: str) -> bool:
    """Whether a program says that the disk is full: which tells of this machine, and nothing of the data. Pure."""
    return _NO_ROOM.search(said) is not None


@contextmanager
def held(folder: Path, *, what: str) -> Iterator[None]:
    """Make a directory unless it is there, and be the only one in it; removed when the block raises."""
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError as error:
        hint = disk_move(error, folder, otherwise="name another place with TMPDIR")
        raise UnavailableError(f"could not work in {folder}: {error.strerror}", hint=hint) from None
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise ConflictError(f"could not {what}", hint="wait for it to end") from None
        try:
            yield
        except BaseException:
            remove_tree(folder)
            raise
    finally:
        os.close(handle)


def remove_tree(path: Path) -> None:
    """Remove it with all below it, directories that nobody may write to as well; what cannot be removed stays."""

    def force(remove: Callable[[str], object], name: str, _: object) -> None:
        with suppress(OSError):
            os.chmod(os.path.dirname(name), 0o700)
            os.chmod(name, 0o700, follow_symlinks=False) if not os.path.islink(name) else None
            remove(name)

    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, onerror=force)
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def _clear(folder: Path) -> None:
    for path in folder.iterdir():
        remove_tree(path)


def _private(folder: Path) -> Path:
    """A directory of this user alone: in a shared place somebody else may have made one of that name."""
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        found = folder.lstat()
    except OSError as error:
        hint = disk_move(error, folder, otherwise="name another place with TMPDIR")
        raise UnavailableError(f"could not make {folder}: {error.strerror}", hint=hint) from None
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid() or found.st_mode & 0o077:
        raise ForbiddenError(f"could not work in {folder}: it is not this user's alone", hint="TMPDIR names a place")
    return folder
