"""The estate as a document that can be handed over or bequeathed: what there is, what is proven, and what is not."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from atp.ops.declaration.durations import about, format_duration, format_instant, format_second
from atp.ops.estate.declare.values import Acceptance, Dataset, Estate, HardFailure
from atp.ops.estate.evidence.finding import COLOURS, Colour
from atp.ops.estate.evidence.proofs import Drilled, Evidence, Proofs
from atp.ops.estate.evidence.review import Review as SelfReview
from atp.ops.estate.evidence.signoff import Review

_DASH = "–"
_REGISTER_MAX = 50


@dataclass(frozen=True, slots=True)
class Table:
    """Rows under their heads; `colours` has one for each row, or is empty."""

    heads: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    colours: tuple[Colour, ...] = ()


@dataclass(frozen=True, slots=True)
class Section:
    """One chapter: what it says, and a table; `empty` is said when the table has no rows."""

    title: str
    words: tuple[str, ...]
    table: Table | None = None
    empty: str = ""


@dataclass(frozen=True, slots=True)
class Dossier:
    """The whole document; `summary` is pairs of a name and its value."""

    title: str
    made_at: datetime
    colour: Colour
    summary: tuple[tuple[str, str], ...]
    sections: tuple[Section, ...]


def dossier(estate: Estate, review: SelfReview, evidence: Evidence, now: datetime) -> Dossier:
    """All that whoever takes the estate over has to know. Pure; holds references to secrets, never secrets."""
    read = f"as of {format_second(evidence.read_at)}" if evidence.read_at else "unknown: the trail was not read"
    counts = ", ".join(f"{review.score.counts[colour]} {colour}" for colour in reversed(COLOURS))
    return Dossier(
        title=estate.name,
        made_at=now,
        colour=review.colour,
        summary=(
            ("Made", format_second(now)),
            ("Evidence", read),
            ("Answers", counts),
            ("Declared", review.declared.arithmetic),
            ("Proven", review.proven.arithmetic),
            ("Environments", ", ".join(estate.environments)),
            ("Revenue hours", _revenue_hours(estate)),
        ),
        sections=tuple(_sections(estate, review, evidence, now)),
    )


def _sections(estate: Estate, review: SelfReview, evidence: Evidence, now: datetime) -> Iterator[Section]:
    yield _datasets(estate, review)
    yield _last_proofs(estate, review, evidence, now)
    yield _drills(estate, evidence)
    yield _unproven(review)
    yield _services(estate)
    yield _paths(estate)
    yield _flows(estate)
    yield _repositories(estate)
    yield _contacts(estate, now)
    yield _hard_failures(estate)
    yield _decisions(estate)


def _datasets(estate: Estate, review: SelfReview) -> Section:
    names = sorted(estate.datasets, key=lambda name: COLOURS.index(review.datasets[name]))
    rows = tuple(_dataset(name, estate.datasets[name], review.datasets[name]) for name in names)
    words = ("What can be lost, how much of it may be lost (RPO), and how long its return may take (RTO).",)
    heads = ("Dataset", "State", "Holds", "Kind", "Class", "RPO", "RTO", "Kept", "Owner", "Source")
    table = Table(heads, rows, tuple(review.datasets[name] for name in names))
    return Section("Datasets and objectives", words, table, "No dataset is declared.")


def _dataset(name: str, dataset: Dataset, colour: Colour) -> tuple[str, ...]:
    kept = _length(dataset.retention) + (", then gone; never locked" if dataset.erasable else "")
    return (
        name,
        colour,
        dataset.purpose or _DASH,
        dataset.kind,
        dataset.classification,
        *map(_length, (dataset.rpo, dataset.rto)),
        kept,
        dataset.owner or _DASH,
        _source(dataset),
    )


def _source(dataset: Dataset) -> str:
    source = dataset.source
    if source.command:
        return f"told by the command {source.command[0]}"
    return source.place or (f"in the variable {source.env}" if source.env else f"in the file {source.file}")


def _last_proofs(estate: Estate, review: SelfReview, evidence: Evidence, now: datetime) -> Section:
    rows = tuple((name, *_proof(name, dataset, evidence.of(name), now)) for name, dataset in estate.datasets.items())
    words = ("The newest record of each kind in the operators' trail. A dash is no record: not known, not well.",)
    heads = (
        *("Dataset", "Newest copy reaches to", "Read back", "Isolated", "Immutable"),
        *("Key lies", "Drill passed", "Newest drill"),
    )
    table = Table(heads, rows, tuple(review.datasets[name] for name in estate.datasets))
    return Section("Last proofs", words, table, "No dataset is declared.")


def _proof(name: str, dataset: Dataset, proofs: Proofs, now: datetime) -> tuple[str, ...]:
    stores = {dataset.backup.repository, *dataset.backup.copies_in} if dataset.backup else set()
    copies = [copy for store, copy in proofs.copies.items() if store in stores]
    newest = max(copies, key=lambda copy: copy.point_at, default=None)
    passed = [drill.at for drill in proofs.drills if drill.verdict == "pass"]
    return (
        _ago(newest.point_at if newest else None, now),
        _ago(proofs.read_back_at, now),
        _answers(proofs.isolated),
        _unlocked(proofs, now) if dataset.erasable else _answers(proofs.immutable),
        _key(proofs.drill),
        _ago(passed[-1] if passed else None, now),
        f"{_drill_name(name, proofs.drill)}: {proofs.drill.verdict}" if proofs.drill else _DASH,
    )


def _key(drill: Drilled | None) -> str:
    if drill is None or drill.key_beside is None:
        return _DASH
    return f"{drill.host}, {'beside the data' if drill.key_beside else 'apart from the data'}"


def _answers(answers: dict[str, bool]) -> str:
    return ", ".join(f"{name}: {'yes' if answer else 'no'}" for name, answer in answers.items()) or _DASH


def _unlocked(proofs: Proofs, now: datetime) -> str:
    """Of what is erasable: where copies are locked, which they must not be."""
    days = {name: one.locked_until for name, one in proofs.listed.items()}
    told = {name: "no, as it must be" if day is None or day <= now else "locked" for name, day in days.items()}
    return ", ".join(f"{name}: {what}" for name, what in told.items()) or _DASH


def _drills(estate: Estate, evidence: Evidence) -> Section:
    drills = [(name, drill) for name in estate.datasets for drill in evidence.of(name).drills]
    drills.sort(key=lambda pair: pair[1].at, reverse=True)
    rows = tuple(_drill(name, drill, evidence.of(name).reviews_of(drill)) for name, drill in drills[:_REGISTER_MAX])
    words = (
        f"Rehearsed restores and what they achieved, newest first: {len(rows)} of {len(drills)} are listed.",
        "Lock is what came of trying to break that of the repository; Statement is the SHA-256 of what was signed:"
        " atp drill show DRILL --statement FILE checks it and writes it.",
    )
    heads = (
        *("When", "Drill", "Scenario", "Verdict", "RPO", "RTO"),
        *("Lock", "By", "Failed", "Reviewed", "Statement"),
    )
    return Section("Register of drills", words, Table(heads, rows), "No drill is recorded: a restore is a hope.")


def _drill(name: str, drill: Drilled, reviews: Sequence[Review]) -> tuple[str, ...]:
    achieved = (_DASH if length is None else about(length) for length in (drill.rpo, drill.rto))
    return (
        format_second(drill.at),
        _drill_name(name, drill),
        drill.scenario,
        drill.verdict,
        *achieved,
        drill.lock or _DASH,
        drill.by or _DASH,
        ", ".join(drill.failed) or _DASH,
        "; ".join(review.sentence for review in reviews) or "no",
        drill.statement_sha256 or _DASH,
    )


def _drill_name(name: str, drill: Drilled) -> str:
    return f"{name}/{drill.number}" if drill.number else name


def _unproven(review: SelfReview) -> Section:
    found = review.open_findings()
    rows = tuple((one.colour, one.subject, one.sentence, one.next_move) for one in found)
    words = ("What is wrong, weak or not known, worst first, each with its next move.",)
    table = Table(("State", "Subject", "Finding", "Next move"), rows, tuple(one.colour for one in found))
    return Section("What is not proven", words, table, "Nothing: every answer is green.")


def _services(estate: Estate) -> Section:
    rows = tuple(
        (
            name,
            service.purpose or _DASH,
            service.criticality,
            service.owner or _DASH,
            ", ".join(service.environments) or _DASH,
            ", ".join(service.depends_on) or _DASH,
            service.health or _DASH,
            "yes" if service.in_revenue_hours else "no",
        )
        for name, service in estate.services.items()
    )
    heads = ("Service", "Purpose", "Criticality", "Owner", "Runs in", "Depends on", "Health", "In revenue hours")
    return Section("Services and dependencies", (), Table(heads, rows), "No service is declared.")


def _paths(estate: Estate) -> Section:
    rows = tuple((name, " → ".join(steps)) for name, steps in estate.critical_paths.items())
    words = ("What has to work, in order, for revenue to be made.",)
    return Section("Critical paths", words, Table(("Path", "Steps"), rows), "No critical path is declared.")


def _flows(estate: Estate) -> Section:
    rows = tuple((flow.source, flow.to, flow.what, flow.audited_in or _DASH) for flow in estate.data_flows)
    return Section("Data flows", (), Table(("From", "To", "What", "Recorded in"), rows), "No data flow is declared.")


def _repositories(estate: Estate) -> Section:
    rows = tuple(
        (
            name,
            one.kind,
            one.place,
            ", ".join(one.isolated_from) or _DASH,
            one.lock,
            "yes" if one.offsite else "no",
            "by reference" if one.credentials else _DASH,
        )
        for name, one in estate.repositories.items()
    )
    heads = ("Repository", "Kind", "Place", "Isolated from", "Lock", "Elsewhere", "Credentials")
    words = ("Where the copies go, as declared; what is proven of them stands under Last proofs.",)
    return Section("Repositories", words, Table(heads, rows), "No repository is declared.")


def _contacts(estate: Estate, now: datetime) -> Section:
    rows = tuple(
        (role, one.channel, one.duties or _DASH, _ago(one.confirmed_at, now)) for role, one in estate.contacts.items()
    )
    heads = ("Role", "Channel", "Answers for", "Confirmed")
    return Section("Contacts", ("Roles; who holds them now is told by the channel.",), Table(heads, rows), "Nobody.")


def _hard_failures(estate: Estate) -> Section:
    rows = tuple(
        (name, one.what, ", ".join(one.hits) or _DASH, _answer_to(one)) for name, one in estate.hard_failures.items()
    )
    words = ("Failures that are known and have no quick way back.",)
    heads = ("Failure", "What happens", "Hits", "Mitigation or acceptance")
    return Section("Known hard failures", words, Table(heads, rows), "None is declared.")


def _answer_to(failure: HardFailure) -> str:
    accepted = _signed(failure.acceptance) if failure.acceptance else ""
    return " ".join(filter(None, (failure.mitigation, accepted))) or "none"


def _signed(acceptance: Acceptance) -> str:
    at, until = format_instant(acceptance.at), format_instant(acceptance.until)
    return f"Accepted by {acceptance.by} on {at} until {until}: {acceptance.reason}"


def _decisions(estate: Estate) -> Section:
    rows = tuple((format_instant(one.at), one.what, one.by or _DASH) for one in estate.decisions)
    return Section("Decisions", (), Table(("When", "What and why", "By"), rows), "None is declared.")


def _revenue_hours(estate: Estate) -> str:
    hours = estate.revenue_hours
    if hours is None:
        return "none declared"
    return f"{', '.join(hours.weekdays)} {hours.opens} to {hours.closes} ({hours.zone})"


def _length(length: timedelta | None) -> str:
    return _DASH if length is None else format_duration(length)


def _ago(moment: datetime | None, now: datetime) -> str:
    return _DASH if moment is None else f"{format_instant(moment)[:16].replace('T', ' ')} ({about(now - moment)} ago)"
