"""What the copies of a dataset are worth: fresh, isolated, immutable, encrypted, read back, enough of them.

Copies of what is erasable have to be unlocked and gone in time instead of immutable.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from atp.limits import ERASABLE_RETENTION_DAYS_MAX
from atp.ops.declaration.durations import about, format_duration, format_second
from atp.ops.estate.declare.values import Backup, Dataset, Estate, Repository
from atp.ops.estate.evidence.finding import Colour, Finding
from atp.ops.estate.evidence.proofs import Evidence, Proofs, Stored

_SECRETIVE = ("confidential", "restricted")
WANTED = {"copies": 3, "media": 2, "offsite": 1, "immutable": 1}
_LOCK_COLOURS: dict[str, Colour] = {"compliance": "green", "governance": "amber", "local": "amber", "none": "red"}
KEY_BESIDE = "key and backup on the source machine"
KEY_NOT_TOLD = "no drill told yet where the private key lies"
NOT_RECORDED = "nothing is recorded"
NOT_READ = "the operators' trail was not read"


@dataclass(frozen=True, slots=True)
class Subject:
    """A dataset with what is declared and what is known of it; `is_read` tells whether the trail was read at all,
    `is_key_here` that whoever judges holds a private key beside the data."""

    name: str
    dataset: Dataset
    estate: Estate
    proofs: Proofs
    is_read: bool
    now: datetime
    is_key_here: bool = False

    def repositories(self) -> Mapping[str, Repository]:
        """The repositories that copies go to, by name."""
        backup = self.dataset.backup
        names = (backup.repository, *backup.copies_in) if backup else ()
        return {name: self.estate.repositories[name] for name in names}

    def copies(self) -> Mapping[str, Stored]:
        """The newest copy in each of them; copies elsewhere do not count."""
        return {name: self.proofs.copies[name] for name in self.repositories() if name in self.proofs.copies}

    def finding(self, colour: Colour, check: str, sentence: str, next_move: str = "") -> Finding:
        """An answer about this dataset."""
        return Finding(colour, f"dataset {self.name}", check, sentence, next_move)

    def unknown(self, check: str, what: str, next_move: str) -> Finding:
        """Nothing is known of it: grey, whatever is declared."""
        reason = NOT_RECORDED if self.is_read else NOT_READ
        return self.finding("grey", check, f"{what} is unknown: {reason}", next_move)

    def edit(self, field: str) -> str:
        """The next move that changes the file."""
        return f"edit estate.yaml: datasets.{self.name}.{field}"

    def back_up(self) -> str:
        """The next move that brings the newest copy up to now."""
        is_followed = self.dataset.backup is not None and self.dataset.backup.continuous and bool(self.copies())
        return f"atp backup {'follow' if is_followed else 'run'} {self.name}"

    def read_back(self) -> str:
        """The next move that reads the copies back; where there is none yet, one is made first."""
        first = f"atp backup run {self.name} && " if self.is_read and not self.copies() else ""
        return f"{first}atp backup verify {self.name}"

    def rehearse(self, scenario: str = "") -> str:
        """The next move that drills, or declares how to."""
        if self.dataset.drill is None:
            return self.edit("drill: {place: ..., checks: [...]}")
        which = f" --scenario {scenario}" if scenario else ""
        where = f"on {self.dataset.drill.runs_on}: " if self.dataset.drill.runs_on else ""
        return f"{where}atp drill run {self.name}{which} --identity KEY.txt"

    def part_key(self) -> str:
        """The next move that drills where the key is, and the data is not; the key that lies beside it has to go."""
        if self.dataset.drill is not None and self.dataset.drill.runs_on:
            return f"take the key away from the data, then {self.rehearse()}"
        return f"take the key away from the data, then {self.edit('drill.runs_on: HOST, where the key is')}"


def subjects(estate: Estate, evidence: Evidence, now: datetime) -> Iterator[Subject]:
    """Every dataset with what is known of it."""
    is_read = evidence.read_at is not None
    for name, dataset in estate.datasets.items():
        is_key_here = name in evidence.keys_here
        yield Subject(name, dataset, estate, evidence.of(name), is_read, now, is_key_here)


def copy_findings(subject: Subject) -> Iterator[Finding]:
    """All answers about the copies of a dataset; one alone when it has none."""
    backup = subject.dataset.backup
    if backup is None:
        yield subject.finding("red", "backup", "it has no backup", subject.edit("backup: {repository: ..., ...}"))
        return
    yield subject.finding("green", "backup", f"it is copied to {backup.repository}")
    yield _freshness(subject)
    yield _isolation(subject)
    if subject.dataset.erasable:
        yield _unlocked(subject)
        yield _gone(subject)
    else:
        yield _immutability(subject, backup)
    yield _encryption(subject, backup)
    yield _read_back(subject, backup)
    yield _rule_of_copies(subject, backup)


def _freshness(subject: Subject) -> Finding:
    newest = max(subject.copies().values(), key=lambda copy: copy.point_at, default=None)
    rpo = subject.dataset.rpo
    run = f"atp backup run {subject.name}"
    if newest is None:
        return subject.unknown("fresh", "the age of the newest copy", run)
    age = subject.now - newest.point_at
    failed_at = subject.proofs.failed_backup_at
    told = f"the newest copy reaches to {about(age)} ago"
    if rpo is None:
        return subject.finding("amber", "fresh", f"{told}, and no RPO says whether that will do", subject.edit("rpo"))
    told = f"{told}, the RPO is {format_duration(rpo)}"
    if age > rpo:
        return subject.finding("red", "fresh", told, subject.back_up())
    if failed_at is not None and failed_at > newest.made_at:
        return subject.finding("amber", "fresh", f"{told}, and the last backup failed", run)
    return subject.finding("green", "fresh", told)


def _isolation(subject: Subject) -> Finding:
    lies_in = subject.dataset.environments or subject.estate.environments
    found = subject.repositories()
    isolated = [name for name, one in found.items() if set(lies_in) <= set(one.isolated_from)]
    verify = subject.read_back()
    if not isolated:
        where = ", ".join(lies_in)
        move = f"edit estate.yaml: repositories: add one that is isolated_from {where}, and name it in backup"
        return subject.finding("red", "isolation", f"no copy is isolated from {where}", move)
    answers = {name: subject.proofs.isolated[name] for name in isolated if name in subject.proofs.isolated}
    if any(answers.values()):
        proven = ", ".join(name for name, answer in answers.items() if answer)
        told = f"the keys of production could not change {proven} when they tried"
        if subject.dataset.erasable:
            told = f"{proven} shares no ground with it; without a lock, whoever has its keys can remove copies"
        return subject.finding("green", "isolated", told)
    if answers:
        told = f"the keys of production can change {', '.join(answers)}"
        return subject.finding("red", "isolated", told, "take that right from them, then " + verify)
    return subject.unknown("isolated", f"isolation of {', '.join(isolated)}", verify)


def _immutability(subject: Subject, backup: Backup) -> Finding:
    found = subject.repositories()
    locked = {name: one.lock for name, one in found.items() if one.lock != "none"}
    verify = subject.read_back()
    if not locked:
        move = f"edit estate.yaml: repositories.{backup.repository}.lock, after locking the store"
        return subject.finding("red", "lock", "no copy is locked: whoever takes the key removes them all", move)
    answers = {name: subject.proofs.immutable[name] for name in locked if name in subject.proofs.immutable}
    proven = [name for name, answer in answers.items() if answer]
    if proven:
        strongest = min(proven, key=lambda name: list(_LOCK_COLOURS).index(locked[name]))
        colour = _LOCK_COLOURS[locked[strongest]]
        told = f"removal from {strongest} was tried and refused; its lock is {locked[strongest]}"
        return subject.finding(
            colour, "immutable", told, "" if colour == "green" else "lock one store in compliance mode"
        )
    if answers:
        return subject.finding("red", "immutable", f"removal from {', '.join(answers)} was tried, and done", verify)
    return subject.unknown("immutable", f"whether the lock of {', '.join(locked)} holds", verify)


def _unlocked(subject: Subject) -> Finding:
    """That a lock is missing is as it must be: until it ends, destroying a key would erase nothing."""
    days = {name: one.locked_until for name, one in subject.proofs.listed.items()}
    locked = {name: day for name, day in days.items() if day is not None and day > subject.now}
    prune = f"atp backup prune {subject.name}"
    if locked:
        until = format_second(max(locked.values()))
        told = (
            f"copies in {', '.join(sorted(locked))} are locked until {until}: a key that is destroyed lives on in them"
        )
        move = "backup.repository: one that locks nothing by itself"
        return subject.finding("red", "unlocked", told, f"{subject.edit(move)}, and then {prune}")
    if missing := subject.repositories().keys() - days.keys():
        return subject.unknown("unlocked", f"whether copies in {', '.join(sorted(missing))} are locked", prune)
    return subject.finding("green", "unlocked", "no copy is locked, as it must be")


def _gone(subject: Subject) -> Finding:
    """Whether every copy went in time, as far as is known since somebody looked."""
    longest = subject.dataset.retention or timedelta(days=ERASABLE_RETENTION_DAYS_MAX)
    listed, prune = subject.proofs.listed, f"atp backup prune {subject.name}"
    ages = {name: subject.now - one.oldest_at for name, one in listed.items() if one.oldest_at is not None}
    if late := {name: age for name, age in ages.items() if age > longest}:
        told = f"a copy in {', '.join(sorted(late))} is {about(max(late.values()))} old: each has to be gone after"
        if unknown := sorted(late.keys() - subject.estate.repositories.keys()):
            prune = f"edit estate.yaml: repositories: put {', '.join(unknown)} back, and then {prune}"
        return subject.finding("red", "gone", f"{told} {format_duration(longest)}", prune)
    if missing := subject.repositories().keys() - listed.keys():
        return subject.unknown("gone", f"how old copies in {', '.join(sorted(missing))} are", prune)
    oldest = f"the oldest copy is {about(max(ages.values()))} old" if ages else "there is no copy"
    return subject.finding("green", "gone", f"{oldest}, each is gone after {format_duration(longest)}")


def _encryption(subject: Subject, backup: Backup) -> Finding:
    kind, copies, run = subject.dataset.classification, subject.copies(), f"atp backup run {subject.name}"
    weak: Colour = "red" if kind in _SECRETIVE else "amber"
    if not backup.recipients:
        told = f"its copies are encrypted to nobody, and it is {kind}"
        return subject.finding(weak, "recipients", told, subject.edit("backup.recipients: [age1...]"))
    if bare := [name for name, copy in copies.items() if copy.encrypted is False]:
        return subject.finding(weak, "encrypted", f"the newest copy in {', '.join(bare)} is not encrypted", run)
    if not copies or any(copy.encrypted is None for copy in copies.values()):
        return subject.unknown("encrypted", "whether the newest copies are encrypted", run)
    told, drill = "the newest copies are encrypted", subject.proofs.drill
    if subject.is_key_here:
        return subject.finding("amber", "encrypted", f"{told}; {KEY_BESIDE}, as the server has it", subject.part_key())
    if drill is None or drill.key_beside is None:
        return subject.finding("amber", "encrypted", f"{told}; {KEY_NOT_TOLD}", subject.rehearse())
    if drill.key_beside:
        told = f"{told}; {KEY_BESIDE}, {drill.host}"
        return subject.finding("amber", "encrypted", told, subject.part_key())
    return subject.finding("green", "encrypted", f"{told}; the private key is apart from the data, on {drill.host}")


def _read_back(subject: Subject, backup: Backup) -> Finding:
    read_at, failed_at = subject.proofs.read_back_at, subject.proofs.failed_read_back_at
    verify = subject.read_back()
    if failed_at is not None and (read_at is None or failed_at > read_at):
        ago = about(subject.now - failed_at)
        return subject.finding(
            "red", "verified", f"a copy was read back {ago} ago, and is not what was written", verify
        )
    if read_at is None:
        return subject.unknown("verified", "whether a copy can be read back", verify)
    age, period = subject.now - read_at, backup.verify_every
    told = f"a copy was read back whole {about(age)} ago, due every {format_duration(period)}"
    return subject.finding("green" if age <= period else "amber", "verified", told, "" if age <= period else verify)


def _rule_of_copies(subject: Subject, backup: Backup) -> Finding:
    """3-2-1-1-0: three copies, the living data among them, on two media, one elsewhere, one immutable, no errors. Of
    what is erasable none is immutable."""
    wanted = WANTED | ({"immutable": 0} if subject.dataset.erasable else {})
    proofs, found, copies = subject.proofs, subject.repositories(), subject.copies()
    drill = proofs.drill
    if not copies or drill is None:
        missing = "how many copies there are" if not copies else "whether the copies can be restored"
        return subject.unknown("3-2-1-1-0", missing, subject.rehearse() if copies else subject.back_up())
    reach = max(2 * backup.schedule, subject.dataset.rpo or backup.schedule)
    held = {name: found[name] for name, copy in copies.items() if subject.now - copy.point_at <= reach}
    counted = {
        "copies": 1 + len(held),
        "media": len({"directory", *(one.kind for one in held.values())}),  # the living data is on a disk
        "offsite": sum(one.offsite for one in held.values()),
        "immutable": sum(proofs.immutable.get(name, False) for name in held),
    }
    errors = 0 if drill.verdict == "pass" else max(1, len(drill.failed))
    counted["immutable"] *= not subject.dataset.erasable
    told = f"{'-'.join(map(str, counted.values()))}-{errors} of {'-'.join(map(str, wanted.values()))}-0"
    short = [name for name, least in wanted.items() if counted[name] < least] + ["errors"] * (errors > 0)
    if not short:
        return subject.finding("green", "3-2-1-1-0", told)
    return subject.finding("amber", "3-2-1-1-0", f"{told}: {', '.join(short)} fall short", _mend(subject, short))


def _mend(subject: Subject, short: list[str]) -> str:
    """What brings the first number that falls short up: an act where the file allows it, or else an edit."""
    stores = subject.repositories().values()
    if short[0] == "copies" and 1 + len(stores) >= WANTED["copies"]:
        return f"atp backup run {subject.name}"
    if short[0] == "immutable" and any(store.lock != "none" for store in stores):
        return subject.read_back()
    return subject.rehearse() if short[0] == "errors" else subject.edit("backup.copies_in")
