"""Yardsticks of the machine itself: what one small sync costs, and how fast hashlib hashes."""

import hashlib
import os
import time
from collections.abc import Sequence
from pathlib import Path

_BLOCK = b"\x5a" * 4_096
_LEAF = b"\x00"  # RFC 6962, section 2.1: what goes before an entry


def fdatasync_seconds(folder: Path, *, seconds: float) -> list[float]:
    """How long each append of 4 KiB with its fdatasync took, one after the other, in a file of this folder."""
    path = folder / "fdatasync"
    descriptor = os.open(path, os.O_CREAT | os.O_WRONLY | os.O_APPEND)
    samples = []
    deadline = time.perf_counter() + seconds
    try:
        while (began := time.perf_counter()) < deadline:
            os.write(descriptor, _BLOCK)
            os.fdatasync(descriptor)
            samples.append(time.perf_counter() - began)
    finally:
        os.close(descriptor)
        path.unlink()
    return samples


def hashes_per_second(entries: Sequence[bytes], *, seconds: float) -> float:
    """Leaf hashes a second that hashlib makes of these entries, in one thread."""
    sha256, done = hashlib.sha256, 0
    began = time.perf_counter()
    while (spent := time.perf_counter() - began) < seconds:
        for entry in entries:
            sha256(_LEAF + entry).digest()
        done += len(entries)
    return done / spent
