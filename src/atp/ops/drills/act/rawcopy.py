"""How long the disk takes for the same bytes, read and written with a sync: what a restore's time is held against."""

import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from atp.limits import DRILL_RAW_COPY_BYTES_MAX

_CHUNK_BYTES = 1 << 20


class Copied(NamedTuple):
    """How many bytes, in how many seconds."""

    total_bytes: int
    seconds: float


def raw_copy(source: Path, target: Path, *, monotonic: Callable[[], float]) -> Copied | None:
    """Read what was restored, at most 1 GiB of it, and write it into one new file, synced; the file is removed.

    None when there is nothing to read, or no room. What was just restored is mostly read from memory.
    """
    begun, count = monotonic(), 0
    try:
        with open(target, "xb", buffering=0) as file:
            for chunk in _chunks(source):
                file.write(chunk[: DRILL_RAW_COPY_BYTES_MAX - count])
                count = min(count + len(chunk), DRILL_RAW_COPY_BYTES_MAX)
                if count == DRILL_RAW_COPY_BYTES_MAX:
                    break
            os.fsync(file.fileno())
    except OSError:
        return None
    finally:
        target.unlink(missing_ok=True)
    return Copied(count, monotonic() - begun) if count else None


def _chunks(source: Path) -> Iterator[bytes]:
    for path in _files(source):
        with open(path, "rb", buffering=0) as file:
            while chunk := file.read(_CHUNK_BYTES):
                yield chunk


def _files(source: Path) -> Iterator[Path]:
    """Plain files alone; links are not followed."""
    if not source.is_dir():
        yield source
        return
    for folder, _, names in os.walk(source):
        for name in names:
            path = Path(folder, name)
            if stat.S_ISREG(path.lstat().st_mode):
                yield path
