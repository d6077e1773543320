"""A process that adds numbered lines to a machine for ever and says each number when it is durable."""

import sys
from pathlib import Path

from atp.adapters.machine import FileMachine

machine = FileMachine(Path(sys.argv[1]))
number = int(sys.argv[2]) if len(sys.argv) > 2 else 0
while True:
    with machine.hold() as held:
        held.add(b"%d " % number + b"x" * (number % 700))
    sys.stdout.write(f"{number}\n")
    sys.stdout.flush()
    number += 1
