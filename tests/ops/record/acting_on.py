"""A process that acts for ever on one machine without a server, and says each event when it is durable."""

import sys
from pathlib import Path

from tests.ops.desk import Desk

desk = Desk(Path(sys.argv[1]), "http://127.0.0.1:1")
recording = desk.begin(None)
number = 0


def say(phase: str, step: str) -> None:
    sys.stdout.write(f"{recording.act.id} {step} {phase}\n")
    sys.stdout.flush()


while True:
    step = f"s-{number}"
    recording.intend(step, {"text": "x" * (number % 900)})
    say("intended", step)
    recording.outcome(step)
    say("done", step)
    number += 1
