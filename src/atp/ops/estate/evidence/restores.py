"""What is proven of getting a dataset back: objectives set, drilled in time, by whom, and what was achieved."""

from collections.abc import Iterator, Sequence
from datetime import timedelta

from atp.ops.declaration.durations import about, format_duration, format_second
from atp.ops.estate.declare.values import Drill, Scenario
from atp.ops.estate.evidence.copies import Subject
from atp.ops.estate.evidence.finding import Colour, Finding
from atp.ops.estate.evidence.proofs import Drilled, scenarios_done

DRILL_GRACE = timedelta(days=14)
_VERDICT_COLOURS: dict[str, Colour] = {"pass": "green", "fail": "red", "error": "red", "insufficient": "amber"}


def objective_findings(subject: Subject) -> Iterator[Finding]:
    """Whether RPO, RTO and retention are set."""
    objectives: tuple[tuple[str, timedelta | None, Colour], ...] = (
        ("rpo", subject.dataset.rpo, "red"),
        ("rto", subject.dataset.rto, "red"),
        ("retention", subject.dataset.retention, "amber"),
    )
    for name, length, colour in objectives:
        if length is None:
            yield subject.finding(colour, name, f"no {name} is set", subject.edit(f"{name}: ..."))
        else:
            yield subject.finding("green", name, f"{name} is {format_duration(length)}")


def drill_findings(subject: Subject) -> Iterator[Finding]:
    """All answers about the drills of a dataset; one alone when none is declared."""
    drill = subject.dataset.drill
    if drill is None:
        told = "no drill is declared: that it can be restored is a hope"
        yield subject.finding("amber", "drill", told, subject.rehearse())
        return
    yield subject.finding("green", "drill", f"a restore is rehearsed every {format_duration(drill.period)}")
    newest = subject.proofs.drill
    run = subject.rehearse(next_scenario(subject.proofs.drills, drill))
    if newest is None:
        for check, what in (
            ("drilled", "whether it can be restored"),
            ("drill-rpo", "the RPO"),
            ("drill-rto", "the RTO"),
        ):
            yield subject.unknown(check, what if check == "drilled" else f"{what} that a restore achieves", run)
        yield subject.unknown("scenarios", "which scenarios were rehearsed", run)
        return
    yield _verdict(subject, newest)
    yield _punctuality(subject, drill, newest, run)
    yield _achieved(subject, "rpo", subject.dataset.rpo, newest.rpo, run)
    yield _achieved(subject, "rto", subject.dataset.rto, newest.rto, run)
    yield _rotation(subject, drill, run)


def _verdict(subject: Subject, newest: Drilled) -> Finding:
    again = f"find the cause (atp drill list {subject.name}), then {subject.rehearse(newest.scenario)}"
    colour = _VERDICT_COLOURS[newest.verdict]
    failed = f": {', '.join(newest.failed)}" if newest.failed else ""
    by = f" by {newest.by}" if newest.by else ""
    told = f"the drill of {format_second(newest.at)}{by} ({newest.scenario}) says {newest.verdict}{failed}"
    return subject.finding(colour, "drilled", told, "" if colour == "green" else again)


def _punctuality(subject: Subject, drill: Drill, newest: Drilled, run: str) -> Finding:
    passed = [one.at for one in subject.proofs.drills if one.verdict == "pass"]
    period = format_duration(drill.period)
    if not passed:
        return subject.finding("red", "drill-due", f"no drill ever passed, one is due every {period}", run)
    age = subject.now - passed[-1]
    told = f"a drill passed {about(age)} ago, one is due every {period}"
    if age <= drill.period:
        return subject.finding("green", "drill-due", told)
    return subject.finding("amber" if age <= drill.period + DRILL_GRACE else "red", "drill-due", told, run)


def _achieved(
    subject: Subject, objective: str, wanted: timedelta | None, achieved: timedelta | None, run: str
) -> Finding:
    check, name = f"drill-{objective}", objective.upper()
    if achieved is None:
        return subject.finding("grey", check, f"the last drill did not measure the {name}", run)
    if wanted is None:
        told = f"the last drill achieved an {name} of {about(achieved)}, and none is set"
        return subject.finding("amber", check, told, subject.edit(f"{objective}: ..."))
    told = f"the last drill achieved an {name} of {about(achieved)}, wanted is {format_duration(wanted)}"
    if achieved <= wanted:
        return subject.finding("green", check, told)
    return subject.finding("red", check, told, f"restore faster or {subject.edit(objective)}, then {run}")


def _rotation(subject: Subject, drill: Drill, run: str) -> Finding:
    done = scenarios_done(subject.proofs.drills)
    missing = [scenario for scenario in drill.scenarios if scenario not in done]
    told = f"{len(drill.scenarios) - len(missing)} of {len(drill.scenarios)} scenarios passed so far"
    if not missing:
        return subject.finding("green", "scenarios", told)
    return subject.finding("amber", "scenarios", f"{told}, not yet {', '.join(missing)}", run)


def next_scenario(drills: Sequence[Drilled], drill: Drill) -> Scenario:
    """The one that never passed, in the order of the file, or else the one that passed longest ago."""
    done = scenarios_done(drills)
    never = [scenario for scenario in drill.scenarios if scenario not in done]
    return never[0] if never else min(drill.scenarios, key=done.__getitem__)
