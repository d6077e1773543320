"""A dossier -> Markdown, or one HTML page that loads nothing, prints well and knows the dark."""

import re

from jinja2 import Environment, PackageLoader, StrictUndefined

from atp import __version__
from atp.cli.output import safe
from atp.ops.declaration.durations import format_second
from atp.ops.estate.evidence.dossier import Dossier, Section

_MARKS = re.compile(r"([\\`*_\[\]<>|#~])")


def as_markdown(found: Dossier, *, tree: str) -> str:
    """The document as GitHub-flavoured Markdown; nothing in a value is taken for a mark."""
    lines = [f"# Dossier of the estate {_plain(found.title)}", "", f"State: **{found.colour}**", ""]
    lines += [f"- {_plain(name)}: {_plain(value)}" for name, value in found.summary]
    for section in found.sections:
        lines += _section(section)
    return "\n".join([*lines, "", "## Dependencies drawn", "", "```text", tree, "```", "", _made_by(), ""])


def as_html(found: Dossier, *, tree: str) -> str:
    """The document as one HTML page."""
    loader = PackageLoader("atp.cli")
    environment = Environment(
        loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters["safe_text"] = _one_line
    made_at = format_second(found.made_at)
    template = environment.get_template("dossier.html")
    return template.render(dossier=found, tree=tree, made_at=made_at, made_by=_made_by())


def _section(section: Section) -> list[str]:
    lines = ["", f"## {section.title}", "", *map(_plain, section.words)]
    if section.table is None or not section.table.rows:
        return [*lines, "", section.empty]
    heads = section.table.heads
    rows = [_row(row) for row in section.table.rows]
    return [*lines, "", _row(heads), "|" + " --- |" * len(heads), *rows]


def _row(cells: tuple[str, ...]) -> str:
    return "| " + " | ".join(map(_plain, cells)) + " |"


def _plain(text: str) -> str:
    return _MARKS.sub(r"\\\1", _one_line(text))


def _one_line(text: str) -> str:
    """The text with its own line breaks as spaces, and without what could deceive its reader."""
    return safe(" ".join(text.split()))


def _made_by() -> str:
    return f"Made by atp {__version__} from the estate file and the operators' trail."
