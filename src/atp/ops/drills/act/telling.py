"""What a drill saw -> its figures and verdicts."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from atp.limits import DRILL_TOLD_CHARS_MAX
from atp.ops.backups.evidence import UNASKED, held_of
from atp.ops.drills.act.running import Ran, tools
from atp.ops.drills.declare import Declared
from atp.ops.drills.evidence.figures import Answer, Done, Leg, Objective, OsUser, Source, verdict_of
from atp.ops.drills.evidence.measure import (
    acknowledged,
    judge_content,
    judge_fence,
    judge_lock,
    judge_record,
    judge_rpo,
    judge_rto,
    judge_source,
)
from atp.ops.estate.evidence.proofs import Verdict
from atp.ops.secrecy import without_secrets

_RATIO_BYTES_MIN = 1 << 20


@dataclass(frozen=True, slots=True)
class Around:
    """What is known of a drill before it begins."""

    number: int
    act: str
    scenario: str
    place: str
    host: str
    user: str
    estate_sha256: str
    forced: str = ""
    swept: tuple[str, ...] = ()
    previous_sha256: str | None = None
    missed_slots: tuple[datetime, ...] = ()
    key_beside: bool | None = None
    os_user: OsUser | None = None


def figures(ran: Ran, declared: Declared, around: Around) -> Done:
    """Everything that is known of a drill that has ended, but the statement. Pure."""
    failed, reason = (ran.failure.verdict, without_secrets(ran.failure.reason)) if ran.failure else (None, "")
    answers = tuple(_clean(answer) for answer in ran.found.answers) if ran.found else ()
    source = Source(
        before_sha256=ran.before.sha256 if ran.before else None, after_sha256=ran.after.sha256 if ran.after else None
    )
    objectives = _judged(ran, declared, answers, source, failed=failed, reason=reason)
    achieved = {one.name: one.achieved_seconds for one in objectives}
    manifest = ran.manifest
    return Done(
        verdict=verdict_of(objectives),
        scenario=around.scenario,
        number=around.number,
        act=around.act,
        lost_at=ran.lost_at,
        damaged_at=ran.damaged_at,
        objectives=objectives,
        fence=ran.fence,
        place=around.place,
        host=around.host,
        user=around.user,
        estate_sha256=around.estate_sha256,
        backup=ran.listed.backup if ran.listed else None,
        repository=ran.repository,
        rpo_seconds=achieved["rpo"],
        rto_seconds=achieved["rto"],
        failed=tuple(answer.name for answer in answers if not answer.passed),
        cause=ran.failure.cause if ran.failure else "",
        reason=reason,
        legs=tuple(Leg(name, round(seconds, 3)) for name, seconds in ran.legs.items()),
        answers=answers,
        acknowledged=acknowledged(ran.recovered) if ran.recovered else None,
        source=source,
        manifest_sha256=ran.listed.manifest_sha256 if ran.listed else "",
        point_at=ran.reaches_to or (manifest.consistent_at if manifest else None),
        entries=ran.entries,
        total_bytes=ran.total_bytes,
        period_seconds=declared.period / timedelta(seconds=1),
        tools=tools(),
        forced=around.forced,
        swept=around.swept,
        previous_sha256=around.previous_sha256,
        missed_slots=around.missed_slots,
        lock=ran.lock,
        key_beside=around.key_beside,
        dataset=declared.dataset,
        classification=declared.classification,
        owner=declared.owner,
        os_user=around.os_user,
        recorded=held_of(ran.recorded) if ran.recorded else None,
        raw_copy_seconds=_rounded(ran.raw.seconds) if ran.raw else None,
        raw_copy_bytes=ran.raw.total_bytes if ran.raw else 0,
        ratio_to_raw_copy=_ratio(ran),
        argv=tuple(tuple(map(without_secrets, words)) for words in ran.found.argv) if ran.found else (),
    )


def _judged(
    ran: Ran, declared: Declared, answers: Sequence[Answer], source: Source, *, failed: Verdict | None, reason: str
) -> tuple[Objective, ...]:
    """Every objective; of lock and record there is one where something was promised, and asked."""
    answered = ran.legs.get("answered") if ran.failure is None else None
    recovered = ran.recovered if ran.failure is None else None
    is_replaced = ran.before is not None and ran.after is not None and ran.before.identity != ran.after.identity
    objectives: tuple[Objective, ...] = (
        judge_content(answers, failed=failed, reason=reason[:DRILL_TOLD_CHARS_MAX]),
        judge_rto(_rounded(answered), declared.rto, failed=failed),
        judge_rpo(recovered, declared.rpo, lost_at=ran.ends_at, is_damaged=ran.is_damaged_before),
        judge_fence(ran.fence),
        judge_source(source, is_replaced=is_replaced, is_walled=ran.walls is not None and ran.walls.files),
    )
    if ran.lock is not None and ran.lock.verdict != "not promised":
        objectives += (judge_lock(ran.lock),)
    if ran.recorded is not None and ran.recorded != UNASKED:
        objectives += (judge_record(is_recorded=ran.recorded.manifest_sha256 is not None),)
    return objectives


def _clean(answer: Answer) -> Answer:
    return Answer(without_secrets(answer.name), answer.passed, without_secrets(answer.told))


def _ratio(ran: Ran) -> float | None:
    """The restore's time for a byte over that of a plain copy; none of so little that its time is chance."""
    if ran.raw is None or min(ran.total_bytes, ran.raw.total_bytes) < _RATIO_BYTES_MIN or ran.raw.seconds == 0:
        return None
    restore = (ran.legs["restored"] - ran.legs["chosen"]) / ran.total_bytes
    return round(restore / (ran.raw.seconds / ran.raw.total_bytes), 2)


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 3)
