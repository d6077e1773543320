"""The Clock of the machine."""

import secrets
import time
from datetime import UTC, datetime


class SystemClock:
    """The Clock port on the operating system."""

    def now(self) -> datetime:
        """See Clock."""
        return datetime.now(UTC)

    def monotonic(self) -> float:
        """See Clock."""
        return time.monotonic()

    def random_bytes(self, count: int) -> bytes:
        """See Clock."""
        return secrets.token_bytes(count)
