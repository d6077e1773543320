"""`atp drill`: prove that a dataset comes back, within its time, and how much of it. Works without a server."""

import functools
import socket
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path

import click

from atp.app.machine import drill_keep, machine_clock, os_account
from atp.cli.drilled import HEADS, addresses, begun_at, history, reviewed, row, tell_estate, text
from atp.cli.estate import file_option, read_estate_bytes
from atp.cli.files import write_file
from atp.cli.output import Output, safe, table
from atp.cli.recorded import recorded
from atp.cli.server import json_option, key_file_option, url_option
from atp.cli.signing import signer
from atp.cli.vault import Desk, answer_plan, day, dry_run_option, instant, read_identities, tell
from atp.errors import AtpError, InvalidError, MissingError
from atp.limits import REASON_CHARS_MAX
from atp.ops.declaration.durations import format_duration
from atp.ops.drills.act import drilling
from atp.ops.drills.act.beating import beat
from atp.ops.drills.act.kinds.choose import production_of
from atp.ops.drills.declare import Declared, check_damage, check_hours, check_machine, declared_drill, next_scenario
from atp.ops.drills.evidence.event import envelope_of
from atp.ops.drills.evidence.history import Drill, Due, History, due
from atp.ops.drills.evidence.report import as_html, as_markdown
from atp.ops.drills.evidence.reviews import reviews_of
from atp.ops.estate.declare.parse import parse_estate
from atp.ops.estate.declare.values import Scenario
from atp.ops.estate.evidence.signoff import DRILL_REVIEWED, Reviewed
from atp.ops.secrecy import check_no_secrets
from atp.verify.remember import default_memory

_PATH = click.Path(path_type=Path)
_SCENARIOS = ("deletion", "corruption", "ransomware", "host-loss", "key-loss", "region-loss")
_FAILED = 1

Verb = Callable[..., int | None]


@dataclass(frozen=True, slots=True)
class Drilling:
    """The desk, and the bytes of the estate file that lies on it."""

    desk: Desk
    file: bytes

    def declared(self, dataset: str) -> Declared:
        """What is declared of one dataset's drills."""
        return declared_drill(self.desk.estate, dataset)

    def drilled(self, only: str | None) -> list[str]:
        """The datasets that declare a drill which can be run, or the one that is named."""
        if only is not None:
            return [self.declared(only).dataset]
        return [name for name, one in self.desk.estate.datasets.items() if one.drill is not None]


def at_drill(verb: Verb) -> Verb:
    """Give a verb the options of estate file and server, and call it with what they mean."""

    @file_option
    @url_option
    @key_file_option
    @json_option
    @functools.wraps(verb)
    def call(file: Path, url: str, key_file: Path | None, is_json: bool, **given: object) -> int | None:
        data = read_estate_bytes(file)
        desk = Desk(parse_estate(data, file=str(file)), url, key_file, Output(is_json))
        return verb(Drilling(desk, data), **given)

    return call


@click.group()
def command() -> None:
    """Rehearse the loss of a dataset: restore its newest backup aside, ask it, measure RPO and RTO, sign the result."""


