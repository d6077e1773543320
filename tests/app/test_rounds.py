"""The standing verification runs by itself, gives way to work, and never sleeps for ever."""

import io
import time
from pathlib import Path

from atp.adapters.memory import FrozenClock
from atp.app.clock_steps import ClockSteps
from atp.app.rounds import Rounds
from atp.limits import INTEGRITY_ROUND_SECONDS_MIN
from atp.observe import Lines
from tests.app.opened import record, running, told, until


def test_a_round_begins_by_itself_and_finds_damage(tmp_path: Path) -> None:
    clock = FrozenClock()
    with running(tmp_path, clock=clock) as platform:
        record(platform, range(600))
        (tmp_path / "logs/default/tile/0/001").unlink()
        clock.advance(INTEGRITY_ROUND_SECONDS_MIN)
        until(lambda: platform.integrity.mismatches)
        until(lambda: told(platform, "integrity.mismatch"))
        assert platform.bug is None


def test_a_busy_server_is_not_disturbed(tmp_path: Path) -> None:
    clock, bugs = FrozenClock(), list[Exception]()
    with running(tmp_path, clock=clock) as platform:
        record(platform, range(600))
        platform.integrity.stop()
        asked = list[float]()

        def is_busy() -> bool:
            asked.append(time.monotonic())
            return True

        rounds = Rounds(
            platform.integrity,
            steps=ClockSteps(clock),
            note_once=lambda: 0,
            is_busy=is_busy,
            on_step=lambda seconds: None,
            on_bug=bugs.append,
            lines=Lines(io.StringIO()),
        )
        rounds.start()
        until(lambda: len(asked) >= 2)
        rounds.stop()
        assert "atp_integrity_entries" not in platform.meters.render() and bugs == []
