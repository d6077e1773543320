"""What is due of each dataset: a backup by its schedule, a read-back, a drill. Pure: computed from state, a restart
loses none."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from atp.ops.estate.declare.values import Backup, Dataset, Drill
from atp.ops.estate.evidence.proofs import Proofs
from atp.ops.estate.evidence.restores import next_scenario

Kind = Literal["backup", "verify", "drill"]
State = Literal["ok", "due", "overdue"]
_SOON = 0.9
"""The part of a period after which the next drill is due: it takes a person, or a quiet hour."""
_GRACE = 0.1
_GRACE_MIN = timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class Due:
    """One thing to do again and again: from `due_at` on it should be done, after `overdue_at` it is late.

    None is at once: what was never done is overdue. `last_at` is when it was last done well, `tried_at` when it was
    last done at all, as far as the trail tells; `scenario` is the drill's whose turn it is, `runs_on` where it has to
    be run, empty where nobody says so.
    """

    dataset: str
    kind: Kind
    state: State
    last_at: datetime | None
    tried_at: datetime | None
    due_at: datetime | None
    overdue_at: datetime | None
    every: timedelta
    scenario: str = ""
    runs_on: str = ""


def due_of(name: str, dataset: Dataset, proofs: Proofs, now: datetime) -> Iterator[Due]:
    """What is to be done for one dataset, due or not, in the order in which it makes sense. Pure."""
    if dataset.backup is None:
        return
    yield _backup(name, dataset.backup, proofs, now)
    if proofs.copies:
        yield _verify(name, dataset.backup, proofs, now)
    if dataset.drill is not None:
        yield _drill(name, dataset.drill, proofs, now)


def grace_of(every: timedelta) -> timedelta:
    """How late a copy may be before it is called so: a tenth of the time between two, a minute at least."""
    return max(every * _GRACE, _GRACE_MIN)


def _backup(name: str, backup: Backup, proofs: Proofs, now: datetime) -> Due:
    copy, every = proofs.copies.get(backup.repository), backup.schedule
    tried_at = _latest(copy.made_at if copy else None, proofs.failed_backup_at)
    if copy is None:
        return Due(name, "backup", "overdue", None, tried_at, None, None, every)
    due_at = copy.made_at + every
    overdue_at = due_at + grace_of(every)
    return Due(name, "backup", _state(now, due_at, overdue_at), copy.made_at, tried_at, due_at, overdue_at, every)


def _verify(name: str, backup: Backup, proofs: Proofs, now: datetime) -> Due:
    read_at, every = proofs.read_back_at, backup.verify_every
    tried_at = _latest(read_at, proofs.failed_read_back_at)
    if read_at is None:
        return Due(name, "verify", "overdue", None, tried_at, None, None, every)
    due_at = read_at + every
    overdue_at = due_at + grace_of(every)
    return Due(name, "verify", _state(now, due_at, overdue_at), read_at, tried_at, due_at, overdue_at, every)


def _drill(name: str, drill: Drill, proofs: Proofs, now: datetime) -> Due:
    passed_at = max((one.at for one in proofs.drills if one.verdict == "pass"), default=None)
    tried_at, every = proofs.drill.at if proofs.drill else None, drill.period
    scenario, runs_on = next_scenario(proofs.drills, drill), drill.runs_on or ""
    if passed_at is None:
        return Due(name, "drill", "overdue", None, tried_at, None, None, every, scenario, runs_on)
    due_at, overdue_at = passed_at + every * _SOON, passed_at + every
    state = _state(now, due_at, overdue_at)
    return Due(name, "drill", state, passed_at, tried_at, due_at, overdue_at, every, scenario, runs_on)


def _state(now: datetime, due_at: datetime, overdue_at: datetime) -> State:
    return "overdue" if now > overdue_at else "due" if now > due_at else "ok"


def _latest(*instants: datetime | None) -> datetime | None:
    return max((one for one in instants if one is not None), default=None)
