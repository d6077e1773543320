"""`atp estate`: what is run and held, what is proven of it, what falls with what. Works without a server."""

import functools
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.resources import files
from pathlib import Path

import click
import msgspec

from atp.cli.dossier import as_html, as_markdown
from atp.cli.evidence import Asked, read_evidence
from atp.cli.files import write_file
from atp.cli.inventory import forest, impact_text, inventory
from atp.cli.output import Output, safe
from atp.cli.server import json_option, key_file_option, url_option
from atp.cli.verdicts import review_text
from atp.errors import ForbiddenError, InvalidError, MissingError
from atp.limits import DECLARATION_BYTES_MAX
from atp.ops.declaration.durations import format_instant, parse_instant
from atp.ops.declaration.writing import plain
from atp.ops.estate.declare.parse import estate_schema, parse_estate
from atp.ops.estate.declare.values import Estate
from atp.ops.estate.evidence.documents import impact_document, review_document
from atp.ops.estate.evidence.dossier import dossier as dossier_of
from atp.ops.estate.evidence.impact import impact as impact_of
from atp.ops.estate.evidence.impact import mermaid
from atp.ops.estate.evidence.review import Review, review

FILE_DEFAULT = Path("estate.yaml")
_FAILED = 1

file_option = click.option(
    "-f",
    "--file",
    type=click.Path(path_type=Path),
    default=FILE_DEFAULT,
    show_default=True,
    envvar="ATP_ESTATE",
    help="The estate file. [env: ATP_ESTATE]",
)
at_option = click.option("--at", help="Judge as of this instant (RFC 3339, or a date).  [default: now]")
offline_option = click.option("--offline", "is_offline", is_flag=True, help="Ask no server: evidence is unknown.")

Verb = Callable[..., int | None]


@dataclass(frozen=True, slots=True)
class Judged:
    """An estate, what is known of it, and the review of both."""

    estate: Estate
    asked: Asked
    review: Review
    output: Output


def judged(verb: Verb) -> Verb:
    """Give a verb the options of file, instant and server, and call it with the estate `judged` under them."""

    @file_option
    @at_option
    @offline_option
    @url_option
    @key_file_option
    @json_option
    @functools.wraps(verb)
    def call(
        file: Path, at: str | None, is_offline: bool, url: str, key_file: Path | None, is_json: bool, **given: object
    ) -> int | None:
        output, now = Output(is_json), _instant(at)
        estate = read_estate(file)
        asked = read_evidence(
            estate.datasets, url=url, key_file=key_file, output=output, now=now, is_offline=is_offline
        )
        return verb(Judged(estate, asked, review(estate, asked.evidence, now), output), **given)

    return call


@click.group()
def command() -> None:
    """Declare the estate in one file, review it from evidence, see what falls with what, hand it over."""


@command.command()
@click.option("--strict", is_flag=True, help="Fail on whatever is not green: amber, and grey (not known).")
@judged
def check(found: Judged, strict: bool) -> int:
    """Review the estate: what is declared, held against what backups and drills left in the operators' trail.

    Every answer has a colour and a next move; what is not known is grey, never green. Exit code 1 when anything is
    red, 2 when the file is refused, with every fault in it.

    \b
    Examples:
      atp estate check
      atp estate check -f estate.yaml --strict --at 2026-11-01
    """
    result = found.review
    document = review_document(found.estate, result, found.asked.reason)
    found.output.answer(document, "" if found.output.is_json else review_text(found.estate, result, found.asked.reason))
    return _FAILED if result.colour == "red" or (strict and result.colour != "green") else 0


@command.command()
@file_option
@json_option
def show(file: Path, is_json: bool) -> None:
    """Show what the file declares; as JSON it is the whole file, with what is left out left out.

    \b
    Example:
      atp estate show
    """
    estate = read_estate(file)
    Output(is_json).answer(plain(estate), "" if is_json else inventory(estate))