@command.command()
@click.argument("dataset")
@click.option("--scenario", type=click.Choice(_SCENARIOS), help="What is lost.  [default: whose turn it is]")
@click.option(
    "--identity", type=_PATH, required=True, envvar="ATP_IDENTITY_FILE", help="Private key. [env: ATP_IDENTITY_FILE]"
)
@click.option("--at", "damaged", metavar="TIME", help="Of corruption: when the data was damaged.")
@click.option("--from", "repository", help="Restore from this repository.")
@click.option("--force", "is_forced", is_flag=True, help="In revenue hours, or on another machine; --reason says why.")
@click.option("--reason", default="", help="Why it cannot wait.")
@dry_run_option
@at_drill
def run(
    at: Drilling,
    dataset: str,
    scenario: Scenario | None,
    damaged: str | None,
    identity: Path,
    repository: str | None,
    is_forced: bool,
    reason: str,
    is_dry: bool,
) -> int:
    """Drill DATASET: declare it lost, restore the newest backup into a directory of its own, ask it, judge, clean up.

    Production is never written to. Only what was shown passes: what is not known is insufficient. Corruption comes back
    as it was before the damage: at --at TIME, or else `drill.noticed_after` before the drill. Exit code 1 unless the
    verdict is pass.

    \b
    Examples:
      atp drill run catalogue --identity KEY.txt
      atp drill run catalogue --scenario ransomware --identity KEY.txt
      atp drill run catalogue --scenario corruption --at 2026-03-01T09:00:00Z --identity KEY.txt
      atp drill run catalogue --identity KEY.txt --dry-run
    """
    desk, declared = at.desk, at.declared(dataset)
    if is_forced != bool(reason.strip()):
        raise InvalidError("could not force the drill: --force and --reason go together", hint="--force --reason TEXT")
    if repository is not None and repository not in declared.repositories:
        raise MissingError(f"could not find repository {repository[:80]!r}", hint=", ".join(declared.repositories))
    identities, known = read_identities(identity, desk.output), history(desk)
    with desk.acting() as doing:
        now = doing.clock.now()
        check_hours(desk.estate, now, dataset=dataset, is_forced=is_forced)
        check_machine(declared, socket.gethostname(), is_forced=is_forced)
        rehearsed = scenario or next_scenario(declared.scenarios, known.passed(dataset))
        damaged_at = instant(damaged)
        check_damage(rehearsed, damaged_at, now=now)
        asked = drilling.Asked(
            scenario=rehearsed,
            identities=identities,
            estate_sha256=sha256(at.file).hexdigest(),
            known=known.newest_number(dataset),
            only=repository,
            at=damaged_at,
            forced=reason.strip(),
            addresses=addresses(desk.estate),
            previous=known.newest_statement(dataset),
            since=known.last_at(dataset) or begun_at(desk, dataset),
        )
        if is_dry:
            return answer_plan(desk.output, drilling.planned(declared, asked))
        tell_estate(desk, doing, at.file)
        hands = drilling.Hands(
            by=doing.by,
            sink=doing.sink,
            clock=doing.clock,
            keep=drill_keep(dataset),
            host=socket.gethostname(),
            opened=desk.open,
            read=desk.address,
            sign=signer(desk),
            memory=default_memory(),
            os_user=os_account(),
            recall=lambda repository, listed, dataset: recorded(desk, repository, listed, dataset=dataset),
        )
        done = drilling.drill(declared, asked, hands)
    desk.output.answer({"dataset": dataset, "drill": done}, text(dataset, done))
    return 0 if done.verdict == "pass" else _FAILED


@command.command("list")
@click.argument("dataset", required=False)
@at_drill
def list_(at: Drilling, dataset: str | None) -> None:
    """List the drills of DATASET, or of all, oldest first; what is missing, missed, or does not follow the one before.

    \b
    Example:
      atp drill list
    """
    found = history(at.desk)
    drills = [drill for drill in found.drills if dataset in (None, drill.dataset)]
    missing = {name: numbers for name, numbers in found.missing.items() if dataset in (None, name)}
    reviews = reviews_of(drills, reviewed(at.desk)) if drills else {}
    rows = [row(drill, reviews.get(drill.id, ())) for drill in drills]
    lines = [table(HEADS, rows) if drills else "no drill is told of"]
    lines += [_gap(name, numbers) for name, numbers in missing.items()]
    twice = {name: numbers for name, numbers in found.twice.items() if dataset in (None, name)}
    missed = {name: slots for name in _names_of(drills) if (slots := found.missed(name))}
    lines += [f"missed: {name}: {', '.join(map(day, slots))}: due, and not drilled" for name, slots in missed.items()]
    broken = {name: numbers for name, numbers in found.broken.items() if dataset in (None, name)}
    lines += [f"broken: {_names(name, n)}: not the next after the statement before" for name, n in broken.items()]
    lines += [f"told twice: {_names(name, numbers)}: by two machines, or made up" for name, numbers in twice.items()]
    listed = [{**_document(drill), "reviews": reviews.get(drill.id, ())} for drill in drills]
    document: dict[str, object] = {"drills": listed, "missing": missing, "twice": twice}
    document |= {"missed_slots": missed, "broken": broken}
    at.desk.output.answer(document, "\n".join(lines))


