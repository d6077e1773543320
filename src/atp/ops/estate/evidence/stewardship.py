"""Who answers for what, and what is known to be weak: owners, contacts, services, paths, flows, hard failures."""

from collections.abc import Iterator
from datetime import datetime, timedelta

from atp.ops.declaration.durations import about, format_instant
from atp.ops.estate.declare.values import Estate, HardFailure, Service
from atp.ops.estate.evidence.finding import Finding

CONTACT_FRESH = timedelta(days=90)
_WATCHED = ("critical", "high")


def stewardship_findings(estate: Estate, now: datetime) -> Iterator[Finding]:
    """All answers that need no evidence but the file and the clock."""
    for section, things in (("services", estate.services), ("datasets", estate.datasets)):
        for name, thing in things.items():
            yield _ownership(f"{section.removesuffix('s')} {name}", thing.owner, f"{section}.{name}.owner")
    for name, service in estate.services.items():
        if service.criticality in _WATCHED:
            yield _health(name, service)
    for role in estate.contacts:
        yield _contact(estate, role, now)
    yield _paths(estate)
    yield _hours(estate)
    yield from _flows(estate)
    for name, failure in estate.hard_failures.items():
        yield _hard_failure(name, failure, now)


def _ownership(subject: str, owner: str | None, field: str) -> Finding:
    if owner is None:
        return Finding("amber", subject, "owner", "nobody answers for it", f"edit estate.yaml: {field}: ROLE")
    return Finding("green", subject, "owner", f"{owner} answers for it")


def _health(name: str, service: Service) -> Finding:
    subject = f"service {name}"
    if service.health is None:
        told = f"it is {service.criticality}, and nothing says whether it is well"
        return Finding("amber", subject, "health", told, f"edit estate.yaml: services.{name}.health: ADDRESS")
    return Finding("green", subject, "health", f"{service.health} says whether it is well")


def _contact(estate: Estate, role: str, now: datetime) -> Finding:
    confirmed_at, subject = estate.contacts[role].confirmed_at, f"contact {role}"
    move = f"try the channel, then edit estate.yaml: contacts.{role}.confirmed_at: {now:%Y-%m-%d}"
    if confirmed_at is None:
        return Finding("amber", subject, "contact", "nobody ever confirmed that the channel works", move)
    if confirmed_at > now:
        told = f"it is said to be confirmed on {format_instant(confirmed_at)}, which is yet to come"
        return Finding("amber", subject, "contact", told, move)
    age = now - confirmed_at
    told = f"the channel was confirmed {about(age)} ago, due every {about(CONTACT_FRESH)}"
    return Finding(
        "green" if age <= CONTACT_FRESH else "amber", subject, "contact", told, "" if age <= CONTACT_FRESH else move
    )


def _paths(estate: Estate) -> Finding:
    if not estate.critical_paths:
        told, move = "no critical path is declared", "edit estate.yaml: critical_paths: {NAME: [SERVICE, ...]}"
        return Finding("amber", "estate", "critical-paths", told, move)
    return Finding("green", "estate", "critical-paths", f"{len(estate.critical_paths)} critical paths are declared")


def _hours(estate: Estate) -> Finding:
    waiting = [name for name, service in estate.services.items() if service.in_revenue_hours]
    if estate.revenue_hours is None:
        told = f"no revenue hours are declared, {len(waiting)} services run in them"
        return Finding("amber", "estate", "revenue-hours", told, "edit estate.yaml: revenue_hours: {zone: ..., ...}")
    if not waiting:
        told = "revenue hours are declared, and no service runs in them"
        move = "edit estate.yaml: services.NAME.in_revenue_hours: true"
        return Finding("amber", "estate", "revenue-hours", told, move)
    return Finding("green", "estate", "revenue-hours", f"{len(waiting)} services have to run in the revenue hours")


def _flows(estate: Estate) -> Iterator[Finding]:
    for at, flow in enumerate(estate.data_flows):
        subject = f"flow {flow.source} -> {flow.to}"
        ends = [estate.datasets[end] for end in (flow.source, flow.to) if end in estate.datasets]
        if flow.audited_in is not None:
            yield Finding("green", subject, "audited", f"{flow.audited_in} records {flow.what}")
        elif all(end.classification == "public" for end in ends) and ends:
            yield Finding("green", subject, "audited", f"{flow.what} are public, no trail has to record them")
        else:
            move = f"edit estate.yaml: data_flows[{at}].audited_in: TRAIL"
            yield Finding("amber", subject, "audited", f"no trail records {flow.what}", move)


def _hard_failure(name: str, failure: HardFailure, now: datetime) -> Finding:
    subject, check = f"hard failure {name}", "hard-failure"
    acceptance = failure.acceptance
    if failure.mitigation is not None:
        return Finding("green", subject, check, f"mitigated: {failure.mitigation}")
    if acceptance is None:
        move = f"edit estate.yaml: hard_failures.{name}.mitigation: ..., or an acceptance"
        return Finding("red", subject, check, "neither mitigated nor accepted", move)
    signed = f"{acceptance.by} accepted it on {format_instant(acceptance.at)} until {format_instant(acceptance.until)}"
    move = f"decide again, then edit estate.yaml: hard_failures.{name}.acceptance"
    if not acceptance.at <= now:
        return Finding("red", subject, check, f"{signed}, which is yet to come", move)
    if acceptance.until <= now:
        return Finding("red", subject, check, f"{signed}: that has expired", move)
    return Finding("green", subject, check, signed)
