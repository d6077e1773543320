"""Compares a log with a checkpoint of it that is known from elsewhere: only that shows dropped entries and forks."""

from collections.abc import Sequence
from dataclasses import dataclass

from atp.errors import MissingError, RefusedError, TamperedError
from atp.merkle.checkpoints import Checkpoint, open_checkpoint
from atp.merkle.keys import VerifierKey
from atp.verify.options import Options
from atp.verify.report import Finding
from atp.verify.succession import Succession, former_origins
from atp.verify.tree import TileRows, root_at
from atp.verify.trust import Trust, claimed_checkpoint

AGAINST = "the checkpoint given with --against"
ELSEWHERE = "the checkpoint that is known elsewhere"
REMEMBERED = "the remembered checkpoint"


@dataclass(frozen=True, slots=True)
class Known:
    """A signed checkpoint and what to call it. One that is not `is_binding` is ignored when it cannot be read."""

    note: bytes
    place: str
    is_binding: bool = True


@dataclass(frozen=True, slots=True)
class Compared:
    """What came of it: findings, or a remark. `fork` is the known note where the log signed two histories, `loss`
    what it covers that is lost, where a restore says so."""

    findings: tuple[Finding, ...] = ()
    remark: str = ""
    fork: bytes = b""
    loss: Finding | None = None


def known_checkpoints(origin: str, options: Options) -> list[Known]:
    """The checkpoints of a log that this person gave, or had verified before: of this origin, or of one that it had
    before, but those that are remembered only until one of this origin is."""
    known, origins = list[Known](), [origin, *former_origins(origin)]
    given = [*([(options.against, AGAINST)] if options.against else []), *((note, ELSEWHERE) for note in options.known)]
    known += (Known(note, place) for note, place in given if claimed_checkpoint(note).origin in origins)
    memory = options.memory
    notes = (memory.remembered(one) for one in origins) if memory else iter(())
    remembered = next((note for note in notes if note is not None), None)
    if remembered is not None:
        known.append(Known(remembered, REMEMBERED, is_binding=False))
    return known


def compare_alone(now: Checkpoint, *, trust: Trust, options: Options) -> list[Compared]:
    """Compares where there are no tiles: only a known checkpoint of the same size can contradict.

    A newer one does not: a proof or a bundle was made at its time.
    """
    known = known_checkpoints(now.origin, options)
    claimed = [(one, claimed_checkpoint(one.note)) for one in known]
    of_this = [one for one, checkpoint in claimed if checkpoint.origin == now.origin and checkpoint.size <= now.size]
    return [compare(one, now, trust=trust, rows=None) for one in of_this]


def may_remember(origin: str, forks: Sequence[bytes], options: Options) -> bool:
    """Whether a checkpoint that came without tiles is worth keeping: the first of its origin, or half of a fork."""
    return bool(forks) or options.memory is None or options.memory.remembered(origin) is None


def compare(known: Known, now: Checkpoint, *, trust: Trust, rows: TileRows | None, is_copy: bool = False) -> Compared:
    """Whether the log as it is `now` begins with the known one. `rows` None: its tiles are not at hand, or not intact.

    Of a log that is a restored copy (`is_copy`) the last entries are lost, not dropped. Costs a signature and at most
    two tiles a level.
    """
    try:
        old = trust.open(known.note, origin=now.origin).checkpoint
    except (TamperedError, RefusedError) as error:
        return _unusable(known, str(error))
    if old.size > now.size and is_copy:
        reason = (
            f"lost, declared: this is a copy that was restored and that has not gone on yet, {known.place} knows more"
        )
        return Compared(loss=Finding("structure", "RESTORED", reason, now.size, old.size))
    if old.size > now.size:
        reason = f"it is of {old.size} entries, and here are only {now.size}: the last ones were dropped"
        return Compared((Finding("structure", known.place, reason, now.size, old.size),))
    return _compare_beginning(known, old, now, rows)


def compare_former(
    known: Known, ended: Succession, now: Checkpoint, *, keys: Sequence[VerifierKey], rows: TileRows | None
) -> Compared:
    """Whether a log that goes on since `ended` begins with a known checkpoint of an older origin of it.

    Of what that covers beyond the entry, the entry says that it is lost.
    """
    lost = (
        f"lost, declared: entry {ended.index} says so, after the restore {_of(ended.restored_at)}; {known.place} covers"
    )
    claimed = claimed_checkpoint(known.note)
    if claimed.origin != ended.former:
        return Compared(
            loss=_lost(f"{lost} entries of {claimed.origin}, which was given up", ended.index, claimed.size)
        )
    try:
        old = open_checkpoint(known.note, origin=ended.former, log_keys=keys).checkpoint
    except (TamperedError, RefusedError) as error:
        return _unusable(known, str(error))
    if old.size > ended.index:
        return Compared(loss=_lost(f"{lost} {old.size} entries of {ended.former}", ended.index, old.size))
    return _compare_beginning(known, old, now, rows)


def _compare_beginning(known: Known, old: Checkpoint, now: Checkpoint, rows: TileRows | None) -> Compared:
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
    was = "" if old.origin == now.origin else f" under its former origin {old.origin}"
    return Compared(remark=f"the log begins with {known.place}, of {old.size} entries{was}")


def _unusable(known: Known, reason: str) -> Compared:
    if known.is_binding:
        return Compared((Finding("structure", known.place, reason),))
    return Compared(remark=f"{known.place} was ignored: {reason}")


def _lost(reason: str, first: int, stop: int) -> Finding:
    return Finding("structure", "order", reason, first if first < stop else None, stop if first < stop else None)


def _of(restored_at: str) -> str:
    return f"of {restored_at}" if restored_at else "at a time that nobody wrote down"


def _fork(known: Known, old: Checkpoint, now: Checkpoint) -> Compared:
    reason = f"its {old.size} entries are not those with which the {now.size} entries here begin: the log was forked"
    return Compared((Finding("structure", known.place, reason, 0, old.size),), fork=known.note)