def _names_of(drills: list[Drill]) -> list[str]:
    return sorted({drill.dataset for drill in drills})


def _gap(name: str, numbers: tuple[int, ...]) -> str:
    return f"missing: {_names(name, numbers)}: begun and never ended, or taken away"


def _names(name: str, numbers: tuple[int, ...]) -> str:
    return ", ".join(f"{name}/{number}" for number in numbers)


@command.command()
@click.argument("drill_id", metavar="ID")
@click.option("--statement", type=_PATH, help="Write the signed statement (DSSE) to this file.")
@at_drill
def show(at: Drilling, drill_id: str, statement: Path | None) -> int:
    """Show one drill, DATASET/NUMBER, with all its figures. Its signed statement is made again of its event, checked,
    and compared with the one on this machine when it is here.

    \b
    Examples:
      atp drill show catalogue/1
      atp drill show catalogue/1 --statement catalogue-1.dsse.json
    """
    drill = _find(at, drill_id)
    proof, reviews = _proof(drill), reviews_of([drill], reviewed(at.desk)).get(drill.id, ())
    if statement is not None:
        write_file(statement, envelope_of(drill.done, dataset=drill.dataset))
    document = {**_document(drill), "statement_proof": proof, "reviews": reviews}
    told = [f"review     {safe(review.sentence)}" for review in reviews] or ["review     none: atp drill review"]
    lines = [text(drill.dataset, drill.done), "", f"statement  {safe(proof)}", *told]
    at.desk.output.answer(document, "\n".join(lines))
    return _FAILED if proof.startswith("WRONG") else 0


@command.command()
@click.argument("drill_id", metavar="ID")
@click.option("--note", required=True, help="What you looked at, and what you found.")
@click.option("--follow-up", help="What has to be done about it, by whom and when; without it the drill is accepted.")
@at_drill
def review(at: Drilling, drill_id: str, note: str, follow_up: str | None) -> None:
    """Review a drill, DATASET/NUMBER, and sign it off, or say what has to follow. Its statement is checked first.

    Who reviews is who holds the key, and stands in the operators' trail; a review by the person who ran the drill says
    so. Nothing is changed: one more review is one more event.

    \b
    Example:
      atp drill review catalogue/1 --note "restored rows compared with the ledger of May"
    """
    drill = _find(at, drill_id)
    digest = sha256(envelope_of(drill.done, dataset=drill.dataset)).hexdigest()
    if max(len(note), len(follow_up or "")) > REASON_CHARS_MAX or not note.strip():
        raise InvalidError(f"could not review {drill_id}: a note has 1 to {REASON_CHARS_MAX:,} characters")
    check_no_secrets({"note": note, "follow_up": follow_up or ""})
    said = Reviewed(number=drill.done.number, statement_sha256=digest, note=note, follow_up=follow_up or None)
    with at.desk.acting() as doing:
        tell(doing, DRILL_REVIEWED, said, dataset=drill.dataset, outcome="success", is_outcome=False)
        own = ", who ran it" if doing.by.id == drill.by else ""
        at.desk.output.answer({"drill": drill_id, "review": said}, f"{drill_id} reviewed by {doing.by.id}{own}")


def _find(at: Drilling, drill_id: str) -> Drill:
    found = {drill.name: drill for drill in history(at.desk).drills}
    if drill_id not in found:
        raise MissingError(f"could not find the drill {drill_id[:80]!r}", hint="atp drill list")
    return found[drill_id]


def _proof(drill: Drill) -> str:
    """What can be said of the statement of a drill."""
    signed = drill.done.statement
    if signed is None:
        return "none"
    try:
        envelope = envelope_of(drill.done, dataset=drill.dataset)
    except AtpError as error:
        return f"WRONG: {error}"
    if drill_keep(drill.dataset).kept(drill.done.number) not in (None, envelope):
        return "WRONG: the envelope on this machine is not the one that the event names"
    return f"intact, signed by {signed.signed_by}"


