"""A drill: declare the loss, choose, restore, ask, measure, remove. Whatever fails, the rest is still told.

Repeatable: a drill that died is run again, and both are recorded; the next one removes what it left.
"""

import errno
import platform
import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import NamedTuple, Protocol

from atp import __version__
from atp.durable import disk_move
from atp.errors import (
    AtpError,
    InvalidError,
    MissingError,
    RefusedError,
    TamperedError,
    UnauthorizedError,
    UnavailableError,
)
from atp.limits import DRILL_ADDRESSES_MAX, DRILL_TOLD_CHARS_MAX
from atp.ops.backups.act import restoring
from atp.ops.backups.act.kinds.choose import arrival_of
from atp.ops.backups.act.kinds.shape import Arrival, Occasion
from atp.ops.backups.act.listing import Listed, is_another, list_backups, moment_of, newest, not_later
from atp.ops.backups.act.parts import read_parts, unwatched
from atp.ops.backups.act.step import Data, Record, Step, carry_out
from atp.ops.backups.act.workplace import is_without_room
from atp.ops.backups.evidence import UNASKED, Recorded
from atp.ops.backups.format.manifest import Manifest
from atp.ops.backups.format.seal import Identity, unsealed
from atp.ops.declaration.durations import format_instant
from atp.ops.drills.act.asking import ask, covered, listening, outside, sockets_here
from atp.ops.drills.act.beating import read_ledger
from atp.ops.drills.act.kinds.choose import make_ready
from atp.ops.drills.act.kinds.shape import Living, Production
from atp.ops.drills.act.questions import Found, Question
from atp.ops.drills.act.rawcopy import Copied, raw_copy
from atp.ops.drills.act.records import Watched, Within
from atp.ops.drills.act.scratch import Scratch
from atp.ops.drills.declare import RECOVERY, Declared, damage_at, withheld
from atp.ops.drills.evidence.figures import LockTried
from atp.ops.drills.evidence.measure import (
    NOT_ASKED,
    Beat,
    Recovered,
    Walls,
    late_beats,
    lock_tried,
    recovered_until,
)
from atp.ops.estate.declare.values import Scenario
from atp.ops.estate.evidence.proofs import Verdict
from atp.ops.secrecy import without_secrets
from atp.ports.clock import Clock
from atp.ports.repository import Repository

_NOTHING_THAT_FOLLOWS = Recorded()
Recall = Callable[[Repository, Listed, str], Recorded]


class Fencing(Protocol):
    """Gives the words that start a process behind a fence: `fence.fence_words`."""

    def __call__(self, scratch: Path, *, cover: Sequence[Path] = (), as_user: int | None = None) -> Sequence[str]:
        """Nothing: there is no fence."""


class Failure(NamedTuple):
    """What stopped a drill: `fail` where the backup or its repository would not have saved us, `error` where only the
    drill could not go on. `cause` is a word, `reason` a sentence."""

    verdict: Verdict
    cause: str
    reason: str


@dataclass(slots=True)
class Ran:
    """What a drill saw; what it never came to is None. `legs` are seconds after the loss."""

    lost_at: datetime
    before: Living | None
    damaged_at: datetime | None = None
    after: Living | None = None
    failure: Failure | None = None
    repository: str | None = None
    listed: Listed | None = None
    entries: int = 0
    total_bytes: int = 0
    legs: dict[str, float] = field(default_factory=dict)
    found: Found | None = None
    reaches_to: datetime | None = None
    recovered: Recovered | None = None
    walls: Walls | None = None
    lock: LockTried | None = None
    recorded: Recorded | None = None
    raw: Copied | None = None

    @property
    def ends_at(self) -> datetime:
        """The last moment whose data is worth anything: that of the damage, or else of the loss."""
        return self.damaged_at or self.lost_at

    @property
    def is_damaged_before(self) -> bool:
        """Whether there was time between damage and loss, in which nonsense was written and copied."""
        return self.ends_at < self.lost_at

    @property
    def fence(self) -> str:
        """Which walls of the fence were found standing."""
        return self.walls.told if self.walls else NOT_ASKED

    @property
    def manifest(self) -> Manifest | None:
        """Of the backup that was chosen."""
        return self.listed.manifest if self.listed else None


