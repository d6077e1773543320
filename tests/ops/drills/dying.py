"""A script that runs a drill and kills itself with SIGKILL where it is told: `ROOT WHERE`.

WHERE is `begin STEP` or `end STEP`: when the intention of a step, or its outcome, is written down.
"""

import os
import signal
import sys
from collections.abc import Mapping
from pathlib import Path

from atp.log.event import Event
from atp.ops.record.act import read_mark
from tests.ops.drills.world import World


class Fatal:
    """A sink that dies when it has taken a certain event."""

    def __init__(self, where: str) -> None:
        self._phase, _, self._step = where.partition(" ")

    def write(self, event: Event, *, expect: Mapping[str, int], is_outcome: bool) -> None:
        mark, _ = read_mark(event)
        if mark is None or mark.step != self._step:
            return
        if (mark.phase == "intended") == (self._phase == "begin"):
            sys.stdout.write(f"{mark.act}\n")
            sys.stdout.flush()
            os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    World(Path(sys.argv[1])).drill(sink=Fatal(sys.argv[2]))
