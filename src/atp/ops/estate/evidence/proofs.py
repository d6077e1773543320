"""Events of the operators' trail -> what is known of each dataset.

Five actions count, each on a resource whose id is the dataset's name; the event's actor is who did it. Their `data`
(unknown fields are let be, instants are RFC 3339)::

    backup.done      verdict      pass | fail | error | insufficient; only `pass` is a copy
                     backup       the copy's id
                     repository   where it lies: a name of the estate's `repositories`
                     point_at     the last instant whose data is in it (absent: the event's time); a stream of changes
                                  tells its progress by further events with the same `backup` and a later `point_at`
                     encrypted    whether the bytes in the repository are encrypted
    backup.verified  verdict, backup, repository as above
                     read_back    whether the whole copy was read and its digests compared
                     isolated     whether the keys of production failed to change it when they tried, and it shares no
                                  ground with its source (absent: not tried)
                     immutable    whether its removal before time was tried and refused (absent: not tried)
    backup.listed    verdict, repository as above; told of erasable datasets, by whoever saw all their copies
                     copies         how many there are
                     oldest_at      when the oldest was begun (absent: there is none)
                     locked_until   until when one of them is locked (absent: none is)
    drill.done       verdict, backup, repository as above
                     scenario     which loss was rehearsed
                     rpo_seconds  from the last restored commit to the loss, or to the damage (absent: not measured)
                     rto_seconds  from the loss to the last check passed (absent: not measured)
                     failed       names of the checks that failed
                     host         the machine that it was run on, where the private key was
                     key_beside   whether the living data is on that machine too (absent: nobody can tell)
                     number       which drill of the dataset it is, from 1
                     lock         `verdict`: what came of trying to break the lock of the repository
                     statement    `sha256`: the digest of its signed statement
    drill.reviewed   see `atp.ops.estate.evidence.signoff`
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Annotated, Any, Literal, NamedTuple

import msgspec
from msgspec import Meta

from atp.ops.estate.evidence.signoff import DRILL_REVIEWED, Review, Reviewed

BACKUP_DONE = "backup.done"
BACKUP_VERIFIED = "backup.verified"
BACKUP_LISTED = "backup.listed"
DRILL_DONE = "drill.done"
ACTIONS = (BACKUP_DONE, BACKUP_VERIFIED, BACKUP_LISTED, DRILL_DONE, DRILL_REVIEWED)

Verdict = Literal["pass", "fail", "error", "insufficient"]
Aware = Annotated[datetime, Meta(tz=True)]
Seconds = Annotated[float, Meta(ge=0, le=1e9)]


class Fact(NamedTuple):
    """One event of the operators' trail, as far as it matters here."""

    at: datetime
    action: str
    resource: str
    data: Mapping[str, Any]
    actor: str = ""


class BackupDone(msgspec.Struct, frozen=True):
    """`data` of `backup.done`."""

    verdict: Verdict
    backup: str
    repository: str
    point_at: Aware | None = None
    encrypted: bool | None = None


class BackupVerified(msgspec.Struct, frozen=True):
    """`data` of `backup.verified`."""

    verdict: Verdict
    backup: str
    repository: str
    read_back: bool = False
    isolated: bool | None = None
    immutable: bool | None = None


class BackupListed(msgspec.Struct, frozen=True):
    """`data` of `backup.listed`."""

    verdict: Verdict
    repository: str
    copies: int = 0
    oldest_at: Aware | None = None
    locked_until: Aware | None = None


class LockSeen(msgspec.Struct, frozen=True):
    """`lock` of a drill, as far as it counts."""

    verdict: str = ""


class StatementNamed(msgspec.Struct, frozen=True):
    """`statement` of a drill, as far as it counts."""

    sha256: str = ""


class DrillDone(msgspec.Struct, frozen=True):
    """`data` of `drill.done`."""

    verdict: Verdict
    scenario: str
    backup: str | None = None
    repository: str | None = None
    rpo_seconds: Seconds | None = None
    rto_seconds: Seconds | None = None
    failed: tuple[str, ...] = ()
    host: str = ""
    key_beside: bool | None = None
    number: int = 0
    lock: LockSeen | None = None
    statement: StatementNamed | None = None


@dataclass(frozen=True, slots=True)
class Drilled:
    """One drill: what was rehearsed, and what was achieved. `key_beside`: the private key was on the machine of the
    data, `host`; None is not known. `number` 0, and an empty `lock` or `statement_sha256`: it does not say."""

    at: datetime
    by: str
    verdict: Verdict
    scenario: str
    rpo: timedelta | None
    rto: timedelta | None
    failed: tuple[str, ...]
    host: str = ""
    key_beside: bool | None = None
    number: int = 0
    lock: str = ""
    statement_sha256: str = ""


@dataclass(frozen=True, slots=True)
class Stored:
    """The newest copy in one repository, and the newest answer to each question about it; None is not known."""

    backup: str
    made_at: datetime
    point_at: datetime
    encrypted: bool | None = None