@dataclass(slots=True)
class Run:
    """One drill: the steps of `plan` as methods. `opened` gives a repository by its name, `only` names the one to use;
    `fence` gives the words that start a process behind it, `addresses` are production's: they have to be out of reach,
    `at` is when the data was damaged, `occasion` is what a restored trail is told; `recall` gives what the operators'
    trail remembers of a backup."""

    declared: Declared
    production: Production
    scenario: Scenario
    opened: Callable[[str], Repository]
    identities: Sequence[Identity]
    scratch: Scratch
    fence: Fencing
    clock: Clock
    ran: Ran
    occasion: Occasion
    recall: Recall
    only: str | None = None
    at: datetime | None = None
    addresses: Sequence[str] = ()
    _lost: float = 0.0
    _repository: Repository | None = None

    def carry_out(self, steps: Sequence[Step], *, record: Record) -> Ran:
        """Do the steps. Of those that the RTO is measured over, what follows a failure is left out. What is no fault of
        the world goes through, and so does what keeps the record from being written."""
        doing: Mapping[str, Callable[[], Data | None]] = {
            "challenge": self._challenge,
            "declare": self._declare,
            "choose": self._choose,
            "restore": lambda: self._restore(record),
            "ask": self._ask,
            "measure": self._measure,
            "remove": self._remove,
        }
        try:
            for step in steps:
                if self.ran.failure is None or step.name not in RECOVERY:
                    self._do(step, doing, record)
        finally:
            if self._repository is not None:
                self._repository.close()
        return self.ran

    def _do(self, step: Step, doing: Mapping[str, Callable[[], Data | None]], record: Record) -> None:
        told = Watched(record)
        try:
            carry_out([step], doing, record=told)
        except (AtpError, OSError) as error:
            if told.is_broken:
                raise  # no evidence, no act
            failure = error.failure if isinstance(error, _FailedError) else self._failure(step, error)
            self.ran.failure = self.ran.failure or failure

    def _challenge(self) -> Data:
        """Before the clock runs. That it cannot be tried stops nothing: the drill comes to the repository anyway."""
        left = self._left()
        if not left:
            return {"lock": "no repository is left"}
        promised = self.declared.repositories[left[0]].lock
        if promised == "none":
            self.ran.lock = LockTried(repository=left[0], verdict="not promised", promised=promised)
        else:
            self.ran.lock = self._lock_tried(left[0], promised)
        return {"repository": left[0], "lock": self.ran.lock.verdict, "succeeded": self.ran.lock.succeeded}

    def _lock_tried(self, name: str, promised: str) -> LockTried:
        try:
            with closing(self.opened(name)) as repository:
                return lock_tried(name, repository.challenge(), promised=promised, found=repository.lock)
        except AtpError as error:
            reason = without_secrets(str(error))[:DRILL_TOLD_CHARS_MAX]
            return LockTried(repository=name, verdict="not tried", promised=promised, reason=reason)

    def _left(self) -> list[str]:
        """The repositories that the scenario leaves, in order."""
        names = [self.only] if self.only else list(self.declared.repositories)
        return [name for name in names if not withheld(self.scenario, self.declared.repositories[name])]

    def _declare(self) -> Data:
        self.ran.lost_at, self._lost = self.clock.now(), self.clock.monotonic()
        damaged_at = damage_at(self.declared, self.scenario, lost_at=self.ran.lost_at, at=self.at)
        self.ran.damaged_at = damaged_at
        told = {"lost_at": self.ran.lost_at.isoformat(), "scenario": self.scenario}
        return told | ({"damaged_at": damaged_at.isoformat()} if damaged_at else {})

    def _choose(self) -> Data:
        left = self._left()
        if not left:
            names = [self.only] if self.only else list(self.declared.repositories)
            reasons = {name: withheld(self.scenario, self.declared.repositories[name]) for name in names}
            raise _failed("no-repository", f"{self.scenario} leaves no copy: {_joined(reasons)}")
        self._check_keys()
        self.ran.repository = left[0]
        self._repository = self.opened(left[0])
        if self.scenario == "ransomware" and self._repository.lock == "none":
            raise _failed("no-repository", f"{self.scenario} leaves no copy: {left[0]} should lock, and does not")
        chosen = self._newest(list_backups(self._repository, dataset=self.declared.dataset), left[0])
        self.ran.listed = chosen
        if chosen.manifest is None or chosen.faults:
            raise _failed(_cause_of(chosen), chosen.faults[0])
        self.ran.recorded = self.recall(self._repository, chosen, self.declared.dataset)
        if is_another(chosen, self.ran.recorded):
            raise _failed("exchanged", f"the manifest of {chosen.backup} is not the one that was recorded")
        self._leg("chosen")
        return {"backup": chosen.backup, "repository": left[0], "manifest_sha256": chosen.manifest_sha256}

    def _newest(self, found: Sequence[Listed], repository: str) -> Listed:
        """The newest backup, or of those from before the damage; be it good or not."""
        if not found:
            raise _failed("no-backup", f"{repository} has no backup of {self.declared.dataset}")
        kept = not_later(found, self.ran.ends_at) if self.ran.is_damaged_before else found
        if not kept:
            oldest = min(found, key=moment_of)
            told = (
                f"{repository} has no backup of {self.declared.dataset} from before {format_instant(self.ran.ends_at)}"
            )
            raise _failed(
                "no-backup", f"{told}: the oldest, {oldest.backup}, is of {format_instant(moment_of(oldest))}"
            )
        return newest(kept, dataset=self.declared.dataset)

    def _check_keys(self) -> None:
        """When the first recipient's key is lost, one that is given is left out, and there has to be another."""
        if self.scenario != "key-loss":
            return
        if len(self.declared.recipients) < 2:
            raise _failed("key-lost", "there is one recipient: with its key everything is lost")
        lost = self.declared.recipients[0]
        self.identities = [one for one in self.identities if str(one.to_public()) != lost]
        if not self.identities:
            raise InvalidError(
                "could not rehearse key-loss: the given key is that of the first recipient, the one that is lost",
                hint="--identity with the key of another recipient",
            )

    def _restore(self, record: Record) -> Data:
        manifest, repository = self.ran.manifest, self._repository
        assert manifest is not None and repository is not None
        target = restoring.observe_target(self.scratch.copy, kind=manifest.kind, replace=None)
        restored = restoring.Restored(manifest.backup, str(target.place))
        arrival = self._arrival(manifest, repository)
        steps = restoring.plan(manifest, target, arrival)
        one = restoring.Restore(repository, manifest, target, arrival, self.identities, unwatched, restored)
        one.carry_out(steps, record=Within(record, "restore"))
        self.ran.reaches_to = arrival.reaches_to
        self.ran.entries, self.ran.total_bytes = restored.entries, restored.total_bytes
        self._leg("restored")
        return {"entries": restored.entries, "total_bytes": restored.total_bytes}

    def _arrival(self, manifest: Manifest, repository: Repository) -> Arrival:
        """What makes a dataset of the backup again: as it was when it was damaged, where that was before the loss."""

        def arrive(at: datetime | None, recorded: Recorded = self.ran.recorded or UNASKED) -> Arrival:
            return arrival_of(
                manifest,
                repository=repository,
                identities=self.identities,
                at=at,
                occasion=self.occasion,
                recorded=recorded,
            )

        if not self.ran.is_damaged_before:
            return arrive(None)
        try:
            return arrive(self.ran.ends_at)
        except MissingError:  # what was shipped ends before the damage: as far as it is known to reach
            reach = arrive(None).reaches_to
            return arrive(reach) if reach > manifest.consistent_at else arrive(None, _NOTHING_THAT_FOLLOWS)

    def _ask(self) -> Data:
        manifest = self.ran.manifest
        assert manifest is not None and self._repository is not None
        stored = read_parts(self._repository, manifest, manifest.contents, moved=unwatched)
        with unsealed(stored, identities=self.identities) as plain, _written(self.scratch.contents) as write:
            while chunk := plain.read(1 << 20):
                write(chunk)
        folder, everywhere = self.scratch.folder, [*self.production.addresses, *self.addresses, *sockets_here()]
        addresses, as_user = tuple(dict.fromkeys(everywhere)), make_ready(self.declared.kind, self.scratch.copy)
        with listening(folder) as canaries:
            question = Question(
                kind=self.declared.kind,
                copy=str(self.scratch.copy),
                contents=str(self.scratch.contents),
                checks=self.declared.checks,
                canaries=canaries,
                addresses=addresses[:DRILL_ADDRESSES_MAX],
                outside=outside([folder.parent, self.declared.source or folder.parent, Path("/")]),
            )
            fence = self.fence(folder, cover=covered([*canaries, *addresses]), as_user=as_user)
            found, self.ran.walls = ask(question, fence=fence)
        end = self.clock.monotonic() - self._lost
        reached = {
            "opened": found.opened_before_end,
            "whole": found.whole_before_end,
            "answered": found.answered_before_end,
        }
        self.ran.legs |= {name: end - before for name, before in reached.items() if before is not None}
        self.ran.found = found
        wrong = [answer for answer in found.answers if not answer.passed]
        if wrong:
            raise _failed(_cause_of_answer(wrong[0].name), f"{wrong[0].name}: {wrong[0].told}")
        return {"answers": len(found.answers), "fence": self.ran.fence}

    def _measure(self) -> Data:
        self.ran.after = self.production.look()
        if self.ran.found is not None and self.ran.manifest is not None:
            heartbeat = self.declared.heartbeat
            ledger = read_ledger(Path(heartbeat.ledger), until=self.ran.lost_at) if heartbeat else None
            beats = [Beat(name, at, at) for name, at in self.ran.found.beats]
            assert self.ran.reaches_to is not None, "it was restored"
            self.ran.recovered = recovered_until(self.ran.ends_at, beats, self.ran.reaches_to, ledger)
            self._check_before(late_beats(self.ran.damaged_at, self.ran.lost_at, beats, ledger or ()))
        if self.ran.failure is None:
            self.ran.raw = raw_copy(self.scratch.copy, self.scratch.raw, monotonic=self.clock.monotonic)
        return {"legs": {name: round(seconds, 3) for name, seconds in self.ran.legs.items()}}

    def _check_before(self, late: Sequence[Beat]) -> None:
        """What was written after the damage must not have come back."""
        if late and self.ran.damaged_at is not None:
            told = f"{len(late)} heartbeats from after the damage at {format_instant(self.ran.damaged_at)} came back"
            raise _failed("past-the-damage", f"{told}, the first of {format_instant(late[0].at)}")

    def _remove(self) -> Data:
        self.scratch.remove()
        return {"removed": str(self.scratch.folder)}

    def _leg(self, name: str) -> None:
        self.ran.legs[name] = self.clock.monotonic() - self._lost

    def _failure(self, step: Step, error: AtpError | OSError) -> Failure:
        reason = str(error)
        if isinstance(error, OSError) or (isinstance(error, UnavailableError) and is_without_room(reason)):
            reason = self._with_disk(reason, error)
        if step.name in ("measure", "remove") or isinstance(error, OSError):
            return Failure("error", step.name, reason)
        if isinstance(error, UnauthorizedError):
            return Failure("fail", "wrong-key", reason)
        if isinstance(error, UnavailableError):
            return self._unavailable(step, reason)
        if isinstance(error, MissingError):
            return Failure("fail", "part-missing" if self.ran.listed else "repository-gone", reason)
        if isinstance(error, TamperedError) or (self.ran.listed is not None and isinstance(error, RefusedError)):
            return Failure("fail", "corrupted", reason)
        return Failure("error", step.name, reason)

    def _with_disk(self, reason: str, error: AtpError | OSError) -> str:
        """What the kind that is asked says of a full disk names none: it works in the scratch directory."""
        if isinstance(error, AtpError) and error.hint is not None:
            return reason
        full = error if isinstance(error, OSError) else OSError(errno.ENOSPC, reason)
        move = disk_move(full, self.scratch.folder, otherwise="edit estate.yaml: datasets.NAME.drill.place")
        return f"{reason} (hint: {move})"

    def _unavailable(self, step: Step, reason: str) -> Failure:
        """The repository or the scratch place: the repository is asked once more."""
        if step.name == "choose" or self._repository is None or self.ran.manifest is None:
            return Failure("fail", "repository-gone", reason)
        try:
            next(self._repository.read(self.ran.manifest.prefix + self.ran.manifest.contents[0].name), b"")
        except AtpError:
            return Failure("fail", "repository-gone", reason)
        return Failure("error", "scratch" if step.name == "restore" else step.name, reason)


