"""A review -> what is printed of it: each answer with its next move, the colours, the arithmetic of the score."""

from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from atp.cli.output import safe, table
from atp.ops.declaration.durations import format_instant, format_second
from atp.ops.estate.declare.values import Estate
from atp.ops.estate.evidence.finding import Finding, Score
from atp.ops.estate.evidence.review import Review


def review_document(estate: Estate, found: Review, unknown: str) -> dict[str, Any]:
    """The JSON document of a review; `unknown` is why there is no evidence, empty when the trail was read."""
    return {
        "estate": estate.name,
        "at": format_instant(found.at),
        "evidence_at": format_instant(found.evidence_at) if found.evidence_at else None,
        "evidence_unknown": unknown or None,
        "colour": found.colour,
        "datasets": found.datasets,
        "score": _score(found.score),
        "declared": _score(found.declared),
        "proven": _score(found.proven),
        "findings": [asdict(finding) for finding in found.findings],
    }


def review_text(estate: Estate, found: Review, unknown: str) -> str:
    """The same for people: what is not green, and when the trail was not read, that in one line."""
    return "\n".join(_lines(estate, found, unknown))


def _score(score: Score) -> dict[str, Any]:
    return {
        "percent": score.percent,
        "points": score.points,
        "points_max": score.points_max,
        "counts": score.counts,
        "arithmetic": score.arithmetic,
    }


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