@dataclass(slots=True)
class Proofs:
    """What is known of one dataset: by repository the newest copy and the newest answers; drills, oldest first."""

    copies: dict[str, Stored] = field(default_factory=dict)
    failed_backup_at: datetime | None = None
    read_back_at: datetime | None = None
    failed_read_back_at: datetime | None = None
    isolated: dict[str, bool] = field(default_factory=dict)
    immutable: dict[str, bool] = field(default_factory=dict)
    listed: dict[str, BackupListed] = field(default_factory=dict)
    drills: list[Drilled] = field(default_factory=list)
    reviews: dict[tuple[int, str], list[Review]] = field(default_factory=dict)

    def reviews_of(self, drill: Drilled) -> list[Review]:
        """The reviews that name the number and the very statement of a drill, oldest first."""
        found = self.reviews.get((drill.number, drill.statement_sha256), ())
        return [replace(one, is_own=one.by == drill.by) for one in found]

    @property
    def drill(self) -> Drilled | None:
        """The newest drill, whatever came of it."""
        return self.drills[-1] if self.drills else None


@dataclass(frozen=True, slots=True)
class Evidence:
    """What the trail says as of `read_at`; None when it was not read, so that nothing is known.

    `unreadable` counts events whose `data` is not as documented: they prove nothing. `keys_here` are datasets beside
    which whoever judges holds a private key.
    """

    read_at: datetime | None = None
    datasets: Mapping[str, Proofs] = field(default_factory=dict)
    unreadable: int = 0
    keys_here: frozenset[str] = frozenset()

    def of(self, dataset: str) -> Proofs:
        """What is known of one dataset, perhaps nothing."""
        return self.datasets.get(dataset) or Proofs()


UNKNOWN = Evidence()


def fold(facts: Iterable[Fact], *, now: datetime) -> Evidence:
    """What the facts say, in whatever order they come; those after `now` and of other actions are left out.

    Facts whose data cannot be read are counted and prove nothing. Sorts the facts: n log n.
    """
    datasets = dict[str, Proofs]()
    unreadable = 0
    for fact in sorted((one for one in facts if one.at <= now and one.action in ACTIONS), key=lambda one: one.at):
        try:
            _apply(datasets.setdefault(fact.resource, Proofs()), fact)
        except msgspec.ValidationError:
            unreadable += 1
    return Evidence(now, datasets, unreadable)


def _apply(proofs: Proofs, fact: Fact) -> None:
    if fact.action == BACKUP_DONE:
        _apply_backup(proofs, fact, msgspec.convert(fact.data, BackupDone))
    elif fact.action == BACKUP_VERIFIED:
        _apply_verified(proofs, fact, msgspec.convert(fact.data, BackupVerified))
    elif fact.action == BACKUP_LISTED:
        listed = msgspec.convert(fact.data, BackupListed)
        proofs.listed[listed.repository] = listed
    elif fact.action == DRILL_REVIEWED:
        said = msgspec.convert(fact.data, Reviewed)
        review = Review(fact.at, fact.actor, said, is_own=False)
        proofs.reviews.setdefault((said.number, said.statement_sha256), []).append(review)
    else:
        _apply_drill(proofs, fact, msgspec.convert(fact.data, DrillDone))


def _apply_backup(proofs: Proofs, fact: Fact, done: BackupDone) -> None:
    if done.verdict != "pass":
        proofs.failed_backup_at = fact.at
        return
    # A copy cannot hold what had not happened yet when it was recorded.
    point_at = min(done.point_at or fact.at, fact.at)
    known = proofs.copies.get(done.repository)
    if known is None or point_at >= known.point_at:
        proofs.copies[done.repository] = Stored(done.backup, fact.at, point_at, done.encrypted)


def _apply_verified(proofs: Proofs, fact: Fact, verified: BackupVerified) -> None:
    if verified.isolated is not None:
        proofs.isolated[verified.repository] = verified.isolated
    if verified.immutable is not None:
        proofs.immutable[verified.repository] = verified.immutable
    if verified.verdict != "pass":
        proofs.failed_read_back_at = fact.at
    elif verified.read_back:
        proofs.read_back_at = fact.at


def _apply_drill(proofs: Proofs, fact: Fact, done: DrillDone) -> None:
    rpo, rto = _length(done.rpo_seconds), _length(done.rto_seconds)
    told = (done.verdict, done.scenario, rpo, rto, done.failed, done.host, done.key_beside)
    lock, statement = done.lock or LockSeen(), done.statement or StatementNamed()
    named = (done.number, lock.verdict, statement.sha256)
    proofs.drills.append(Drilled(fact.at, fact.actor, *told, *named))


def _length(seconds: float | None) -> timedelta | None:
    return None if seconds is None else timedelta(seconds=seconds)


def scenarios_done(drills: Sequence[Drilled]) -> dict[str, datetime]:
    """When each scenario last passed."""
    return {drill.scenario: drill.at for drill in drills if drill.verdict == "pass"}
