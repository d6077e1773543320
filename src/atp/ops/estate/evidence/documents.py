"""A review and an impact as the JSON documents that the command line prints and the API answers."""

from dataclasses import asdict
from datetime import datetime
from typing import Any

from atp.ops.declaration.durations import format_duration, format_instant
from atp.ops.declaration.writing import plain
from atp.ops.estate.declare.hours import is_open
from atp.ops.estate.declare.values import Estate
from atp.ops.estate.evidence.finding import Score
from atp.ops.estate.evidence.impact import Impact, mermaid, tree
from atp.ops.estate.evidence.review import Review


def review_document(estate: Estate, found: Review, unknown: str) -> dict[str, Any]:
    """The document of a review; `unknown` is why there is no evidence, empty when the trail was read."""
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


def impact_document(estate: Estate, found: Impact, now: datetime) -> dict[str, Any]:
    """The document of an impact."""
    hours = estate.revenue_hours
    return {
        "name": found.name,
        "fallen": [asdict(one) for one in found.fallen],
        "critical_paths": found.paths,
        "data_flows": [plain(flow) for flow in found.flows],
        "objectives": [
            {
                "dataset": one.dataset,
                "role": one.role,
                "rpo": format_duration(one.rpo) if one.rpo else None,
                "rto": format_duration(one.rto) if one.rto else None,
            }
            for one in found.objectives
        ],
        "cycles": found.cycles,
        "revenue": {
            "services": found.in_revenue_hours,
            "hours_of_week": found.revenue_week.total_seconds() / 3600 if found.revenue_week else None,
            "is_now": is_open(hours, now) if hours else None,
        },
        "tree": tree(estate, found),
        "mermaid": mermaid(estate, found),
    }


def _score(score: Score) -> dict[str, Any]:
    return {
        "percent": score.percent,
        "points": score.points,
        "points_max": score.points_max,
        "counts": score.counts,
        "arithmetic": score.arithmetic,
    }
