"""Reviews: what a person found of a drill that was told, and what has to follow. Each is an event `drill.reviewed`."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated

import msgspec
from msgspec import Meta

from atp.limits import REASON_CHARS_MAX
from atp.log.event import Actor, Event, Resource, format_instant
from atp.ops.drills.evidence.history import Drill, Told
from atp.ops.record.act import Person

DRILL_REVIEWED = "drill.reviewed"
Words = Annotated[str, Meta(min_length=1, max_length=REASON_CHARS_MAX)]


class Reviewed(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What is said of a drill: its number, the digest of the statement that was looked at, what was found, and what has
    to be done about it; without that it is accepted as it is."""

    number: Annotated[int, Meta(ge=1)]
    statement_sha256: str
    note: Words
    follow_up: Words | None = None


@dataclass(frozen=True, slots=True)
class Review:
    """One review as it was told; `is_own`: by the person who had run the drill."""

    at: datetime
    by: str
    said: Reviewed
    is_own: bool

    @property
    def sentence(self) -> str:
        """The review for people."""
        who = f"{self.by}, who ran it" if self.is_own else self.by
        follow_up = f"; to do: {self.said.follow_up}" if self.said.follow_up else ""
        return f"{self.at:%Y-%m-%d} {who}: {self.said.note}{follow_up}"


def review_event(said: Reviewed, *, dataset: str, by: Person, micros: int, event_id: str) -> Event:
    """The event that is written down."""
    return Event(
        actor=Actor(by.id, type="person" if by.is_bound else "os-user"),
        action=DRILL_REVIEWED,
        id=event_id,
        time=format_instant(micros),
        resource=Resource(dataset, type="dataset"),
        outcome="success",
        data=msgspec.Raw(msgspec.json.encode(said)),
    )


def reviews_of(drills: Iterable[Drill], told: Iterable[Told]) -> dict[str, tuple[Review, ...]]:
    """The reviews of each drill, by its id, oldest first: those that name its number and its very statement. Pure."""
    looked_at = {
        (drill.dataset, drill.done.number, drill.done.statement.sha256): drill
        for drill in drills
        if drill.done.statement is not None
    }
    found = dict[str, dict[str, Review]]()
    for one in told:
        try:
            said = msgspec.convert(one.data, Reviewed)
        except msgspec.ValidationError:
            continue
        drill = looked_at.get((one.dataset, said.number, said.statement_sha256))
        if drill is not None:
            review = Review(one.at, one.by, said, is_own=one.by == drill.by)
            found.setdefault(drill.id, {}).setdefault(one.id, review)
    return {drill: tuple(sorted(of.values(), key=lambda review: review.at)) for drill, of in found.items()}
