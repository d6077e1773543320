"""Reviews of drills: what a person found of one that was told, and what has to follow. Each is a `drill.reviewed`."""

from dataclasses import dataclass
from datetime import datetime
from typing import Annotated

import msgspec
from msgspec import Meta

from atp.limits import REASON_CHARS_MAX

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
    index: int | None = None

    @property
    def who(self) -> str:
        """Who looked, and whether that was the one who had run it."""
        return f"{self.by}, who ran it" if self.is_own else self.by

    @property
    def sentence(self) -> str:
        """The review for people."""
        follow_up = f"; to do: {self.said.follow_up}" if self.said.follow_up else ""
        return f"{self.at:%Y-%m-%d} {self.who}: {self.said.note}{follow_up}"
