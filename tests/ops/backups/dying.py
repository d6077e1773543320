"""A script that backs up or restores, and kills itself with SIGKILL where it is told: `ROOT VERB WHERE [KIND]`.

WHERE is `begin STEP`, `end STEP` or `bytes N`: before a step, after it, when N bytes have been moved.
"""

import os
import signal
import sys
from pathlib import Path

from atp.adapters.directory import DirectoryRepository
from tests.ops.backups.world import World


class Fatal:
    """A record that dies at a step."""

    def __init__(self, where: str) -> None:
        self._where = where

    def intend(self, step: str, data: object = None) -> None:
        self._die(f"begin {step}")

    def outcome(self, step: str, data: object = None) -> None:
        self._die(f"end {step}")

    def failed(self, step: str, error: object, data: object = None) -> None:
        sys.stderr.write(f"{step}: {error}\n")

    def _die(self, at: str) -> None:
        if at == self._where:
            os.kill(os.getpid(), signal.SIGKILL)


def main(root: Path, verb: str, where: str, kind: str) -> None:
    world = World(
        root, root / ("letters.db" if kind == "sqlite" else "letters"), "sqlite" if kind == "sqlite" else "files"
    )
    world.repository = DirectoryRepository(root / "shelf", clock=world.clock)
    moved_max = int(where.partition(" ")[2]) if where.startswith("bytes ") else 1 << 62
    done = [0]

    def moved(count: int) -> None:
        done[0] += count
        if done[0] >= moved_max:
            os.kill(os.getpid(), signal.SIGKILL)

    if verb == "run":
        world.clock.advance(1)
        world.back_up(record=Fatal(where), moved=moved, part_bytes_max=1_000_000)
    else:
        world.restore(root / "restored", record=Fatal(where), moved=moved)
    sys.stdout.write("alive\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], sys.argv[3], sys.argv[4] if len(sys.argv) > 4 else "files")