@command.command("due")
@click.argument("dataset", required=False)
@at_drill
def due_(at: Drilling, dataset: str | None) -> int:
    """Say which datasets are due for a drill, how many were missed since the last one, which scenario comes next, and
    on which machine it has to run.

    Exit code 1 when one is overdue.

    \b
    Example:
      atp drill due
    """
    found, now = history(at.desk), datetime.now(UTC)
    all_declared = {name: at.declared(name) for name in at.drilled(dataset)}
    rows = [_due(at, declared, found, now) for declared in all_declared.values()]
    heads = ("dataset", "state", "passed at", "due at", "every", "missed", "next scenario", "runs on")
    lines = [
        (
            one.dataset,
            one.state,
            day(one.passed_at) or "never",
            day(one.due_at),
            format_duration(one.period),
            str(len(one.missed)) if one.missed else "",
            one.scenario,
            all_declared[one.dataset].runs_on,
        )
        for one in rows
    ]
    document = {"datasets": [_due_document(one, all_declared[one.dataset].runs_on) for one in rows]}
    at.desk.output.answer(document, table(heads, lines) if lines else "no dataset declares a drill")
    return _FAILED if any(one.state == "overdue" for one in rows) else 0


def _due(at: Drilling, declared: Declared, found: History, now: datetime) -> Due:
    name = declared.dataset
    scenario = next_scenario(declared.scenarios, found.passed(name))
    begun = begun_at(at.desk, name) if found.last_at(name) is None else None
    return due(found, name, period=declared.period, scenario=scenario, now=now, begun_at=begun)


def _due_document(one: Due, runs_on: str) -> dict[str, object]:
    return {
        "dataset": one.dataset,
        "state": one.state,
        "passed_at": one.passed_at,
        "due_at": one.due_at,
        "period_seconds": one.period.total_seconds(),
        "scenario": one.scenario,
        "runs_on": runs_on or None,
        "missed_slots": one.missed,
    }


@command.command()
@click.argument("dataset", required=False)
@click.option("-o", "--output", "place", type=_PATH, help="Write it here: .md or .html.")
@at_drill
def report(at: Drilling, dataset: str | None, place: Path | None) -> None:
    """Report the drills of DATASET, or of all, drawn from their events alone: Markdown, or one HTML page with charts.

    \b
    Examples:
      atp drill report
      atp drill report catalogue -o drills.html
    """
    if place is not None and place.suffix not in (".md", ".html"):
        raise InvalidError(f"could not write {place}: it is neither .md nor .html", hint="-o drills.html")
    found, name = history(at.desk), at.desk.estate.name
    drills = [drill for drill in found.drills if dataset in (None, drill.dataset)]
    missing = {key: numbers for key, numbers in found.missing.items() if dataset in (None, key)}
    render = as_html if place is not None and place.suffix == ".html" else as_markdown
    made = render(name, drills, missing, reviews_of(drills, reviewed(at.desk)))
    if place is not None:
        write_file(place, made.encode())
    document = {"file": str(place) if place else None, "drills": len(drills), "report": None if place else made}
    at.desk.output.answer(document, f"wrote {place}, drills: {len(drills)}" if place else made.rstrip("\n"))


@command.command()
@click.argument("dataset")
@at_drill
def heartbeat(at: Drilling, dataset: str) -> None:
    """Write one heartbeat into DATASET, and one line into its ledger: what RPO is measured by. For cron or a timer.

    \b
    Example:
      atp drill heartbeat catalogue
    """
    declared = at.declared(dataset)
    taken = beat(declared, production_of(declared, read=at.desk.address, connect=at.desk.client), machine_clock())
    document = {"dataset": dataset, "id": taken.id, "at": taken.at, "taken_at": taken.taken_at}
    at.desk.output.answer(document, f"heartbeat {taken.id} of {dataset}")


def _document(drill: Drill) -> dict[str, object]:
    return {
        "id": drill.name,
        "event": drill.id,
        "at": drill.at,
        "by": drill.by,
        "index": drill.index,
        "dataset": drill.dataset,
        "drill": drill.done,
    }
