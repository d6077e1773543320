"""A review -> what is printed of it: each answer with its next move, the colours, the arithmetic of the score."""

from collections.abc import Iterator

from atp.cli.output import safe, table
from atp.ops.declaration.durations import format_second
from atp.ops.estate.declare.values import Estate
from atp.ops.estate.evidence.finding import Finding
from atp.ops.estate.evidence.review import Review


def review_text(estate: Estate, found: Review, unknown: str) -> str:
    """A review for people: what is not green, and when the trail was not read, that in one line."""
    return "\n".join(_lines(estate, found, unknown))


def _lines(estate: Estate, found: Review, unknown: str) -> Iterator[str]:
    for finding in found.open_findings():
        if not unknown or finding.colour != "grey":
            yield from _finding_lines(finding)
    if unknown:
        yield f"grey   evidence of backups and drills is unknown: {safe(unknown)}"
        yield f"       -> start a server, or name it: {found.score.counts['grey']} answers wait for its trail"
    yield ""
    if estate.datasets:
        yield table(("dataset", "state"), list(found.datasets.items()))
        yield ""
    yield f"{safe(estate.name)} is {found.colour} as of {format_second(found.at)}"
    yield f"declared  {found.declared.arithmetic}"
    yield f"proven    {found.proven.arithmetic}"
    yield f"score     {found.score.arithmetic}"


def _finding_lines(finding: Finding) -> Iterator[str]:
    yield f"{finding.colour:<6} {safe(finding.subject)}: {safe(finding.sentence)}"
    yield f"       -> {safe(finding.next_move)}"
