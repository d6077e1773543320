"""Time and randomness, so that tests can hold both still."""

from datetime import datetime
from typing import Protocol


class Clock(Protocol):
    """The outside world's time and chance."""

    def now(self) -> datetime:
        """The wall clock, aware, UTC. It may jump in both directions."""

    def monotonic(self) -> float:
        """Seconds that never go back, of an unknown start."""

    def random_bytes(self, count: int) -> bytes:
        """Unpredictable bytes, fit for secrets."""
