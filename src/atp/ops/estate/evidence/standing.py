"""How a dataset stands today: would it come back, as far as that was shown? A colour, and every reason for it. Pure.

grey   nothing is known: it was never backed up, or never drilled
red    something is known to be wrong: the last backup, read-back or drill failed, or one is overdue; a copy of what is
       erasable is locked, or should be gone
amber  it holds, and something is weak or soon due: a verdict that nobody could give, copies that are not shown to be
       isolated, locked, encrypted
green  each scenario passed every objective, the newest drill is within its period, and nothing above is so
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta

from atp.ops.declaration.durations import about, format_duration
from atp.ops.estate.declare.values import Backup, Drill
from atp.ops.estate.evidence.copies import Subject, copy_findings
from atp.ops.estate.evidence.due import Due, due_of, grace_of
from atp.ops.estate.evidence.finding import Colour
from atp.ops.estate.evidence.proofs import Drilled
from atp.ops.estate.evidence.restores import DRILL_GRACE

COLOURS: tuple[Colour, ...] = ("red", "grey", "amber", "green")
"""Worst first. Where nothing was ever shown, what is weak about it is the smaller worry: grey goes before amber."""
WORDS: Mapping[Colour, str] = {"red": "broken", "grey": "unknown", "amber": "weak", "green": "proven"}
"""What a colour is called where it cannot be seen."""
_OF_STORES = ("isolation", "isolated", "lock", "immutable", "unlocked", "gone", "recipients", "encrypted")
_OF_ERASURE = ("unlocked", "gone")
_FAILED = ("fail", "error")


@dataclass(frozen=True, slots=True)
class Reason:
    """Why a dataset is not green: a sentence, and the next move."""

    colour: Colour
    sentence: str
    next_move: str


@dataclass(frozen=True, slots=True)
class Standing:
    """The colour of a dataset, the reasons that keep it from green, worst first, and what is to be done for it."""

    subject: Subject
    colour: Colour
    reasons: tuple[Reason, ...]
    due: tuple[Due, ...]


def standing_of(subject: Subject) -> Standing:
    """How a dataset stands: the one place where its colour comes from, for every page, document and command."""
    due = tuple(due_of(subject.name, subject.dataset, subject.proofs, subject.now))
    found = sorted(_reasons(subject, due), key=lambda one: COLOURS.index(one.colour))
    return Standing(subject, found[0].colour if found else "green", tuple(found), due)


def last_drills(subject: Subject) -> dict[str, Drilled]:
    """The newest drill of each scenario."""
    return {drill.scenario: drill for drill in subject.proofs.drills}


def _reasons(subject: Subject, due: tuple[Due, ...]) -> Iterator[Reason]:
    backup, drill = subject.dataset.backup, subject.dataset.drill
    if backup is None:
        yield Reason("red", "it has no backup", subject.edit("backup: {repository: ..., ...}"))
        return
    yield from _of_copies(subject, backup)
    for one in due:
        if one.last_at is not None and one.state != "ok":
            yield _of_due(subject, one)
    yield from _of_stores(subject)
    if drill is None:
        told = "no drill is declared: that it can be restored is a hope"
        yield Reason("grey", told, subject.rehearse())
        return
    yield from _of_drills(subject, drill)


def _of_copies(subject: Subject, backup: Backup) -> Iterator[Reason]:
    copies, proofs = subject.copies(), subject.proofs
    run, verify = f"atp backup run {subject.name}", subject.read_back()
    failed_at, read_at, misread_at = proofs.failed_backup_at, proofs.read_back_at, proofs.failed_read_back_at
    made_at = max((copy.made_at for copy in copies.values()), default=None)
    if failed_at is not None and (made_at is None or failed_at > made_at):
        yield Reason("red", f"the last backup failed, {about(subject.now - failed_at)} ago", run)
    if made_at is None:
        yield Reason("grey", "it was never backed up", run)
        return
    age = subject.now - max(copy.point_at for copy in copies.values())
    rpo = subject.dataset.rpo
    if rpo is not None and age > rpo + grace_of(backup.schedule):
        yield Reason(
            "red", f"the newest copy reaches to {about(age)} ago, the RPO is {format_duration(rpo)}", subject.back_up()
        )
    for name in subject.repositories().keys() - copies.keys():
        yield Reason("amber", f"there is no copy in {name}", run)
    if misread_at is not None and (read_at is None or misread_at > read_at):
        ago = about(subject.now - misread_at)
        yield Reason("red", f"a copy was read back {ago} ago, and is not what was written", verify)
    elif read_at is None:
        yield Reason("amber", "no copy was ever read back", verify)


def _of_due(subject: Subject, one: Due) -> Reason:
    """What is due, or late. A drill that is late is red after a grace alone, a read-back never: others show more."""
    assert one.last_at is not None, "asked of what was done before"
    ago = about(subject.now - one.last_at)
    told, move = {
        "backup": (f"the newest copy is {ago} old", f"atp backup run {subject.name}"),
        "verify": (f"a copy was read back {ago} ago", subject.read_back()),
        "drill": (f"a drill passed {ago} ago", subject.rehearse(one.scenario or "")),
    }[one.kind]
    grace = DRILL_GRACE if one.kind == "drill" else timedelta()
    is_late = one.overdue_at is not None and subject.now > one.overdue_at + grace and one.kind != "verify"
    word = "overdue" if one.state == "overdue" else "due"
    sentence = f"{told}, one is wanted every {format_duration(one.every)}: {word}"
    return Reason("red" if is_late else "amber", sentence, move)


def _of_stores(subject: Subject) -> Iterator[Reason]:
    """What the stores are not, or are not shown to be: a copy that is there is better than none, so never red. One that
    keeps what has to be erased is worse than none."""
    if not subject.copies():
        return
    for finding in copy_findings(subject):
        if finding.check in _OF_STORES and finding.colour != "green":
            is_red = finding.colour == "red" and finding.check in _OF_ERASURE
            yield Reason("red" if is_red else "amber", finding.sentence, finding.next_move)


def _of_drills(subject: Subject, drill: Drill) -> Iterator[Reason]:
    last, run = last_drills(subject), subject.rehearse()
    newest = subject.proofs.drill
    if newest is None:
        yield Reason("grey", "it was never drilled", run)
        return
    passed = {one.scenario for one in subject.proofs.drills if one.verdict == "pass"}
    if not passed and subject.now - subject.proofs.drills[0].at > drill.period + DRILL_GRACE:
        yield Reason("red", f"no drill ever passed, one is wanted every {format_duration(drill.period)}", run)
    for scenario in dict.fromkeys((*drill.scenarios, newest.scenario)):
        one, again = last.get(scenario), subject.rehearse(scenario)
        if one is None:
            yield Reason("amber", f"{scenario} was never rehearsed", again)
        elif one.verdict != "pass":
            colour: Colour = "red" if one.verdict in _FAILED else "amber"
            failed = f" ({', '.join(one.failed)})" if one.failed else ""
            ago = about(subject.now - one.at)
            told = f"the last drill of {scenario}, {ago} ago, says {one.verdict}{failed}"
            yield Reason(colour, told, f"find the cause (atp drill list {subject.name}), then {again}")
    for name, wanted, achieved in (
        ("RPO", subject.dataset.rpo, newest.rpo),
        ("RTO", subject.dataset.rto, newest.rto),
    ):
        if newest.verdict == "pass" and wanted is not None and achieved is not None and achieved > wanted:
            told = f"the last drill achieved an {name} of {about(achieved)}, wanted is now {format_duration(wanted)}"
            yield Reason("red", told, f"restore faster, or edit the objective, then {run}")
