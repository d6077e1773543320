"""Times as sources write them -> RFC 3339 in UTC, with the digits that the source gave.

Understood: RFC 3339 and ISO 8601 with 0 to 12 fraction digits, `T` or a space, offsets with and without colon, zone
names, one-digit hours, slashes, no zone; seconds, milli-, micro- and nanoseconds since 1970 as number or text;
`Jul 10, 2023 11:54:39 AM`; `Thu Jul 11 01:21:41 2013`; `27/Jun/2013:11:55:44 +0200`; `Mon, 02 Jan 2006 15:04:05 -0700`;
syslog's `Jan  2 03:04:05`, whose year is found from an instant that it does not pass. Anything else has no time:
a wrong one is worse. Year 1 and 1970-01-01T00:00:00Z as number 0 mean "not set" and have none either.
"""

import re
from datetime import UTC, datetime, timedelta, timezone, tzinfo

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# Offsets in hours. Names that mean several zones (IST, AST ...) are left out: no time rather than a wrong one.
_ZONES = {"Z": 0, "UTC": 0, "GMT": 0, "WET": 0, "WEST": 1, "BST": 1, "CET": 1, "CEST": 2, "EET": 2, "EEST": 3, "MSK": 3}
_ZONES |= {"JST": 9, "KST": 9, "EST": -5, "EDT": -4, "CST": -6, "CDT": -5, "MST": -7, "MDT": -6, "PST": -8, "PDT": -7}
_MONTHS = {
    name: number
    for number, name in enumerate(
        ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"), start=1
    )
}

_CLOCK = r"(?P<hour>\d{1,2}):(?P<minute>\d\d):(?P<second>\d\d)(?:[.,](?P<fraction>\d{1,12}))?"
_ZONE = r"(?:\s*(?P<zone>[+-]\d\d(?::?\d\d)?|[A-Za-z]{1,4}))?"
_WEEKDAY = r"(?:(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun)[a-z]*,?\s+)?"
_MONTH = r"(?P<name>[A-Za-z]{3})[a-z]*\.?"
_LAYOUTS = tuple(
    re.compile(layout)
    for layout in (
        rf"(?P<year>\d{{4}})[-/](?P<month>\d\d?)[-/](?P<day>\d\d?)(?:[Tt]|\s+){_CLOCK}{_ZONE}",
        rf"{_WEEKDAY}{_MONTH}\s+(?P<day>\d\d?),\s+(?P<year>\d{{4}}),?\s+{_CLOCK}\s*(?P<half>[AaPp][Mm])?{_ZONE}",
        rf"{_WEEKDAY}{_MONTH}\s+(?P<day>\d\d?)\s+{_CLOCK}{_ZONE}\s+(?P<year>\d{{4}})",
        rf"{_WEEKDAY}{_MONTH}\s+(?P<day>\d\d?)\s+(?P<year>\d{{4}})\s+{_CLOCK}{_ZONE}",
        rf"{_WEEKDAY}(?P<day>\d\d?)[\s/-]{_MONTH}[\s/-](?P<year>\d{{4}})[\s:]{_CLOCK}{_ZONE}",
        rf"(?P<year>\d{{4}})(?P<month>\d\d)(?P<day>\d\d)[Tt](?P<hour>\d\d)(?P<minute>\d\d)(?P<second>\d\d){_ZONE}",
        rf"{_WEEKDAY}{_MONTH}\s+(?P<day>\d\d?)\s+{_CLOCK}",
    )
)
_READY = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,12})?Z")
_NUMBER = re.compile(r"(?P<whole>\d{9,19})(?:\.(?P<fraction>\d{1,12})\d*)?")


def parse_time(text: str, *, zone: tzinfo = UTC, not_after: datetime | None = None) -> str | None:
    """RFC 3339 in UTC of `text`, or None when it holds no time.

    `zone` is for times that name none. `not_after` gives a time without year the last year in which it is not later
    (but for a day, by which clocks and zones may differ); without it such a time is none. About 1 µs for
    RFC 3339 in UTC, up to 10 µs for the rest.
    """
    try:
        if _READY.fullmatch(text):
            datetime.fromisoformat(text[:19])
            return None if text.startswith("0001-") else text
        if number := _NUMBER.fullmatch(text):
            return _since_epoch(number["whole"], number["fraction"] or "")
        for layout in _LAYOUTS:
            if match := layout.fullmatch(text):
                return _from_parts(match.groupdict(), zone, not_after)
    except (ValueError, OverflowError):
        pass
    return None


def _since_epoch(whole: str, fraction: str) -> str | None:
    # A unit is told by its size: seconds have 9 to 11 digits for the years 1973 to 5138, each finer unit 3 more.
    digits = 0 if len(whole) <= 11 else 3 if len(whole) <= 14 else 6 if len(whole) <= 17 else 9
    seconds, finer = (whole[:-digits], whole[-digits:]) if digits else (whole, "")
    return _written(_EPOCH + timedelta(seconds=int(seconds)), (finer + fraction)[:12])


def _from_parts(parts: dict[str, str | None], zone: tzinfo, not_after: datetime | None) -> str | None:
    month = _MONTHS.get(parts["name"].lower(), 0) if parts.get("name") else int(parts["month"] or 0)  # type: ignore[union-attr]
    hour = int(parts["hour"] or 0)
    if half := parts.get("half"):
        hour = hour % 12 + (12 if half in ("PM", "pm", "Pm", "pM") else 0)
    second = min(int(parts["second"] or 0), 59)  # a leap second has no datetime; the order stays right
    clock = (hour, int(parts["minute"] or 0), second)
    where = _zone(parts.get("zone"), zone)
    if where is None:
        return None
    if parts.get("year") is None:
        return _without_year((month, int(parts["day"] or 0)), clock, where, not_after)
    moment = datetime(int(parts["year"] or 0), month, int(parts["day"] or 0), *clock, tzinfo=where)
    return None if moment.year == 1 else _written(moment.astimezone(UTC), parts.get("fraction") or "")


def _without_year(
    date: tuple[int, int], clock: tuple[int, int, int], zone: tzinfo, not_after: datetime | None
) -> str | None:
    if not_after is None:
        return None
    for year in range(not_after.year + 1, not_after.year - 8, -1):  # 29 February may lie eight years back
        try:
            moment = datetime(year, *date, *clock, tzinfo=zone)
        except ValueError:
            continue
        if moment <= not_after + timedelta(days=1):
            return _written(moment.astimezone(UTC), "")
    return None


def _zone(name: str | None, default: tzinfo) -> tzinfo | None:
    if name is None:
        return default
    if name[0] in "+-":
        minutes = int(name[1:3]) * 60 + int(name[-2:] if len(name) > 3 else 0)
        return timezone(timedelta(minutes=-minutes if name[0] == "-" else minutes))
    hours = _ZONES.get(name.upper())
    return None if hours is None else timezone(timedelta(hours=hours))


def _written(moment: datetime, fraction: str) -> str:
    return f"{moment.replace(tzinfo=None).isoformat()}{'.' + fraction if fraction else ''}Z"