@command.command()
@click.argument("name", metavar="SERVICE|DATASET")
@click.option("--mermaid", "is_mermaid", is_flag=True, help="Print the graph alone, as a Mermaid flow chart.")
@file_option
@at_option
@json_option
def impact(name: str, is_mermaid: bool, file: Path, at: str | None, is_json: bool) -> None:
    """Say what falls when SERVICE or DATASET falls, what is cut, and what it takes to come back.

    \b
    Examples:
      atp estate impact bookings
      atp estate impact name-service --mermaid
    """
    estate = read_estate(file)
    found, now = impact_of(estate, name), _instant(at)
    text = mermaid(estate, found) if is_mermaid else impact_text(estate, found, now)
    Output(is_json).answer(impact_document(estate, found, now), text)


@command.command()
@click.option("-o", "--output", "place", type=click.Path(path_type=Path), help="Write it here: .md or .html.")
@click.option("--html", "is_html", is_flag=True, help="Print HTML instead of Markdown.")
@judged
def dossier(found: Judged, place: Path | None, is_html: bool) -> None:
    """Write the estate as one document to hand over: inventory, objectives, proofs, contacts, what is not proven.

    The HTML loads nothing from anywhere, prints well, and follows the dark mode of the reader.

    \b
    Examples:
      atp estate dossier > dossier.md
      atp estate dossier -o dossier.html
    """
    if place is not None and place.suffix not in (".md", ".html"):
        raise InvalidError(f"could not write {place}: it is neither .md nor .html", hint="-o dossier.html")
    made = dossier_of(found.estate, found.review, found.asked.evidence, found.review.at)
    render = as_html if is_html or (place is not None and place.suffix == ".html") else as_markdown
    document = {**asdict(made), "made_at": format_instant(made.made_at), "file": str(place) if place else None}
    if place is None:
        text = "" if found.output.is_json else render(made, tree=forest(found.estate)).rstrip("\n")
    else:
        write_file(place, render(made, tree=forest(found.estate)).encode())
        unread = f"; evidence is unknown: {safe(found.asked.reason)}" if found.asked.reason else ""
        text = f"wrote {place}: {made.colour}, {found.review.score.percent} %{unread}"
    found.output.answer(document, text)


@command.command()
@click.option("--example", "is_example", is_flag=True, help="Print an estate file to begin with instead.")
@json_option
def schema(is_example: bool, is_json: bool) -> None:
    """Print the JSON Schema (2020-12) of estate files, for editors; or an example to begin with.

    \b
    Examples:
      atp estate schema > estate.schema.json
      atp estate schema --example > estate.yaml
    """
    if is_example:
        example = files("atp.ops.estate").joinpath("example.yaml").read_bytes()
        document = plain(parse_estate(example, file="example.yaml"))
        Output(is_json).answer(document, example.decode().rstrip("\n"))
        return
    found = estate_schema()
    Output(is_json).answer(found, msgspec.json.format(msgspec.json.encode(found), indent=2).decode())


def read_estate(path: Path) -> Estate:
    """The estate that a file declares. MissingError when it is not there, RefusedError when it cannot be used."""
    return parse_estate(read_estate_bytes(path), file=str(path))


def read_estate_bytes(path: Path) -> bytes:
    """The text of an estate file. MissingError when it is not there, ForbiddenError when it cannot be read."""
    try:
        with path.open("rb") as file:
            return file.read(DECLARATION_BYTES_MAX + 1)
    except FileNotFoundError:
        hint = f"begin with: atp estate schema --example > {FILE_DEFAULT}"
        raise MissingError(f"could not read {path}: it does not exist", hint=hint) from None
    except OSError as error:
        raise ForbiddenError(f"could not read {path}: {error.strerror}", hint="-f FILE") from None


def _instant(text: str | None) -> datetime:
    if text is None:
        return datetime.now(UTC)
    try:
        return parse_instant(text)
    except ValueError:
        raise InvalidError(
            f"could not use --at {text!r}: it is no instant", hint="2026-03-01 or 2026-03-01T09:00:00Z"
        ) from None
