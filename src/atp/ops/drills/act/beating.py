"""Heartbeats: small writes into a dataset, each noted in a ledger outside of it once the dataset has taken it.

What a heartbeat is in a dataset its kind says. The ledger has a line for each: its id, when it was made, when it was
taken. It only grows.
"""

import os
from datetime import datetime
from pathlib import Path

from atp.durable import disk_move, sync_directory
from atp.errors import InvalidError, UnavailableError
from atp.limits import HEARTBEAT_LINE_BYTES_MAX, LEDGER_LINES_MAX
from atp.ops.drills.act.kinds.shape import Production
from atp.ops.drills.declare import Declared
from atp.ops.drills.evidence.measure import Beat
from atp.ports.clock import Clock

_RANDOM_BYTES = 8


def beat(declared: Declared, production: Production, clock: Clock) -> Beat:
    """Write one, durably: into the dataset, then into the ledger.

    InvalidError when none is declared, MissingError when there is no dataset, UnavailableError when it does not take
    it; then the ledger knows nothing of it. Costs a sync of each; a directory's file is replaced whole.
    """
    heartbeat = declared.heartbeat
    if heartbeat is None:
        raise InvalidError(
            f"could not write a heartbeat of {declared.dataset!r}: it declares none",
            hint=f"edit estate.yaml: datasets.{declared.dataset}.drill.heartbeat: {{every: 1min, ledger: /PATH}}",
        )
    name, at = clock.random_bytes(_RANDOM_BYTES).hex(), clock.now()
    what, ledger = f"could not write a heartbeat of {declared.dataset!r}", Path(heartbeat.ledger)
    try:
        production.beat(name, at)
    except (OSError, UnavailableError) as error:
        raise UnavailableError(f"{what}: {error}", hint="the next one tries again") from None
    taken = Beat(name, at, clock.now())
    try:
        _into_ledger(ledger, taken)
    except OSError as error:
        move = disk_move(error, ledger, otherwise="name another ledger: datasets.NAME.drill.heartbeat")
        raise UnavailableError(f"{what} down in {ledger}: {error.strerror}", hint=move) from None
    return taken


def _into_ledger(path: Path, taken: Beat) -> None:
    line = f"{taken.id} {taken.at.isoformat()} {taken.taken_at.isoformat()}\n".encode()
    assert len(line) <= HEARTBEAT_LINE_BYTES_MAX
    is_new = not path.exists()
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    try:
        os.write(handle, line)
        os.fsync(handle)
    finally:
        os.close(handle)
    if is_new:
        sync_directory(path.parent)


def read_ledger(path: Path, *, until: datetime) -> list[Beat] | None:
    """What was acknowledged until then, oldest first; a last line that is not whole was never acknowledged.

    None when there is no ledger, or it is none: then nothing is known.
    """
    found = list[Beat]()
    try:
        with path.open("rb") as file:
            for _ in range(LEDGER_LINES_MAX):
                line = file.readline(HEARTBEAT_LINE_BYTES_MAX)
                if not line.endswith(b"\n"):
                    break
                name, at, taken_at = line.decode("ascii").split()
                found.append(Beat(name, datetime.fromisoformat(at), datetime.fromisoformat(taken_at)))
        return [beat for beat in found if beat.at <= until]
    except (OSError, ValueError, TypeError):
        return None
