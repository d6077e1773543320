"""The one way in which an operator's fact about a thing becomes an event: who tells what of it, and when."""

from datetime import datetime
from typing import Any

import msgspec

from atp.log.event import Actor, Event, Outcome, Resource, format_instant
from atp.ops.record.act import Person

_MICROS = 1_000_000


def fact_event(
    action: str,
    data: msgspec.Struct | dict[str, Any],
    *,
    of: Resource,
    by: Person,
    at: datetime,
    event_id: str,
    outcome: Outcome | None = None,
) -> Event:
    """The event that is written down. Its outcome is that of the `verdict` in `data`, when none is given; data without
    one tells of what is about to happen. Pure."""
    return Event(
        actor=Actor(by.id, type="person" if by.is_bound else "os-user"),
        action=action,
        id=event_id,
        time=format_instant(int(at.timestamp() * _MICROS)),
        resource=of,
        outcome=outcome or _outcome_of(data),
        data=msgspec.Raw(msgspec.json.encode(data)),
    )


def _outcome_of(data: msgspec.Struct | dict[str, Any]) -> Outcome:
    verdict = data.get("verdict") if isinstance(data, dict) else getattr(data, "verdict", None)
    return "unknown" if verdict is None else "success" if verdict == "pass" else "failure"


def dataset_resource(name: str) -> Resource:
    """The resource of whatever is told of a dataset."""
    return Resource(name, type="dataset")
