"""The one thread of low priority: it looks at the clock, notes new checkpoints, and lets the platform verify itself."""

import threading
import time
from collections.abc import Callable

from atp.app.clock_steps import ClockSteps
from atp.app.integrity import Integrity
from atp.errors import AtpError
from atp.limits import INTEGRITY_BUSY_SECONDS_MAX, INTEGRITY_SHARE_MAX
from atp.observe import Lines

_LOOK_SECONDS = 1.0
_PAUSE_SECONDS_MIN = 0.02


class Rounds:
    """Runs until it is stopped. After each step it sleeps so long that steps take `INTEGRITY_SHARE_MAX` of a core.

    `is_busy` puts a step off, for `INTEGRITY_BUSY_SECONDS_MAX` at most; `on_step` is told of a clock that was set.
    `note_once` is called about once a second, and what it raises leaves the rest of the work alone.
    """

    def __init__(
        self,
        integrity: Integrity,
        *,
        steps: ClockSteps,
        note_once: Callable[[], object],
        is_busy: Callable[[], bool],
        on_step: Callable[[float], None],
        on_bug: Callable[[Exception], None],
        lines: Lines,
    ) -> None:
        self._integrity = integrity
        self._steps = steps
        self._note_once = note_once
        self._is_busy = is_busy
        self._on_step = on_step
        self._on_bug = on_bug
        self._lines = lines
        self._ending = threading.Event()
        self._note_at = 0.0
        self._busy_since: float | None = None
        self._thread = threading.Thread(target=self._run, name="rounds", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """End after the step that runs."""
        self._ending.set()
        if self._thread.is_alive():
            self._thread.join()

    def _run(self) -> None:
        pause = _LOOK_SECONDS
        while not self._ending.wait(pause):
            try:
                pause = self._turn()
            except AtpError as error:  # a store that is away: others say so, too
                self._lines.write("error", "loop_waits", loop="rounds", reason=str(error))
                pause = INTEGRITY_BUSY_SECONDS_MAX
            except Exception as bug:
                self._on_bug(bug)
                return

    def _turn(self) -> float:
        """One look and at most one step; the seconds to sleep after it."""
        if seconds := self._steps.look():
            self._on_step(seconds)
        self._note()
        began = time.monotonic()
        if self._is_busy():
            self._busy_since = self._busy_since or began
            if began - self._busy_since < INTEGRITY_BUSY_SECONDS_MAX:
                return _LOOK_SECONDS
        self._busy_since = None
        if not self._integrity.step():
            return _LOOK_SECONDS
        return max(_PAUSE_SECONDS_MIN, (time.monotonic() - began) * (1 / INTEGRITY_SHARE_MAX - 1))

    def _note(self) -> None:
        """Note new checkpoints. A trail that does not take them now gets them later, and others say what is wrong."""
        now = time.monotonic()
        if now < self._note_at:
            return
        self._note_at = now + _LOOK_SECONDS
        try:
            self._note_once()
        except AtpError as error:
            self._lines.write("error", "loop_waits", loop="noting", reason=str(error))
            self._note_at = now + INTEGRITY_BUSY_SECONDS_MAX
