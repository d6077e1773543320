"""Kinds of values that many declarations hold: names, lengths of time, references to secrets, times of day."""

from datetime import datetime, timedelta
from typing import Annotated

import msgspec
from msgspec import Meta

from atp.limits import DECLARATION_TEXT_CHARS_MAX
from atp.ops.declaration.durations import CLOCK

NAME = r"^[a-z0-9][a-z0-9-]{0,62}$"

Name = Annotated[str, Meta(pattern=NAME, description="Lower-case letters, digits and hyphens, at most 63.")]
Sentence = Annotated[str, Meta(min_length=1, max_length=DECLARATION_TEXT_CHARS_MAX)]
Duration = Annotated[timedelta, Meta(examples=["15min", "2h", "90d"])]
Instant = Annotated[datetime, Meta(examples=["2026-03-01", "2026-03-01T09:00:00Z"])]
ClockTime = Annotated[str, Meta(pattern=CLOCK, description="HH:MM, local, up to 24:00.", examples=["08:00", "24:00"])]
EnvironmentVariable = Annotated[str, Meta(pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,127}$")]
Command = Annotated[tuple[Sentence, ...], Meta(min_length=1, max_length=64)]
Cell = str | int | float | bool | None


class Reference(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Where a secret lies; never the secret. Exactly one of the three."""

    env: Annotated[EnvironmentVariable | None, Meta(description="Name of an environment variable that holds it.")] = (
        None
    )
    file: Annotated[Sentence | None, Meta(description="Path of a file that holds it, and nothing else.")] = None
    command: Annotated[Command | None, Meta(description="Program and arguments that print it.")] = None


SecretReference = Annotated[Reference, Meta(extra_json_schema={"minProperties": 1, "maxProperties": 1})]
