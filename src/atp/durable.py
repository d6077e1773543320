"""What makes a name in a directory outlive a power cut; contents are synced by whoever writes them."""

import os
from pathlib import Path


def sync_directory(directory: Path) -> None:
    """Make the names in a directory durable: those of new, renamed and deleted files. OSError when the disk fails."""
    file = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(file)
    finally:
        os.close(file)
