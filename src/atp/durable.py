"""What makes a file, the names in a directory, or all of a file system outlive a power cut; and what to do when a disk
refuses."""

import ctypes
import errno
import os
import secrets
import sqlite3
from pathlib import Path

_MIB = 1 << 20
_CAUSES = {sqlite3.SQLITE_FULL: errno.ENOSPC, sqlite3.SQLITE_IOERR: errno.EIO}
_SYNCFS = getattr(ctypes.CDLL(None, use_errno=True), "syncfs", None)  # Linux has it, Python does not show it


def sync_directory(directory: Path) -> None:
    """Make the names in a directory durable: those of new, renamed and deleted files. OSError when the disk fails."""
    file = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(file)
    finally:
        os.close(file)


def begin_sync(file: int, *, start: int, size_bytes: int) -> None:
    """Have the disk begin with a range of a file that is going to be synced, and wait for nothing: the sync will find
    most of it done. What is on the disk leaves the memory. OSError when the disk fails."""
    os.posix_fadvise(file, start, size_bytes, os.POSIX_FADV_DONTNEED)


def replace_file(path: Path, data: bytes, *, mode: int = 0o600) -> None:
    """Write a file aside, synced, and let it take the place of `path` in one step: a crash leaves the old one or the
    new one, whole and durable. OSError when the disk fails, and then the old one stays."""
    aside = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        with open(os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode), "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        aside.replace(path)
    finally:
        aside.unlink(missing_ok=True)
    sync_directory(path.parent)


def disk_move(error: OSError | sqlite3.Error, place: Path, *, otherwise: str) -> str:
    """The next move when the disk of a place refused to be written to: it names the file system, and says how much room
    is left. `otherwise`: what else may help."""
    disk, cause = _mount_of(place), _cause(error)
    if cause == errno.ENOSPC:
        return f"make room on {disk} ({_room_on(disk)}), or {otherwise}"
    if cause == errno.EDQUOT:
        return f"raise the quota on {disk} or make room there ({_room_on(disk)}), or {otherwise}"
    if cause == errno.EROFS:
        return f"mount {disk} for writing, or {otherwise}"
    if cause == errno.EIO:
        return f"look at the disk under {disk} and at the kernel's messages, or {otherwise}"
    return otherwise


def _cause(error: OSError | sqlite3.Error) -> int | None:
    if isinstance(error, OSError):
        return error.errno
    return _CAUSES.get(getattr(error, "sqlite_errorcode", 0) & 0xFF)  # the upper bits only tell details


def _mount_of(place: Path) -> Path:
    """Where its file system is mounted; that of the nearest directory when it is not there yet."""
    place = place.absolute()
    there = next(one for one in (place, *place.parents) if one.exists() or one == one.parent).resolve()
    return next(one for one in (there, *there.parents) if one.is_mount() or one == one.parent)


def _room_on(disk: Path) -> str:
    try:
        found = os.statvfs(disk)
    except OSError:
        return "nobody can say how much is free"
    free, total = (count * found.f_frsize / _MIB for count in (found.f_bavail, found.f_blocks))
    files = ", and no more files can be made" if found.f_files and not found.f_favail else ""
    return f"{free:,.1f} of {total:,.1f} MiB are free{files}"


def sync_file_system(place: Path) -> bool:
    """Make all that was written to the file system of `place` durable, and to no other; False where the kernel has no
    call for that. OSError when the disk fails."""
    if _SYNCFS is None:
        return False
    file = os.open(place, os.O_RDONLY | os.O_CLOEXEC)
    try:
        if _SYNCFS(file):
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    finally:
        os.close(file)
    return True
