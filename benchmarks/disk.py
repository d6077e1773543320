"""Bytes on disk for each byte that was sent, everything included."""

import os
from collections.abc import Iterator
from pathlib import Path

from benchmarks.figures import Figure, Row
from benchmarks.fill import Filled
from benchmarks.run import Run

BYTES_PER_RAW_BYTE_MAX = 0.25
_BLOCK_BYTES = 512  # of st_blocks
_LISTED = 5


def measure(bench: Run, filled: Filled) -> Iterator[Row]:
    """The blocks that the data directory takes, after the server ended."""
    raw_bytes = filled.events * bench.corpus.body_bytes
    parts = {part.name: _disk_bytes(part) for part in filled.data.iterdir()}
    largest = sorted(parts.items(), key=lambda part: part[1], reverse=True)[:_LISTED]
    yield Figure(
        what="bytes on disk per raw byte",
        measured=sum(parts.values()) / raw_bytes,
        unit="",
        yardstick=BYTES_PER_RAW_BYTE_MAX,
        against="limit",
        is_ceiling=True,
        note="bytes an event: " + ", ".join(f"{name} {size / filled.events:.0f}" for name, size in largest),
    )


def _disk_bytes(place: Path) -> int:
    if not place.is_dir():
        return place.stat().st_blocks * _BLOCK_BYTES
    return sum(
        (Path(folder) / name).stat().st_blocks * _BLOCK_BYTES
        for folder, folders, files in os.walk(place)
        for name in (*folders, *files)
    )
