"""How often a key may knock: a token bucket each (refilled by `rate` a second, holding twice that)."""

import math
import threading

from atp.errors import RateLimitedError
from atp.ports.clock import Clock


class Limiter:
    """One bucket for each key that knocked; there are as many as there are valid keys. Thread-safe, about 1 µs."""

    def __init__(self, rate_per_second: float, *, clock: Clock) -> None:
        self._rate = rate_per_second
        self._clock = clock
        self._lock = threading.Lock()
        self._buckets: dict[str, tuple[float, float]] = {}

    def take(self, key_id: str) -> None:
        """RateLimitedError, with the seconds to wait, when the key's bucket is empty."""
        now = self._clock.monotonic()
        with self._lock:
            tokens, seen_at = self._buckets.get(key_id, (2 * self._rate, now))
            tokens = min(2 * self._rate, tokens + (now - seen_at) * self._rate)
            self._buckets[key_id] = (tokens - 1 if tokens >= 1 else tokens, now)
        if tokens < 1:
            raise RateLimitedError(
                f"could not let you in: more than {self._rate:g} requests a second",
                hint="send more events a request, or ask again after Retry-After",
                retry_after_seconds=math.ceil((1 - tokens) / self._rate),
            )
