"""How long the oldest durable entry has been waiting for the views: what tells the committer to hold back."""

from collections import deque

from atp.log.project.follow import frames_due


class Backlog:
    """Sizes of logs and when they were reached. One thread writes; costs a few marks a second and log under load."""

    def __init__(self) -> None:
        self._marks: dict[str, deque[tuple[int, float]]] = {}

    def grew(self, tenant: str, *, size: int, at: float) -> None:
        """A log has so many durable entries since `at` (monotonic seconds)."""
        self._marks.setdefault(tenant, deque()).append((size, at))

    def age_seconds(self, tenant: str, *, followed: int, at: float) -> float:
        """For how long the oldest entry that the views could hold, and do not, has been durable; 0 when there is none.

        `followed` counts frames: those of the last bundle, which is not full, are always read from the log itself.
        """
        marks = self._marks.get(tenant)
        while marks and frames_due(marks[0][0]) <= followed:
            marks.popleft()
        if not marks:
            self._marks.pop(tenant, None)
            return 0.0
        return at - marks[0][1]
