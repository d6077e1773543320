"""Rebuildable tables that narrow a question down to a few frames of the log.

A *frame* is `limits.FRAME_ENTRIES` consecutive entries, the last one of a log may be shorter and is never stored here:
readers look at the log itself. Terms are 64-bit hashes of what a frame holds (words, field values); see
`atp.log.terms`. A table may answer a frame that does not match, it must never leave out one that does: who asks
compares with the entries. Nothing here is authoritative, all of it can be dropped and followed again.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

Terms = npt.NDArray[np.uint64]


@dataclass(frozen=True, slots=True, eq=False)
class Frame:
    """What one full frame of a log can be found by: its distinct terms and the range of its events' times.

    Times are microseconds since 1970 UTC of the earliest and the latest event.
    """

    number: int
    terms: Terms
    time_min: int
    time_max: int


@dataclass(frozen=True, slots=True)
class Narrowing:
    """Asks for frames first .. last that hold all `terms` and whose times meet [since, until) (microseconds)."""

    terms: Sequence[int]
    first: int
    last: int
    since: int | None = None
    until: int | None = None
    newest_first: bool = True


class ReadModels(Protocol):
    """Frames by their terms, for every log. Safe to call from several threads; one writer a tenant."""

    def followed(self, tenant: str) -> int:
        """How many full frames are stored: those numbered 0 .. followed-1."""

    def extend(self, tenant: str, frames: Sequence[Frame]) -> None:
        """Store the next frames. ConflictError unless the first one's number is `followed(tenant)`.

        Repeatable after a crash: what was not yet durable is simply not in `followed` afterwards.
        """

    def candidates(self, tenant: str, narrowing: Narrowing) -> Iterator[int]:
        """Numbers of the frames that may match, ascending, or descending when `newest_first`. Lazy.

        A frame that is not stored may match, so each number in [first, last] beyond `followed(tenant)` is answered too.
        """

    def matches(self, tenant: str, frame: Frame) -> bool:
        """Whether what is stored for this frame is exactly what `extend` would store: nothing more, nothing less."""

    def clear(self, tenant: str) -> None:
        """Drop everything of one log."""
