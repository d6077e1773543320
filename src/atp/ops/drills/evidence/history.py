"""Events of the operators' trail -> the drills of each dataset, what is missing among them, and what is due. Pure."""

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Literal

from atp.errors import MalformedError
from atp.limits import DRILL_SLOTS_MAX
from atp.ops.drills.evidence.figures import Done, Previous, read_done

State = Literal["ok", "due", "overdue"]
_SOON = 0.9
"""The part of a period after which the next drill is due."""
_LATE = 0.1
"""The part of a period by which a drill may be late for its slot."""


@dataclass(frozen=True, slots=True)
class Told:
    """One event `drill.done` as it was told: by whom, and where it stands in the log, or None while it waits."""

    id: str
    at: datetime
    by: str
    dataset: str
    data: Mapping[str, Any]
    index: int | None = None


@dataclass(frozen=True, slots=True)
class Drill:
    """A drill that was told."""

    id: str
    at: datetime
    by: str
    dataset: str
    done: Done
    index: int | None = None

    @property
    def name(self) -> str:
        """What people call it: dataset and number."""
        return f"{self.dataset}/{self.done.number}"


@dataclass(frozen=True, slots=True)
class History:
    """The drills, oldest first; by dataset the numbers that nothing was told of, and those that two drills have.

    `unreadable` counts events that are of no drill: they prove nothing. `broken` are numbers of drills whose record
    does not hold the digest of the statement before: one was made anew, or two machines did not know of each other.
    """

    drills: tuple[Drill, ...]
    missing: Mapping[str, tuple[int, ...]]
    unreadable: int = 0
    twice: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    broken: Mapping[str, tuple[int, ...]] = field(default_factory=dict)

    def of(self, dataset: str) -> list[Drill]:
        """The drills of one dataset."""
        return [drill for drill in self.drills if drill.dataset == dataset]

    def newest_number(self, dataset: str) -> int:
        """The largest number that was told; 0 when there is none."""
        return max((drill.done.number for drill in self.of(dataset)), default=0)

    def newest_statement(self, dataset: str) -> Previous | None:
        """The newest statement that was told of; None when there is none."""
        signed = [
            Previous(one.done.number, one.done.statement.sha256) for one in self.of(dataset) if one.done.statement
        ]
        return max(signed, default=None)

    def last_at(self, dataset: str) -> datetime | None:
        """When the dataset was last drilled, whatever came of it."""
        return max((drill.done.lost_at for drill in self.of(dataset)), default=None)

    def missed(self, dataset: str) -> list[datetime]:
        """The slots that the drills of a dataset say were missed before them."""
        return sorted({slot for drill in self.of(dataset) for slot in drill.done.missed_slots})

    def passed(self, dataset: str) -> dict[str, datetime]:
        """When each scenario of a dataset last passed."""
        return {drill.done.scenario: drill.at for drill in self.of(dataset) if drill.done.verdict == "pass"}


@dataclass(frozen=True, slots=True)
class Due:
    """How a dataset stands: when the next drill has to have passed (None: at once), and what it should rehearse."""

    dataset: str
    state: State
    due_at: datetime | None
    passed_at: datetime | None
    scenario: str
    period: timedelta
    missed: tuple[datetime, ...] = ()


def fold(told: Iterable[Told], *, is_all: bool = True) -> History:
    """What the events say. An event that stands twice, as it was sent and once more from a spool, counts once.

    `is_all`: there are no others. If there may be, no number before the first that was told of is missing.
    """
    found, unreadable = dict[str, Drill](), 0
    for one in told:
        try:
            done = read_done(one.data)
        except MalformedError:
            unreadable += 1
        else:
            if one.id not in found or one.index is not None:
                found[one.id] = Drill(one.id, one.at, one.by, one.dataset, done, one.index)
    drills = sorted(found.values(), key=lambda drill: (drill.at, drill.done.number))
    numbers = dict[str, list[int]]()
    for drill in drills:
        numbers.setdefault(drill.dataset, []).append(drill.done.number)
    missing = {dataset: gone for dataset, given in numbers.items() if (gone := _missing(given, is_all=is_all))}
    twice = {dataset: both for dataset, given in numbers.items() if (both := _twice(given))}
    broken = {
        dataset: torn for dataset in numbers if (torn := _broken([one for one in drills if one.dataset == dataset]))
    }
    return History(tuple(drills), missing, unreadable, twice, broken)


def missed_slots(since: datetime | None, period: timedelta, *, now: datetime) -> tuple[datetime, ...]:
    """The instants, a period apart, at which a drill was due since then, and which one that begins now does not serve
    any more: a drill may come a tenth of a period late. The newest `limits.DRILL_SLOTS_MAX`. Pure."""
    if since is None:
        return ()
    last = math.floor((now - since) / period - _LATE)
    return tuple(since + number * period for number in range(max(1, last - DRILL_SLOTS_MAX + 1), last + 1))


def due(
    history: History, dataset: str, *, period: timedelta, scenario: str, now: datetime, begun_at: datetime | None = None
) -> Due:
    """How a dataset stands now. What never passed is overdue. `begun_at` is when it first had evidence: from then on
    slots are missed by what was never drilled."""
    passed_at = max(history.passed(dataset).values(), default=None)
    missed = missed_slots(history.last_at(dataset) or begun_at, period, now=now)
    if passed_at is None:
        return Due(dataset, "overdue", None, None, scenario, period, missed)
    due_at = passed_at + period
    state: State = "overdue" if now > due_at else "due" if now > passed_at + period * _SOON else "ok"
    return Due(dataset, state, due_at, passed_at, scenario, period, missed)


def _broken(drills: Sequence[Drill]) -> tuple[int, ...]:
    """Where the drill with the number before was told, its digest has to stand in the record."""
    known = {one.done.number: one.done.statement.sha256 for one in drills if one.done.statement}
    pairs = [(one.done.number, one.done.previous_sha256) for one in drills]
    return tuple(sorted({number for number, digest in pairs if known.get(number - 1, digest) != digest}))


def _twice(numbers: Sequence[int]) -> tuple[int, ...]:
    return tuple(sorted(number for number, count in Counter(numbers).items() if count > 1))


def _missing(numbers: Sequence[int], *, is_all: bool) -> tuple[int, ...]:
    return tuple(sorted(set(range(1 if is_all else min(numbers), max(numbers))) - set(numbers)))
