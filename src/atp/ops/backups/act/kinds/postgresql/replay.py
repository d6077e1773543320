"""Whether a recovery used all of the log that was there: a server ends it where the log is broken, and is content.

Where it ended says the history of the timeline that it began. What may lie behind that place is a record of which the
rest was never received; in a segment that is whole it goes on in the next one, in one that is not, zeros follow.

How far a segment was received that is not whole, its pages tell: a server sends its log up to the end of a record or of
a page, never to another place. So a record whose last page was begun is there to its end, and was not used since it is
damaged; one whose rest was never received breaks off where a page ends.
"""

import struct
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from atp.errors import MalformedError, TamperedError
from atp.limits import REPOSITORY_CHUNK_BYTES
from atp.ops.backups.act.kinds.postgresql.segments import Shipped, number_of

_MOMENT = "%Y-%m-%dT%H:%M:%S.%fZ"
# access/xlog_internal.h: magic, flags, timeline, address, bytes of a record that was begun on a page before; padded.
_PAGE = struct.Struct("=HHIQI")
_PAGE_BYTES, _FIRST_PAGE_BYTES = 24, 40
_GOES_ON = 1
_RECORD_BYTES_MIN = 24  # access/xlogrecord.h: the length is the first word


@dataclass(frozen=True, slots=True)
class Log:
    """Segments by their number: what gives each as a file; bytes that are missing at the end of one count as zeros."""

    files: Mapping[int, Callable[[], Path]]
    segment_bytes: int
    page_bytes: int

    @property
    def end(self) -> int:
        """Where the last segment ends."""
        return (max(self.files) + 1) * self.segment_bytes

    def read(self, at: int, size: int) -> bytes:
        """Bytes of one segment."""
        number, offset = divmod(at, self.segment_bytes)
        with self.files[number]().open("rb") as file:
            file.seek(offset)
            return file.read(size).ljust(size, b"\0")

    def data_at(self, at: int) -> int:
        """The place behind the header, at the beginning of a page."""
        if at % self.page_bytes:
            return at
        return at + (_PAGE_BYTES if at % self.segment_bytes else _FIRST_PAGE_BYTES)

    def is_empty(self, at: int) -> bool:
        """Whether there are zeros alone from a place to the end."""
        return all(
            not self.read(place, min(REPOSITORY_CHUNK_BYTES, self.end - place)).strip(b"\0")
            for place in range(at, self.end, REPOSITORY_CHUNK_BYTES)
        )


def check_used(data: Path, log: Log, *, timeline: int, following: Sequence[Shipped]) -> None:
    """That the recovery of a cluster, which began this timeline, left nothing of the log behind it. TamperedError says
    where it broke off, and which moment can be reached. Reads what is behind that place."""
    ended, last = end_of_replay(data, timeline), following[-1]
    stopped = _break_of(log, ended)
    is_in_last = stopped is not None and stopped >= log.end - log.segment_bytes
    if stopped is not None and (stopped >= log.end or (last.is_partial and is_in_last and log.is_empty(stopped))):
        return
    number = (ended if stopped is None else stopped) // log.segment_bytes
    broken = [one for one in following if not one.is_history and number_of(one.segment, log.segment_bytes) <= number]
    *before, damaged = broken or [last]
    raise TamperedError(
        f"could not recover as far as the log is there: it breaks off at {ended >> 32:X}/{ended & 0xFFFFFFFF:X},"
        f" {damaged.segment} is damaged",
        hint=f"--at {before[-1].covers_until:{_MOMENT}}" if before else "another backup",
    )


def end_of_replay(data: Path, timeline: int) -> int:
    """Where the log ended that was replayed before this timeline began. MalformedError when nothing says so."""
    try:
        lines = (data / f"pg_wal/{timeline:08X}.history").read_text().split("\n")
        high, low = [line.split("\t")[1] for line in lines if line.strip()][-1].split("/")
        return (int(high, 16) << 32) + int(low, 16)
    except (OSError, ValueError, IndexError):
        raise MalformedError(f"could not see how far it was recovered: timeline {timeline} has no history") from None


def _break_of(log: Log, at: int) -> int | None:
    """Where a record breaks off that begins at a place: a page before its end that does not go on with it, or the end
    of the log. The place itself when there is none; None when all of it is there."""
    if at // log.segment_bytes not in log.files:
        return at
    at = log.data_at(at)
    left = int.from_bytes(log.read(at, 4), sys.byteorder)
    if left < _RECORD_BYTES_MIN:
        return at
    while left > (room := log.page_bytes - at % log.page_bytes):
        at, left = at + room, left - room
        if not _goes_on(log, at, left):
            return at
        at = log.data_at(at)
    return None


def _goes_on(log: Log, at: int, left: int) -> bool:
    """Whether a page goes on with a record of which so many bytes are left."""
    if at // log.segment_bytes not in log.files:
        return False
    _, flags, _, _, rest = _PAGE.unpack(log.read(at, _PAGE.size))
    return bool(flags & _GOES_ON) and rest == left
