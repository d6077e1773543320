"""What the estate file declares of one dataset's drills, what each scenario takes away, and the steps of a drill."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from msgspec.structs import replace

from atp.errors import ForbiddenError, InvalidError
from atp.ops.backups.act.step import Step
from atp.ops.backups.declare import Declared as Backup
from atp.ops.backups.declare import declared_backup
from atp.ops.backups.format.manifest import Kind
from atp.ops.declaration.durations import format_duration, format_instant
from atp.ops.estate.declare.hosts import is_host
from atp.ops.estate.declare.hours import is_open
from atp.ops.estate.declare.values import Check, Estate, Heartbeat, Repository, Scenario, Source

LOST: Mapping[Scenario, str] = {
    "deletion": "the living data was deleted",
    "corruption": "the living data was overwritten with nonsense",
    "ransomware": "the living data was encrypted, with the keys of this machine: only copies that are locked count",
    "host-loss": "this machine is gone: only copies that stand elsewhere count",
    "key-loss": "the first private key is gone: another one has to open the copy",
    "region-loss": "the building is gone: only copies that are off site count",
}
RECOVERY = ("declare", "choose", "restore", "ask")
"""The steps that the clock of the RTO runs over; when one fails, the others of them are left out."""
EVIDENCE = "evidence"
_ANY_MOMENT: tuple[Kind, ...] = ("postgresql", "trail")
"""Kinds that can be restored as they were at a moment between two copies."""


@dataclass(frozen=True, slots=True)
class Declared:
    """One dataset's drills. `repositories` are in the order in which copies are looked for; None: nobody said so."""

    dataset: str
    kind: Kind
    source: Path | None
    place: Path
    checks: tuple[Check, ...]
    scenarios: tuple[Scenario, ...]
    period: timedelta
    rpo: timedelta | None
    rto: timedelta | None
    heartbeat: Heartbeat | None
    repositories: Mapping[str, Repository]
    recipients: tuple[str, ...]
    address: Source | None = None
    classification: str = ""
    owner: str = ""
    noticed_after: timedelta = timedelta()
    runs_on: str = ""

    @property
    def path(self) -> Path:
        """The path of what has one."""
        assert self.source is not None, "it is a path, by its kind"
        return self.source


def declared_drill(estate: Estate, dataset: str) -> Declared:
    """MissingError when the file has no such dataset; InvalidError when it declares no drill that can be run. Pure."""
    backup = declared_backup(estate, dataset)
    found = estate.datasets[dataset]
    if found.drill is None:
        raise InvalidError(
            f"could not drill {dataset!r}: it declares no drill",
            hint=f"edit estate.yaml: datasets.{dataset}.drill: {{place: ..., checks: [...]}}",
        )
    return Declared(
        dataset=dataset,
        kind=backup.kind,
        source=backup.source,
        place=Path(found.drill.place),
        checks=found.drill.checks,
        scenarios=found.drill.scenarios,
        period=found.drill.period,
        rpo=found.rpo,
        rto=found.rto,
        heartbeat=found.drill.heartbeat,
        repositories=_repositories(estate, backup),
        recipients=backup.recipients,
        address=backup.address,
        classification=found.classification,
        owner=found.owner or "",
        noticed_after=found.drill.noticed_after or timedelta(),
        runs_on=found.drill.runs_on or "",
    )


def _repositories(estate: Estate, backup: Backup) -> dict[str, Repository]:
    """By name; for copies that are never locked, whatever it promises others, a repository locks nothing."""
    found = {name: estate.repositories[name] for name in (backup.repository, *backup.copies_in)}
    if backup.is_erasable:
        return {name: replace(one, lock="none") for name, one in found.items()}
    return found


def check_hours(estate: Estate, now: datetime, *, dataset: str, is_forced: bool) -> None:
    """ForbiddenError in revenue hours, unless somebody forces it. Pure."""
    if estate.revenue_hours is not None and is_open(estate.revenue_hours, now) and not is_forced:
        hours = estate.revenue_hours
        raise ForbiddenError(
            f"could not drill {dataset!r}: these are revenue hours, until {hours.closes} in {hours.zone}",
            hint="wait, or --force --reason TEXT",
        )


def check_machine(declared: Declared, here: str, *, is_forced: bool) -> None:
    """ForbiddenError on another machine than the one that the drills are declared to run on, unless somebody forces
    it. Pure."""
    if declared.runs_on and not is_host(declared.runs_on, here) and not is_forced:
        raise ForbiddenError(
            f"could not drill {declared.dataset!r} on {here}: its drills run on {declared.runs_on}",
            hint=f"on {declared.runs_on}: atp drill run {declared.dataset}; or here, --force --reason TEXT",
        )


