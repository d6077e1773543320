"""What falls when something falls, what is cut, and what it takes to come back."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from difflib import get_close_matches

from atp.errors import MissingError
from atp.ops.estate.declare.hours import length_of_week
from atp.ops.estate.declare.values import Estate, Flow

TREE_LINES_MAX = 500


@dataclass(frozen=True, slots=True)
class Fallen:
    """A thing that falls, and through which one; `steps` is 0 for the thing that falls first."""

    name: str
    kind: str
    steps: int
    through: str
    criticality: str
    owner: str


@dataclass(frozen=True, slots=True)
class Objective:
    """A dataset that is concerned: it `falls`, or it is `needed` to come back."""

    dataset: str
    role: str
    rpo: timedelta | None
    rto: timedelta | None


@dataclass(frozen=True, slots=True)
class Impact:
    """The consequences of one failure. `revenue_week` is the revenue hours of a week that are at stake, if any.

    `cycles` are sets of things that depend on each other, so that none of them comes back first by itself.
    """

    name: str
    fallen: tuple[Fallen, ...]
    paths: Mapping[str, tuple[str, ...]]
    flows: tuple[Flow, ...]
    objectives: tuple[Objective, ...]
    cycles: tuple[tuple[str, ...], ...]
    in_revenue_hours: tuple[str, ...]
    revenue_week: timedelta | None

    @property
    def names(self) -> tuple[str, ...]:
        """All that falls, the first one included."""
        return tuple(one.name for one in self.fallen)


def impact(estate: Estate, name: str) -> Impact:
    """What falls with a service or dataset. MissingError, with the nearest name, when there is none of that name.

    Each dependency is looked at once for each thing that falls: n x m steps at most.
    """
    if name not in estate.things():
        close = get_close_matches(name, estate.things(), n=1)
        hint = f"did you mean {close[0]}?" if close else "atp estate show lists them"
        raise MissingError(f"could not find {name}: the estate has no such service or dataset", hint=hint)
    dependants = _dependants(estate)
    through = _reached(name, lambda one: dependants.get(one, ()))
    fallen = tuple(_fallen(estate, one, *found) for one, found in through.items())
    waiting = tuple(one for one in through if one in estate.services and estate.services[one].in_revenue_hours)
    hours = estate.revenue_hours
    return Impact(
        name=name,
        fallen=fallen,
        paths={path: steps for path, steps in estate.critical_paths.items() if through.keys() & set(steps)},
        flows=tuple(flow for flow in estate.data_flows if {flow.source, flow.to} & through.keys()),
        objectives=tuple(_objectives(estate, name, through)),
        cycles=tuple(_cycles(estate, dependants, through)),
        in_revenue_hours=waiting,
        revenue_week=length_of_week(hours) if hours and waiting else None,
    )


def mermaid(estate: Estate, found: Impact) -> str:
    """The graph as a Mermaid flow chart: an arrow leads from what falls to what it takes along."""
    numbers = {name: f"n{at}" for at, name in enumerate(found.names)}
    lines = ["flowchart LR"]
    for one in found.fallen:
        shape = ("[(", ")]") if one.name in estate.datasets else ("[", "]")
        lines.append(f'  {numbers[one.name]}{shape[0]}"{one.name}"{shape[1]}')
    for name in found.names:
        lines += [f"  {numbers[below]} --> {numbers[name]}" for below in estate.needs(name) if below in numbers]
    first = numbers[found.name]
    return "\n".join([*lines, f"  style {first} stroke-width:3px"])


def tree(estate: Estate, found: Impact) -> str:
    """The graph as text, what falls first at the root; what stands twice is shown whole once. At most 500 lines."""
    dependants = _dependants(estate)
    kinds = {one.name: f"{one.name} ({', '.join(filter(None, (one.kind, one.criticality)))})" for one in found.fallen}
    lines, seen = list[str](), set[str]()
    waiting: list[tuple[str, str, str]] = [(found.name, "", "")]
    while waiting and len(lines) < TREE_LINES_MAX:
        name, head, indent = waiting.pop()
        below = dependants.get(name, [])
        is_repeated = name in seen and bool(below)
        seen.add(name)
        lines.append(f"{head}{kinds[name]}{' ...' if is_repeated else ''}")
        if not is_repeated:
            waiting += reversed([_branch(one, indent, is_last=one == below[-1]) for one in below])
    return "\n".join(lines + ["and more"] * bool(waiting))


def _branch(name: str, indent: str, *, is_last: bool) -> tuple[str, str, str]:
    """(name, what stands before it, what stands before all below it)."""
    return name, indent + ("└─ " if is_last else "├─ "), indent + ("   " if is_last else "│  ")


def _dependants(estate: Estate) -> dict[str, list[str]]:
    """Thing -> what depends on it directly, in the order of the file."""
    found = dict[str, list[str]]()
    for name in estate.things():
        for below in estate.needs(name):
            found.setdefault(below, []).append(name)
    return found


def _reached(start: str, following: Callable[[str], Iterable[str]]) -> dict[str, tuple[int, str]]:
    """All that is reached from `start`, itself first, nearest next: (steps, the thing before it)."""
    found, waiting = {start: (0, "")}, deque([start])
    while waiting:
        name = waiting.popleft()
        for one in following(name):
            if one not in found:
                found[one] = (found[name][0] + 1, name)
                waiting.append(one)
    return found


def _fallen(estate: Estate, name: str, steps: int, through: str) -> Fallen:
    service = estate.services.get(name)
    owner = (service or estate.datasets[name]).owner or ""
    return Fallen(name, estate.kind_of(name), steps, through, service.criticality if service else "", owner)


def _objectives(estate: Estate, name: str, fallen: Mapping[str, object]) -> Iterator[Objective]:
    needed = _reached(name, estate.needs)
    for dataset, declared in estate.datasets.items():
        if dataset in fallen or dataset in needed:
            role = "falls" if dataset in fallen else "needed"
            yield Objective(dataset, role, declared.rpo, declared.rto)


def _cycles(
    estate: Estate, dependants: Mapping[str, Sequence[str]], fallen: Mapping[str, object]
) -> Iterator[tuple[str, ...]]:
    seen = set[str]()
    for name in _without_ends(fallen, dependants):
        if name in seen:
            continue
        below, above = _reached(name, estate.needs), _reached(name, lambda one: dependants.get(one, ()))
        together = tuple(one for one in estate.things() if one in below and one in above)
        seen.update(together)
        if len(together) > 1:
            yield together


def _without_ends(names: Iterable[str], dependants: Mapping[str, Sequence[str]]) -> list[str]:
    """The names from which a cycle can be reached: those that nothing depends on are taken off, again and again."""
    counts = {name: len(dependants.get(name, ())) for name in names}
    below = dict[str, list[str]]()
    for name in counts:
        for one in dependants.get(name, ()):
            below.setdefault(one, []).append(name)
    ends = [name for name, count in counts.items() if not count]
    while ends:
        name = ends.pop()
        del counts[name]
        for one in below.get(name, ()):
            counts[one] -= 1
            if not counts[one]:
                ends.append(one)
    return list(counts)
