"""What makes names in a directory, or all of a file system, outlive a power cut; a file is synced by its writer."""

import ctypes
import os
from pathlib import Path

_SYNCFS = getattr(ctypes.CDLL(None, use_errno=True), "syncfs", None)  # Linux has it, Python does not show it


def sync_directory(directory: Path) -> None:
    """Make the names in a directory durable: those of new, renamed and deleted files. OSError when the disk fails."""
    file = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(file)
    finally:
        os.close(file)


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
