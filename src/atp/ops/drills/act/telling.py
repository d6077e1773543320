"""What a drill saw -> its figures and verdicts."""

from dataclasses import dataclass
from datetime import timedelta

from atp.limits import DRILL_TOLD_CHARS_MAX
from atp.ops.drills.act.running import Ran, tools
from atp.ops.drills.declare import Declared
from atp.ops.drills.evidence.figures import Answer, Done, Leg, Source, verdict_of
from atp.ops.drills.evidence.measure import (
    acknowledged,
    judge_content,
    judge_fence,
    judge_rpo,
    judge_rto,
    judge_source,
)
from atp.ops.secrecy import without_secrets


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


def figures(ran: Ran, declared: Declared, around: Around) -> Done:
    """Everything that is known of a drill that has ended, but the statement. Pure."""
    failed, reason = (ran.failure.verdict, without_secrets(ran.failure.reason)) if ran.failure else (None, "")
    answers = tuple(_clean(answer) for answer in ran.found.answers) if ran.found else ()
    answered = ran.legs.get("answered") if ran.failure is None else None
    rto = judge_rto(_rounded(answered), declared.rto, failed=failed)
    rpo = judge_rpo(ran.recovered if ran.failure is None else None, declared.rpo, lost_at=ran.lost_at)
    source = Source(
        before_sha256=ran.before.sha256 if ran.before else None, after_sha256=ran.after.sha256 if ran.after else None
    )
    is_replaced = ran.before is not None and ran.after is not None and ran.before.identity != ran.after.identity
    objectives = (
        judge_content(answers, failed=failed, reason=reason[:DRILL_TOLD_CHARS_MAX]),
        rto,
        rpo,
        judge_fence(ran.fence),
        judge_source(source, is_replaced=is_replaced, is_walled=ran.walls is not None and ran.walls.files),
    )
    manifest = ran.manifest
    return Done(
        verdict=verdict_of(objectives),
        scenario=around.scenario,
        number=around.number,
        act=around.act,
        lost_at=ran.lost_at,
        objectives=objectives,
        fence=ran.fence,
        place=around.place,
        host=around.host,
        user=around.user,
        estate_sha256=around.estate_sha256,
        backup=ran.listed.backup if ran.listed else None,
        repository=ran.repository,
        rpo_seconds=rpo.achieved_seconds,
        rto_seconds=rto.achieved_seconds,
        failed=tuple(answer.name for answer in answers if not answer.passed),
        cause=ran.failure.cause if ran.failure else "",
        reason=reason,
        legs=tuple(Leg(name, round(seconds, 3)) for name, seconds in ran.legs.items()),
        answers=answers,
        acknowledged=acknowledged(ran.recovered) if ran.recovered else None,
        source=source,
        manifest_sha256=ran.listed.manifest_sha256 if ran.listed else "",
        point_at=manifest.consistent_at if manifest else None,
        entries=ran.entries,
        total_bytes=ran.total_bytes,
        period_seconds=declared.period / timedelta(seconds=1),
        tools=tools(),
        forced=around.forced,
        swept=around.swept,
    )


def _clean(answer: Answer) -> Answer:
    return Answer(without_secrets(answer.name), answer.passed, without_secrets(answer.told))


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 3)
