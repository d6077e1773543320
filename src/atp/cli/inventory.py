"""An estate and its impacts -> what is printed of them."""

from collections.abc import Iterator
from datetime import datetime, timedelta

from atp.cli.output import fields, safe, table
from atp.ops.declaration.durations import format_duration
from atp.ops.estate.declare.hours import is_open
from atp.ops.estate.declare.values import Estate
from atp.ops.estate.evidence.impact import Impact, tree
from atp.ops.estate.evidence.impact import impact as impact_of


def inventory(estate: Estate) -> str:
    """What there is, in tables."""
    services = [
        (name, one.criticality, one.owner or "", ", ".join(one.depends_on)) for name, one in estate.services.items()
    ]
    datasets = [
        (
            name,
            one.kind,
            *map(_length, (one.rpo, one.rto)),
            one.owner or "",
            one.backup.repository if one.backup else "",
        )
        for name, one in estate.datasets.items()
    ]
    stores = [(name, one.lock, ", ".join(one.isolated_from), one.place) for name, one in estate.repositories.items()]
    paths = [(name, " -> ".join(steps)) for name, steps in estate.critical_paths.items()]
    parts = [
        fields([("estate", estate.name), ("environments", ", ".join(estate.environments))]),
        table(("service", "criticality", "owner", "depends on"), services),
        table(("dataset", "kind", "rpo", "rto", "owner", "repository"), datasets),
        table(("repository", "lock", "isolated from", "place"), stores),
        table(("contact", "channel"), [(role, one.channel) for role, one in estate.contacts.items()]),
        table(("critical path", "steps"), paths),
        table(("hard failure", "what happens"), [(name, one.what) for name, one in estate.hard_failures.items()]),
    ]
    return "\n\n".join(part for part in parts if part)


def impact_text(estate: Estate, found: Impact, now: datetime) -> str:
    """An impact for people: a tree, a table, and what is cut."""
    return "\n".join(_impact_lines(estate, found, now))


def _impact_lines(estate: Estate, found: Impact, now: datetime) -> Iterator[str]:
    yield tree(estate, found)
    yield ""
    rows = [(str(one.steps), one.name, one.kind, one.criticality, one.owner, one.through) for one in found.fallen]
    yield table(("step", "falls", "kind", "criticality", "owner", "through"), rows)
    yield ""
    for path, steps in found.paths.items():
        cut = " -> ".join(f"[{step}]" if step in found.names else step for step in steps)
        yield f"cuts the critical path {path}: {cut}"
    for flow in found.flows:
        yield safe(f"cuts the flow {flow.source} -> {flow.to}: {flow.what}")
    for cycle in found.cycles:
        yield f"cycle: {', '.join(cycle)} depend on each other: none of them comes back first by itself"
    if found.in_revenue_hours:
        yield _at_stake(estate, found, now)
    if found.objectives:
        yield ""
        lengths = [(one.dataset, one.role, _length(one.rpo), _length(one.rto)) for one in found.objectives]
        yield table(("dataset", "role", "rpo", "rto"), lengths)


def _at_stake(estate: Estate, found: Impact, now: datetime) -> str:
    hours, waiting = estate.revenue_hours, ", ".join(found.in_revenue_hours)
    if hours is None or found.revenue_week is None:
        return f"revenue: {waiting} have to run in revenue hours, which are not declared"
    week = found.revenue_week.total_seconds() / 3600
    state = "it is one of them now" if is_open(hours, now) else "it is none of them now"
    return f"revenue: {week:g} hours of a week need {waiting}; {state}"


def forest(estate: Estate) -> str:
    """Every thing that depends on nothing, and what falls with it; of things in a cycle the first stands for all."""
    roots = [name for name in estate.things() if not estate.needs(name)]
    trees, seen = list[str](), set[str]()
    for name in [*roots, *estate.things()]:
        if name not in seen:
            found = impact_of(estate, name)
            seen.update(found.names)
            trees.append(tree(estate, found))
    return "\n\n".join(trees)


def _length(length: timedelta | None) -> str:
    return format_duration(length) if length else ""