def check_apart(declared: Declared) -> None:
    """InvalidError when the scratch place overlaps the living data, a repository or the ledger, links followed."""
    apart = {"the living data": declared.source} if declared.source is not None else {}
    apart |= {f"repository {n}": Path(r.place) for n, r in declared.repositories.items() if r.kind == "directory"}
    if declared.heartbeat is not None:
        apart["the ledger"] = Path(declared.heartbeat.ledger)
    scratch = declared.place.resolve()
    for what, path in apart.items():
        place = path.resolve()
        if scratch == place or scratch in place.parents or place in scratch.parents:
            raise InvalidError(
                f"could not drill {declared.dataset!r}: its scratch place {declared.place} and {what} overlap",
                hint=f"edit estate.yaml: datasets.{declared.dataset}.drill.place",
            )


def withheld(scenario: Scenario, repository: Repository) -> str:
    """Why a scenario takes this repository away; empty when it does not. Pure."""
    if scenario == "ransomware" and repository.lock == "none":
        return "it is not locked: whoever had the keys of this machine removed it"
    if scenario == "host-loss" and repository.kind == "directory" and not repository.offsite:
        return "it is a directory of this machine"
    if scenario == "region-loss" and not repository.offsite:
        return "it is not off site"
    return ""


def check_damage(scenario: Scenario, at: datetime | None, *, now: datetime) -> None:
    """InvalidError when damage is dated that another scenario does not have, or that is yet to come. Pure."""
    if at is None:
        return
    if scenario != "corruption":
        raise InvalidError(
            f"could not rehearse {scenario} --at a moment: everything else is lost at the moment of the drill",
            hint="--scenario corruption --at TIME",
        )
    if at > now:
        raise InvalidError(
            f"could not rehearse damage at {format_instant(at)}: it is yet to come",
            hint="when the nonsense was written",
        )


def damage_at(declared: Declared, scenario: Scenario, *, lost_at: datetime, at: datetime | None) -> datetime | None:
    """The moment from which on the data is nonsense; None where nothing is damaged, but gone. Pure."""
    if scenario != "corruption":
        return None
    return lost_at - declared.noticed_after if at is None else at


def plan(
    declared: Declared,
    scenario: Scenario,
    *,
    is_fenced: bool,
    only: str | None = None,
    at: datetime | None = None,
) -> list[Step]:
    """The steps of a drill; `only` names the one repository to use, `at` is when the data was damaged. Pure."""
    names = [only] if only else list(declared.repositories)
    left = [name for name in names if not withheld(scenario, declared.repositories[name])]
    fence = "behind a fence" if is_fenced else "without a fence: the kernel refuses one"
    is_damaged = scenario == "corruption"
    before = " from before the damage" if is_damaged else ""
    until = " as it was before the damage," if is_damaged and declared.kind in _ANY_MOMENT else ""
    return [
        Step("challenge", f"try to change what the lock of {left[0] if left else 'no repository'} should keep"),
        Step("declare", f"declare the loss: {LOST[scenario]}{_dated(declared, scenario, at)}"),
        Step("choose", f"choose the newest copy{before} in {left[0] if left else 'no repository: none is left'}"),
        Step("restore", f"restore it{until} into a directory of its own in {declared.place}"),
        Step("ask", f"open it, hold it against the inner manifest, ask {len(declared.checks)} questions, {fence}"),
        Step("measure", "hold what came of it against RPO and RTO, and the living data against what it was before"),
        Step("remove", "remove the directory with all that is in it"),
        Step(EVIDENCE, "sign the figures, keep the statement, and tell the operators' trail"),
    ]


def _dated(declared: Declared, scenario: Scenario, at: datetime | None) -> str:
    """When data was damaged, where it was, for people."""
    if scenario != "corruption":
        return ""
    if at is not None:
        return f", at {format_instant(at)}"
    return f", noticed {f'{format_duration(declared.noticed_after)} later' if declared.noticed_after else 'at once'}"


def next_scenario(scenarios: Sequence[Scenario], passed: Mapping[str, datetime]) -> Scenario:
    """The one that never passed, in the order of the file, or else the one that passed longest ago. Pure."""
    never = [scenario for scenario in scenarios if scenario not in passed]
    return never[0] if never else min(scenarios, key=passed.__getitem__)