def tools() -> dict[str, str]:
    """What the drill was made with."""
    return {
        "atp": __version__,
        "python": platform.python_version(),
        "sqlite": sqlite3.sqlite_version,
        "kernel": platform.release(),
    }


class _FailedError(AtpError):
    """Something is not as it has to be; carries the whole verdict."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.reason)
        self.failure = failure


def _failed(cause: str, reason: str) -> _FailedError:
    return _FailedError(Failure("fail", cause, reason))


def _cause_of(listed: Listed) -> str:
    if listed.manifest is None:
        return "manifest"
    return "part-missing" if listed.faults[0].endswith("is missing") else "truncated"


def _cause_of_answer(name: str) -> str:
    return {"opens": "does-not-open", "as backed up": "not-whole"}.get(name, "wrong-answer")


def _joined(reasons: Mapping[str, str]) -> str:
    return "; ".join(f"{name}: {reason}" for name, reason in reasons.items())


@contextmanager
def _written(path: Path) -> Iterator[Callable[[bytes], object]]:
    try:
        with open(path, "xb") as file:
            yield file.write
    except OSError as error:
        hint = disk_move(error, path, otherwise="edit estate.yaml: datasets.NAME.drill.place")
        raise UnavailableError(f"could not write {path}: {error.strerror}", hint=hint) from None
