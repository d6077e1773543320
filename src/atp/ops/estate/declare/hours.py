"""When revenue hours are, in real time: local clocks jump, and an hour that happens twice counts twice."""

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

from atp.ops.estate.declare.values import RevenueHours

_WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_DAY = timedelta(days=1)


def length_of_week(hours: RevenueHours) -> timedelta:
    """Revenue hours of a week in which no clock is changed."""
    opens, closes = _minutes(hours.opens), _minutes(hours.closes)
    length = closes - opens if closes > opens else closes - opens + 24 * 60
    return timedelta(minutes=length * len(hours.weekdays))


def is_open(hours: RevenueHours, at: datetime) -> bool:
    """Whether an aware instant is within revenue hours."""
    local_day = at.astimezone(ZoneInfo(hours.zone)).date()
    return any(since <= at < until for since, until in _spans(hours, local_day - _DAY, local_day))


def open_time(hours: RevenueHours, since: datetime, until: datetime) -> timedelta:
    """How much of `since` to `until`, aware instants, is revenue hours. One step for each day between them."""
    zone = ZoneInfo(hours.zone)
    first, last = since.astimezone(zone).date() - _DAY, until.astimezone(zone).date()
    overlaps = (min(until, end) - max(since, start) for start, end in _spans(hours, first, last))
    return sum((overlap for overlap in overlaps if overlap > timedelta()), timedelta())


def _spans(hours: RevenueHours, first: date, last: date) -> Iterator[tuple[datetime, datetime]]:
    """From when to when they last that begin on the days `first` to `last`, in UTC."""
    zone = ZoneInfo(hours.zone)
    opens, closes = _minutes(hours.opens), _minutes(hours.closes)
    is_overnight = closes <= opens
    for offset in range((last - first).days + 1):
        day = first + offset * _DAY
        if _WEEKDAYS[day.weekday()] not in hours.weekdays:
            continue
        yield (
            _instant(day, opens, zone, fold=0),
            _instant(day + _DAY if is_overnight else day, closes, zone, fold=1),
        )


def _instant(day: date, minutes: int, zone: ZoneInfo, *, fold: int) -> datetime:
    """When the clock of `zone` shows that time of `day`: of two such instants the first (fold 0) or the last (fold 1).

    A time that the clock jumps over is the instant of the jump.
    """
    wall = datetime(day.year, day.month, day.day) + timedelta(minutes=minutes)  # noqa: DTZ001 - it is what a wall shows
    early, late = sorted(wall.replace(tzinfo=zone, fold=side).astimezone(UTC) for side in (0, 1))
    if early == late or early.astimezone(zone).replace(tzinfo=None) == wall:
        return late if fold else early
    offset_before = early.astimezone(zone).utcoffset()
    while late - early > timedelta(seconds=1):  # the jump is in between: at most 17 halvings of a day
        middle = early + (late - early) // 2
        if middle.astimezone(zone).utcoffset() == offset_before:
            early = middle
        else:
            late = middle
    return late.replace(microsecond=0)


def _minutes(clock: str) -> int:
    hour, minute = clock.split(":")
    return int(hour) * 60 + int(minute)
