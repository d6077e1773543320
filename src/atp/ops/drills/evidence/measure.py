"""What was achieved, held against what was wanted. Pure: figures in, verdicts out; what is not known never passes."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NamedTuple

from atp.ops.backups.evidence import Held
from atp.ops.declaration.durations import about, format_duration, format_second
from atp.ops.drills.evidence.figures import Acknowledged, Answer, Done, LockAttempt, LockTried, Objective, Source
from atp.ops.estate.evidence.proofs import Verdict
from atp.ops.secrecy import without_secrets
from atp.ports.repository import Attempt

UNFENCED = "unfenced: own directory only"
NOT_ASKED = "unfenced: nothing was restored that could be asked"
FENCED = "fenced: own network, sockets of this machine covered, read-only outside of the scratch directory"
_WALLS = ("own network", "covered sockets", "read-only outside of the scratch directory")
_THROUGH_MAX = 3
_BEGINNING = timedelta(seconds=1)


@dataclass(frozen=True, slots=True)
class Walls:
    """The walls of the fence that were found standing when they were tried, and what came through the others."""

    network: bool = False
    sockets: bool = False
    files: bool = False
    reached: tuple[str, ...] = ()
    wrote: tuple[str, ...] = ()

    @property
    def told(self) -> str:
        """Exactly which walls stand."""
        if self.network and self.sockets and self.files:
            return FENCED
        stand = [name for name, stands in zip(_WALLS, (self.network, self.sockets, self.files), strict=True) if stands]
        through = [f"reached {address}" for address in self.reached] + [f"no wall before {path}" for path in self.wrote]
        if not stand:
            return UNFENCED
        return f"unfenced: {', '.join(stand)} alone; {', '.join(through[:_THROUGH_MAX]) or 'the others were not tried'}"


class Beat(NamedTuple):
    """One small write: its id, when it was made, and when the dataset had taken it (in a ledger; else the same)."""

    id: str
    at: datetime
    taken_at: datetime


@dataclass(frozen=True, slots=True)
class Recovered:
    """What a restored copy holds of heartbeats, oldest first; `reaches_to`: the backup says that all until then is in
    it. `ledger` is what was acknowledged until the loss, None when there is no ledger."""

    beats: Sequence[Beat]
    reaches_to: datetime
    ledger: Sequence[Beat] | None


def recovered_until(
    ends_at: datetime, beats: Sequence[Beat], reaches_to: datetime, ledger: Sequence[Beat] | None
) -> Recovered:
    """What came back, held against what was acknowledged until a moment. Pure."""
    kept = None if ledger is None else [beat for beat in ledger if beat.at <= ends_at]
    return Recovered(beats, reaches_to, kept)


def late_beats(
    damaged_at: datetime | None, lost_at: datetime, beats: Sequence[Beat], ledger: Sequence[Beat]
) -> list[Beat]:
    """The heartbeats in a copy that were written between the damage and the loss, by what it says itself and by the
    ledger: where it holds them it holds the damage too. Later ones tell of a clock that was set. Pure."""
    if damaged_at is None:
        return []
    late = {beat.id for beat in ledger if beat.at > damaged_at}
    return [beat for beat in beats if beat.at <= lost_at and (beat.at > damaged_at or beat.id in late)]


def damage_told(damaged_at: datetime | None) -> str:
    """When the data was damaged, behind the name of a scenario; nothing where it was not."""
    return f" of {format_second(damaged_at)}" if damaged_at else ""


def judge_rto(achieved_seconds: float | None, wanted: timedelta | None, *, failed: Verdict | None) -> Objective:
    """From the loss to the last declared answer. `failed` is what stopped the drill before that, if anything did."""
    wanted_seconds = wanted.total_seconds() if wanted is not None else None
    if achieved_seconds is None:
        told = "the data never came back, so there is no time that it took"
        return Objective(name="rto", verdict=failed or "insufficient", told=told, wanted_seconds=wanted_seconds)
    took = f"it took {achieved_seconds:.2f} s"
    if wanted is None or wanted_seconds is None:
        return _objective("rto", "insufficient", f"{took}, and the estate file sets no RTO", None, achieved_seconds)
    verdict: Verdict = "pass" if achieved_seconds <= wanted_seconds else "fail"
    return _objective("rto", verdict, f"{took}, wanted is {format_duration(wanted)}", wanted_seconds, achieved_seconds)


def acknowledged(found: Recovered) -> Acknowledged:
    """What became of the acknowledged writes. Those older than the oldest that the copy holds are let be: a dataset
    keeps only the newest. What was taken before the newest that the copy holds was made has to be in it; and so has,
    but for the second in which the copy began, what was taken before the moment of the copy."""
    ids = {beat.id for beat in found.beats}
    newest = found.beats[-1].at if found.beats else None
    copied_at = found.reaches_to - _BEGINNING
    until = max(newest, copied_at) if newest else copied_at
    ledger = [beat for beat in found.ledger or () if not found.beats or beat.at >= found.beats[0].at]
    missing = [beat for beat in ledger if beat.id not in ids]
    return Acknowledged(
        recovered=len(ledger) - len(missing),
        lost=sum(beat.taken_at > until for beat in missing),
        holes=sum(beat.taken_at <= until for beat in missing),
        newest_recovered_at=newest,
        newest_acknowledged_at=ledger[-1].at if ledger else None,
    )


def judge_rpo(
    found: Recovered | None, wanted: timedelta | None, *, lost_at: datetime, is_damaged: bool = False
) -> Objective:
    """From the newest recovered heartbeat to the loss, or to the damage that came before it.

    Without a heartbeat within the RPO it passes never: then it fails when the ledger has writes that are lost, and is
    insufficient when nobody knows whether there were any.
    """
    wanted_seconds = wanted.total_seconds() if wanted is not None else None

    def insufficient(told: str) -> Objective:
        return _objective("rpo", "insufficient", told, wanted_seconds, None)

    if found is None:
        return insufficient("nothing was restored that could be measured")
    sums = acknowledged(found)
    if sums.holes:
        told = f"{sums.holes} acknowledged writes are missing in the middle of what was restored"
        return _objective("rpo", "fail", told, wanted_seconds, None)
    if sums.newest_recovered_at is None:
        return insufficient("the copy holds no heartbeat: how far it reaches is not known")
    age = lost_at - sums.newest_recovered_at
    if age < timedelta():
        return insufficient("the copy holds a heartbeat from after the loss: a clock was set")
    if found.ledger is None:
        return insufficient("there is no ledger: what was acknowledged and lost is not known")
    old = "older than the damage" if is_damaged else "old"
    told = f"the newest recovered heartbeat is {about(age)} {old}, {sums.lost} acknowledged writes after it are lost"
    if wanted is None or wanted_seconds is None:
        return insufficient(f"{told}; the estate file sets no RPO")
    if age <= wanted:
        return _objective("rpo", "pass", f"{told}, wanted is {format_duration(wanted)}", wanted_seconds, _seconds(age))
    if sums.lost:
        return _objective("rpo", "fail", f"{told}, wanted is {format_duration(wanted)}", wanted_seconds, _seconds(age))
    return insufficient(f"{told}: no heartbeat was written for longer than the RPO of {format_duration(wanted)}")


def judge_content(answers: Sequence[Answer], *, failed: Verdict | None, reason: str) -> Objective:
    """Whether all of it came back, and answers as declared."""
    wrong = [answer for answer in answers if not answer.passed]
    if failed is not None:
        return Objective(name="content", verdict=failed, told=reason)
    if wrong:
        return Objective(name="content", verdict="fail", told=f"{wrong[0].name}: {wrong[0].told}")
    if not answers:
        return Objective(name="content", verdict="insufficient", told="nothing was asked")
    return Objective(name="content", verdict="pass", told=f"{len(answers)} of {len(answers)} answers are as declared")


def judge_fence(fence: str) -> Objective:
    """Whether what was restored could reach nothing else."""
    is_fenced = fence == FENCED
    return Objective(name="fence", verdict="pass" if is_fenced else "insufficient", told=fence)


def judge_record(*, is_recorded: bool) -> Objective:
    """Whether what was restored is the backup that was made, and not one that somebody put there."""
    if is_recorded:
        return Objective(
            name="record", verdict="pass", told="its manifest is the one that was told of when it was made"
        )
    told = "nobody who could be asked was told of this backup when it was made: whose it is, is not known"
    return Objective(name="record", verdict="insufficient", told=told)


def lock_tried(repository: str, attempts: Sequence[Attempt], *, promised: str, found: str) -> LockTried:
    """What came of the attempts on a lock, each with its answer, cleaned of what looks like a secret."""
    told = [LockAttempt(one.tried, not one.broken, without_secrets(one.answer)) for one in attempts]
    succeeded = tuple(one.broken for one in attempts if one.broken)
    if found == "none" and not succeeded:
        succeeded = ("it has no lock",)
    return LockTried(
        repository=repository,
        verdict="broken" if succeeded else "held",
        promised=promised,
        found=found,
        succeeded=succeeded,
        attempts=tuple(told),
    )


def judge_lock(tried: LockTried) -> Objective:
    """Whether the repository kept what it promised to keep."""
    if tried.verdict == "held":
        return Objective(name="lock", verdict="pass", told=f"{tried.repository} refused every change of what it keeps")
    if tried.verdict == "broken":
        told = f"{tried.repository} should lock ({tried.promised}): {'; '.join(tried.succeeded)}"
        return Objective(name="lock", verdict="fail", told=told)
    told = f"whether the lock of {tried.repository} holds was not tried: {tried.reason}"
    return Objective(name="lock", verdict="insufficient", told=told)


def judge_source(source: Source, *, is_replaced: bool, is_walled: bool = False) -> Objective:
    """Whether the living data is what it was before, or was changed by others; `is_walled`: what the drill started
    could write nowhere but into its own directory, which was tried."""
    if source.before_sha256 is None:
        told = "the living data is not on this machine, or cannot be read: nothing was compared"
        return Objective(name="source", verdict="insufficient", told=told)
    if source.after_sha256 is None or is_replaced:
        told = "the living data is gone, or is another file than before the drill"
        return Objective(name="source", verdict="fail", told=told)
    if source.before_sha256 == source.after_sha256:
        return Objective(name="source", verdict="pass", told="the living data is byte for byte what it was before")
    if is_walled:
        told = "the living data was written to meanwhile, not by this drill: for what it started everything but the"
        return Objective(name="source", verdict="pass", told=f"{told} scratch directory was read-only")
    told = "the living data was written to meanwhile: by whom, digests cannot tell"
    return Objective(name="source", verdict="insufficient", told=told)


def reach_told(sums: Acknowledged) -> str:
    """How far the copy reaches, for people."""
    newest = format_second(sums.newest_recovered_at) if sums.newest_recovered_at else "none"
    return f"{sums.recovered} recovered, {sums.lost} lost, {sums.holes} missing in the middle; newest {newest}"


def recorded_told(held: Held) -> str:
    """What of the backup was held against the operators' trail, for people."""
    parts = ["the manifest is the one in the trail" if held.manifest else "nothing tells whether the manifest is ours"]
    if held.objects:
        parts.append(f"so are {held.objects:,} objects that follow")
    if held.others:
        parts.append(f"{held.others:,} others were {'used' if held.others_used else 'left aside'}")
    return ", ".join(parts) + (f": {held.reason}" if held.reason and (held.others or not held.manifest) else "")


def account_told(done: Done) -> str:
    """Which user of the operating system ran it, and where, for people; empty in older records, which do not say."""
    return f"{done.os_user.name} (uid {done.os_user.uid}) on {done.host}" if done.os_user else ""


def _seconds(length: timedelta) -> float:
    return round(length.total_seconds(), 3)


def _objective(name: str, verdict: Verdict, told: str, wanted: float | None, achieved: float | None) -> Objective:
    return Objective(name=name, verdict=verdict, told=told, wanted_seconds=wanted, achieved_seconds=achieved)
