"""A plain body -> checked events, by its media type and format; what is unfit is refused by position, or parked."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
from starlette.exceptions import HTTPException

from atp import limits
from atp.errors import FieldError, InvalidError, MalformedError, RefusedError, TooLargeError
from atp.formats.catalogue import AUTO, NATIVE, Formats
from atp.formats.convert import Rejected, convert
from atp.formats.ids import Occurrences
from atp.formats.reader import read_records
from atp.log.event import Prepared, prepare, prepare_array, prepare_each, prepare_event, split_array
from atp.ports.event_store import Parked

Park = Callable[[bytes, str], Parked]
FORMAT_OF_MEDIA = {
    "application/json": NATIVE,
    "application/x-www-form-urlencoded": NATIVE,  # what `curl --data` says of everything
    "application/x-ndjson": NATIVE,
    "application/ndjson": NATIVE,
    "application/jsonl": NATIVE,
    "application/cloudevents+json": "cloudevents",
    "application/cloudevents-batch+json": "cloudevents",
    "application/octet-stream": AUTO,
    "text/plain": AUTO,
    "text/csv": AUTO,
}
"""The media types that are read, and the format that each means when the caller names none."""

_LINES = ("application/x-ndjson", "application/ndjson", "application/jsonl")
_COUNT_FROM_COMMAS = 100_000
_COMMA = ord(",")
_TO_BRACKET = re.compile(rb'[^"\[\]{}]*+(?:"[^"\\]*+(?:\\.[^"\\]*+)*+"[^"\[\]{}]*+)*+([\[\]{}])', re.DOTALL)
_SPACE = b" \t\r\n"


@dataclass(slots=True)
class Batch:
    """What a body holds: the events, where each stood in the body, and what was unfit."""

    events: list[Prepared] = field(default_factory=list)
    positions: Sequence[int] = ()
    parked: list[Parked] = field(default_factory=list)
    faults: list[FieldError] = field(default_factory=list)


def media_of(content_type: str | None) -> str:
    """The media type of a Content-Type header; without one a body is JSON. 415 for one that is not read."""
    media = (content_type or "application/json").partition(";")[0].strip().lower()
    if media not in FORMAT_OF_MEDIA:
        raise HTTPException(415, f"could not read the body: {media[:100]!r} is none of {', '.join(FORMAT_OF_MEDIA)}")
    return media


def read_batch(body: bytes, *, media: str, format_name: str, formats: Formats, park: Park | None) -> Batch:
    """The events of a body. With `park`, what is unfit is parked; without, it refuses all with the full list.

    MalformedError when the body as a whole cannot be read, TooLargeError beyond `limits.BATCH_EVENTS_MAX` events.
    About 3 µs a native event, 25 µs a foreign one.
    """
    if not body.strip(_SPACE):
        raise MalformedError("could not read the events: the body is empty")
    if format_name != NATIVE:
        return _read_foreign(body, format_name, formats, park)
    try:
        events = _prepare_all(body, media)
        return Batch(events, range(len(events)))
    except RefusedError as error:
        if park is None or not error.errors:
            raise
    return _sort_out(_split(body, media), park)


def _prepare_all(body: bytes, media: str) -> list[Prepared]:
    if media in _LINES:
        return _prepare_lines(split_lines(body))
    if body.lstrip(_SPACE)[:1] != b"[":
        return prepare_each([body])
    check_count(body)
    events = prepare_array(body)
    if len(events) > limits.BATCH_EVENTS_MAX:
        raise _too_many()
    return events


def _prepare_lines(lines: list[bytes]) -> list[Prepared]:
    try:
        events = prepare_array(b"[%b]" % b",".join(lines))
    except RefusedError:
        return prepare_each(lines)
    # Events of the lengths of the lines are the lines: nothing reached over a line break.
    if [len(event.body) for event in events] == [len(line) for line in lines]:
        return events
    return prepare_each(lines)


def split_lines(body: bytes) -> list[bytes]:
    """The lines of an NDJSON body, without blank ones. TooLargeError for too many."""
    if body.count(b"\n") > 2 * limits.BATCH_EVENTS_MAX:
        raise _too_many()
    lines = [line for raw in body.split(b"\n") if (line := raw.strip(_SPACE))]
    if len(lines) > limits.BATCH_EVENTS_MAX:
        raise _too_many()
    return lines


def check_count(body: bytes) -> None:
    """TooLargeError when a JSON array has more than `limits.BATCH_EVENTS_MAX` elements, before it is decoded: an
    array of 64 MiB can have 30 million. About 0.1 ns a byte below 100,000 commas, else 10 ns."""
    if np.count_nonzero(np.frombuffer(body, np.uint8) == _COMMA) < _COUNT_FROM_COMMAS:
        return
    at = depth = commas = 0
    while match := _TO_BRACKET.match(body, at):
        if depth == 1:
            commas += body.count(b",", at, match.end())
        if commas >= limits.BATCH_EVENTS_MAX:
            raise _too_many()
        depth += 1 if match[1] in b"[{" else -1
        at = match.end()
    if commas + body.count(b",", at) >= limits.BATCH_EVENTS_MAX and depth > 0:
        raise _too_many()  # the array never ends, so all that follows may be elements


def _split(body: bytes, media: str) -> list[bytes]:
    if media in _LINES:
        return split_lines(body)
    return split_array(body) if body.lstrip(_SPACE)[:1] == b"[" else [body]


def _sort_out(raws: list[bytes], park: Park) -> Batch:
    """The fit events of a batch, and the others parked."""
    batch, positions = Batch(), []
    for position, raw in enumerate(raws):
        try:
            batch.events.append(prepare(raw))
            positions.append(position)
        except RefusedError as error:
            batch.parked.append(park(raw, str(error)))
            batch.faults += [FieldError(position, fault.field, fault.reason) for fault in error.errors]
    batch.positions = positions
    return batch


def _read_foreign(body: bytes, format_name: str, formats: Formats, park: Park | None) -> Batch:
    batch, positions, occurrences = Batch(), [], Occurrences()
    unfit: list[Rejected] = []
    for position, record in enumerate(read_records([body], format=format_name, formats=formats)):
        if position >= limits.BATCH_EVENTS_MAX:
            raise _too_many()
        event = convert(record, formats=formats, occurrences=occurrences)
        try:
            if isinstance(event, Rejected):
                raise InvalidError(event.reason, errors=[FieldError(position, "record", event.reason)])
            batch.events.append(prepare_event(event))
            positions.append(position)
        except RefusedError as error:
            unfit.append(Rejected(str(error), record.raw))
            batch.faults += [FieldError(position, fault.field, fault.reason) for fault in error.errors]
    batch.positions = positions
    if unfit and park is None:
        raise _refusal(batch.faults, len(unfit), len(unfit) + len(batch.events))
    batch.parked = [park(record.raw, record.reason) for record in unfit] if park else []
    return batch


def _refusal(faults: Sequence[FieldError], unfit: int, count: int) -> InvalidError:
    first = faults[0]
    return InvalidError(
        f"could not accept {unfit} of {count} records: record {first.position}: {first.reason}",
        hint="nothing was recorded; name their format, or send ?invalid=park",
        errors=faults[: limits.ERRORS_LISTED_MAX],
    )


def _too_many() -> TooLargeError:
    return TooLargeError(
        f"could not accept the batch: it has more than {limits.BATCH_EVENTS_MAX:,} events", hint="send several requests"
    )
