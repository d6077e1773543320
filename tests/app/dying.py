"""A script that lets a restored copy go on, and kills itself at its n-th write: `DATA NTH before|after`."""

import os
import signal
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from atp.adapters.system_clock import SystemClock
from atp.app.open import open_stores
from atp.app.succession import succeed
from atp.tenants.restored import read_restored, settle_restored
from tests.faults.layer import Fault, faulty


@dataclass
class Fatal(Fault):
    """A death before or after the n-th write, whatever it writes."""

    written: int = 0

    def pass_through(self, write: str, act: Callable[[], None]) -> None:
        """Do a write, unless it is the last one."""
        self.written += 1
        if self.written == self.nth and not self.is_kept:
            os.kill(os.getpid(), signal.SIGKILL)
        act()
        if self.written == self.nth:
            os.kill(os.getpid(), signal.SIGKILL)


def main(data: Path, nth: int, when: str) -> None:
    """Go on until then."""
    stores, marked = open_stores(data), read_restored(data)
    if marked is not None:
        fatal = Fatal("any", nth, is_kept=when == "after", is_for_ever=False)
        succeed(faulty(stores, fatal), marked, stopped={}, installation="example.org", clock=SystemClock())
        settle_restored(data, marked)
    stores.events.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3])
