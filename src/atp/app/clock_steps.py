"""Steps of the wall clock, found by holding it against the clock that never goes back."""

from atp.limits import CLOCK_AHEAD_SECONDS_MAX, CLOCK_BACK_SECONDS_MAX
from atp.ports.clock import Clock


class ClockSteps:
    """Looks at both clocks; whoever asks often finds a step soon after it happened. For one thread."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._last = self._read()

    def look(self) -> float | None:
        """By how many seconds the wall clock was set since the last look: negative when it went back.

        None for less than `CLOCK_BACK_SECONDS_MAX` back or `CLOCK_AHEAD_SECONDS_MAX` ahead: clocks that are slewed, or
        corrected while a machine starts, are no event. A machine that slept looks like a step ahead.
        """
        before, self._last = self._last, self._read()
        seconds = (self._last[0] - before[0]) - (self._last[1] - before[1])
        return seconds if seconds < -CLOCK_BACK_SECONDS_MAX or seconds > CLOCK_AHEAD_SECONDS_MAX else None

    def _read(self) -> tuple[float, float]:
        return self._clock.now().timestamp(), self._clock.monotonic()
