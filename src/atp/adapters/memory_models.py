"""Read models in memory: exact, so that no answer leans on a false candidate; for tests and for comparison."""

from collections import defaultdict
from collections.abc import Iterator, Sequence

from atp.errors import ConflictError
from atp.ports.read_models import Frame, Narrowing


class MemoryReadModels:
    """Keeps `ReadModels` and adds one thing: only frames that hold every term are candidates."""

    def __init__(self) -> None:
        self._frames: defaultdict[str, list[tuple[Frame, frozenset[int]]]] = defaultdict(list)

    def followed(self, tenant: str) -> int:
        """How many frames are stored."""
        return len(self._frames[tenant])

    def extend(self, tenant: str, frames: Sequence[Frame]) -> None:
        """Store frames. ConflictError when they do not continue what is stored."""
        stored = self._frames[tenant]
        expected = range(len(stored), len(stored) + len(frames))
        if [frame.number for frame in frames] != list(expected):
            raise ConflictError(f"could not extend the view of {tenant}: the next frame is {len(stored)}")
        stored += [(frame, frozenset(frame.terms.tolist())) for frame in frames]

    def candidates(self, tenant: str, narrowing: Narrowing) -> Iterator[int]:
        """Exactly the frames in reach that hold every term, and those that are not stored."""
        numbers = range(max(narrowing.first, 0), narrowing.last + 1)
        for number in reversed(numbers) if narrowing.newest_first else numbers:
            stored = self._frames[tenant]
            if number >= len(stored) or _may_match(*stored[number], narrowing):
                yield number

    def matches(self, tenant: str, frame: Frame) -> bool:
        """Whether the stored frame has the same terms and times."""
        if not 0 <= frame.number < len(self._frames[tenant]):
            return False
        stored, terms = self._frames[tenant][frame.number]
        same_times = (stored.time_min, stored.time_max) == (frame.time_min, frame.time_max)
        return same_times and terms == frozenset(frame.terms.tolist())

    def clear(self, tenant: str) -> None:
        """Forget one log."""
        self._frames.pop(tenant, None)


def _may_match(frame: Frame, terms: frozenset[int], narrowing: Narrowing) -> bool:
    is_too_old = narrowing.since is not None and frame.time_max < narrowing.since
    is_too_new = narrowing.until is not None and frame.time_min >= narrowing.until
    return not is_too_old and not is_too_new and terms.issuperset(narrowing.terms)
