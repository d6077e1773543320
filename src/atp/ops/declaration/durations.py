"""Lengths of time and instants as people write them: `15min`, `2h`, `90d`; `2026-03-01`, `2026-03-01T09:00:00Z`."""

import re
from datetime import UTC, datetime, timedelta

DURATION = r"^[1-9][0-9]{0,5}(s|min|h|d)$"
INSTANT = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}(T[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,6})?(Z|[+-][0-9]{2}:[0-9]{2}))?$"
CLOCK = r"^([01][0-9]|2[0-3]):[0-5][0-9]$|^24:00$"
_UNITS = {"d": 86_400, "h": 3_600, "min": 60, "s": 1}


def parse_duration(text: str) -> timedelta:
    """The length of `<number><s|min|h|d>`; a day is 24 hours. ValueError when it is none."""
    if not re.fullmatch(DURATION, text):
        raise ValueError("is no duration")
    number = text.rstrip("smindh")
    return timedelta(seconds=int(number) * _UNITS[text[len(number) :]])


def format_duration(length: timedelta) -> str:
    """The shortest text that `parse_duration` reads as `length`; parts of a second are cut, 0 and less are "0s"."""
    seconds = max(0, int(length.total_seconds()))
    for unit, size in _UNITS.items():
        if seconds and seconds % size == 0:
            return f"{seconds // size}{unit}"
    return "0s"


def about(length: timedelta) -> str:
    """A length for people, cut to its largest unit and the next: `3d 4h`, `2h`, `17min`, `45s`."""
    seconds = max(0, int(length.total_seconds()))
    units = list(_UNITS.items())
    for (unit, size), (finer, finer_size) in zip(units, [*units[1:], ("", 1)], strict=True):
        if seconds >= size:
            rest = seconds % size // finer_size if finer else 0
            return f"{seconds // size}{unit}" + (f" {rest}{finer}" if rest else "")
    return "0s"


def parse_instant(text: str) -> datetime:
    """An aware instant in UTC; a date alone is its first moment in UTC. ValueError when it is none."""
    if not re.fullmatch(INSTANT, text):
        raise ValueError("is no instant")
    moment = datetime.fromisoformat(text)
    try:
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except OverflowError:
        raise ValueError("is no instant") from None


def format_instant(moment: datetime) -> str:
    """RFC 3339 in UTC; a date alone when it is the first moment of a day."""
    text = moment.astimezone(UTC).replace(tzinfo=None).isoformat()
    return text.removesuffix("T00:00:00") if text.endswith("T00:00:00") else f"{text}Z"


def format_second(moment: datetime) -> str:
    """`format_instant` for people: parts of a second are cut."""
    return format_instant(moment.replace(microsecond=0))
