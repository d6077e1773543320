"""What makes a file, the names in a directory, or all of a file system outlive a power cut."""

import ctypes
import os
import secrets
from pathlib import Path

_SYNCFS = getattr(ctypes.CDLL(None, use_errno=True), "syncfs", None)  # Linux has it, Python does not show it


def sync_directory(directory: Path) -> None:
    """Make the names in a directory durable: those of new, renamed and deleted files. OSError when the disk fails."""
    file = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(file)
    finally:
        os.close(file)


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
