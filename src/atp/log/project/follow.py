"""5/8 project: published entries -> the read models."""

from typing import Protocol

from atp.limits import FOLLOW_ENTRIES_MAX, FRAME_ENTRIES, TILE_WIDTH
from atp.log.project.frames import make_frame
from atp.log.reader import BundleReader, Cache
from atp.ports.object_store import ObjectStore
from atp.ports.read_models import ReadModels


class Frames(Protocol):
    """A published log, as far as views need it; `atp.log.reader.BundleReader` is one."""

    def size(self) -> int:
        """How many entries are published. It never goes back."""

    def frame(self, number: int) -> list[bytes]:
        """The published entries of one frame: `FRAME_ENTRIES` of them, fewer at the end of the log."""


class Log(Protocol):
    """A published log, as far as questions need it; `atp.log.reader.LogReader` is one."""

    def size(self) -> int:
        """See Frames."""

    def frame(self, number: int) -> list[bytes]:
        """See Frames."""

    def entries(self, start: int, stop: int) -> list[bytes]:
        """The published entries [start, stop), as many as there are."""


def frames_due(size: int) -> int:
    """How many frames the view of a log of `size` entries holds once it has followed: those of full bundles."""
    return size // TILE_WIDTH * (TILE_WIDTH // FRAME_ENTRIES)


def follow_bundles(tenant: str, size: int, *, object_store: ObjectStore, read_models: ReadModels) -> int:
    """`follow_once` on the full bundles of a log with `size` published entries; how many frames its view holds then."""
    follow_once(
        tenant=tenant,
        reader=BundleReader(tenant, size=size, object_store=object_store, cache=Cache()),
        read_models=read_models,
    )
    return read_models.followed(tenant)


def follow_once(*, tenant: str, reader: Frames, read_models: ReadModels) -> int:
    """Store the next full frames of a log, `FOLLOW_ENTRIES_MAX` entries at most; returns how many entries that were.

    A view that is ahead of its log belongs to another log (a restore went back): it is dropped and made again.
    Nothing is authoritative here, so a crash at any point is cured by calling again. About 16 µs an entry of 2.4 kB.
    """
    full, first = reader.size() // FRAME_ENTRIES, read_models.followed(tenant)
    if first > full:
        read_models.clear(tenant)
        first = 0
    last = min(full, first + FOLLOW_ENTRIES_MAX // FRAME_ENTRIES)
    frames = [make_frame(number, reader.frame(number)) for number in range(first, last)]
    if frames:
        read_models.extend(tenant, frames)
    return len(frames) * FRAME_ENTRIES
