"""Compares a log with a checkpoint of it that is known from elsewhere: only that shows dropped entries and forks."""

from collections.abc import Sequence
from dataclasses import dataclass

from atp.errors import MissingError, RefusedError, TamperedError
from atp.merkle.checkpoints import Checkpoint
from atp.verify.options import Options
from atp.verify.report import Finding
from atp.verify.tree import TileRows, root_at
from atp.verify.trust import Trust, claimed_checkpoint

AGAINST = "the checkpoint given with --against"
REMEMBERED = "the remembered checkpoint"


@dataclass(frozen=True, slots=True)
class Known:
    """A signed checkpoint and what to call it. One that is not `is_binding` is ignored when it cannot be read."""

    note: bytes
    place: str
    is_binding: bool = True


@dataclass(frozen=True, slots=True)
class Compared:
    """What came of it: findings, or a remark. `fork` is the known note where the log signed two histories."""

    findings: tuple[Finding, ...] = ()
    remark: str = ""
    fork: bytes = b""


def known_checkpoints(origin: str, options: Options) -> list[Known]:
    """The checkpoints of an origin that this person gave, or had verified before."""
    known = list[Known]()
    if options.against is not None and claimed_checkpoint(options.against).origin == origin:
        known.append(Known(options.against, AGAINST))
    remembered = options.memory.remembered(origin) if options.memory else None
    if remembered is not None:
        known.append(Known(remembered, REMEMBERED, is_binding=False))
    return known


def compare_alone(now: Checkpoint, *, trust: Trust, options: Options) -> list[Compared]:
    """Compares where there are no tiles: only a known checkpoint of the same size can contradict.

    A newer one does not: a proof or a bundle was made at its time.
    """
    known = known_checkpoints(now.origin, options)
    return [compare(one, now, trust=trust, rows=None) for one in known if claimed_checkpoint(one.note).size <= now.size]


def may_remember(origin: str, forks: Sequence[bytes], options: Options) -> bool:
    """Whether a checkpoint that came without tiles is worth keeping: the first of its origin, or half of a fork."""
    return bool(forks) or options.memory is None or options.memory.remembered(origin) is None


def compare(known: Known, now: Checkpoint, *, trust: Trust, rows: TileRows | None) -> Compared:
    """Whether the log as it is `now` begins with the known one. `rows` None: its tiles are not at hand, or not intact.

    Costs a signature and at most two tiles a level.
    """
    try:
        old = trust.open(known.note, origin=now.origin).checkpoint
    except (TamperedError, RefusedError) as error:
        if known.is_binding:
            return Compared((Finding("structure", known.place, str(error)),))
        return Compared(remark=f"{known.place} was ignored: {error}")
    if old.size > now.size:
        reason = f"it is of {old.size} entries, and here are only {now.size}: the last ones were dropped"
        return Compared((Finding("structure", known.place, reason, now.size, old.size),))
    if old.size == now.size:
        return Compared() if old.root == now.root else _fork(known, old, now)
    if old.size == 0:
        return Compared()
    if rows is None:
        return Compared(remark=f"{known.place} (size {old.size}) was not compared: that needs the log's intact tiles")
    try:
        is_same = root_at(old.size, rows) == old.root
    except (MissingError, TamperedError) as error:
        return Compared((Finding("structure", known.place, f"it cannot be compared: {error}"),))
    if not is_same:
        return _fork(known, old, now)
    return Compared(remark=f"the log begins with {known.place}, of {old.size} entries")


def _fork(known: Known, old: Checkpoint, now: Checkpoint) -> Compared:
    reason = f"its {old.size} entries are not those with which the {now.size} entries here begin: the log was forked"
    return Compared((Finding("structure", known.place, reason, 0, old.size),), fork=known.note)
