"""1/8 event: what happened -> the entry's bytes.

Entry format 1, one JSON text without line breaks, members in this order (docs/format.md has every byte)::

    {"format":1,"received_at":"2026-01-31T23:59:59.000001Z","by":"alice"[,"sealed":{…}],"event":{…}}

`event` holds the sender's event: members in the order of `Event`, no white space outside `data`, and `data` byte for
byte as it was sent (line breaks between tokens become spaces). `sealed` has a place for commitments to values that lie
in a payload pack beside the log. Verification hashes these bytes and never writes them again.
"""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

import msgspec

from atp import limits
from atp.errors import FieldError, InvalidError, MalformedError, RefusedError, TooLargeError

ENTRY_FORMAT = 1
SCHEMA = "atp.event/1"
EVENT_ID = rf"^[A-Za-z0-9._:@+=~/\-]{{1,{limits.EVENT_ID_CHARS_MAX}}}$"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_INSTANT = re.compile(r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d{1,12})?([Zz]|[+-]\d\d:\d\d)")
_PLAIN_INSTANT = re.compile(  # in UTC, on a day that every month has: such instants exist
    r"(?!0000)\d{4}-(?:0[1-9]|1[0-2])-(?:0[1-9]|1\d|2[0-8])T(?:[01]\d|2[0-3]):[0-5]\d:[0-5]\d(?:\.\d{1,12})?Z",
    re.ASCII,
).fullmatch

Text = Annotated[str, msgspec.Meta(min_length=1, max_length=limits.FIELD_CHARS_MAX)]
EventId = Annotated[str, msgspec.Meta(pattern=EVENT_ID)]
Outcome = Literal["success", "failure", "denied", "unknown"]


class Actor(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True, gc=False, frozen=True):
    """Who did it; `id` is what queries compare."""

    id: Text
    type: Text | None = None
    name: Text | None = None


class Resource(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True, gc=False, frozen=True):
    """On what it was done."""

    id: Text
    type: Text | None = None
    name: Text | None = None


class Context(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True, gc=False, frozen=True):
    """Where the act came from, as far as the sender knows."""

    ip: Text | None = None
    request_id: Text | None = None
    trace_id: Text | None = None
    user_agent: Text | None = None
    session_id: Text | None = None


class Event(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True, gc=False, frozen=True):
    """What a sender reports: schema `atp.event/1`. `data` is any JSON value, kept byte for byte."""

    actor: Actor
    action: Text
    schema: Text | None = None
    id: EventId | None = None
    time: Text | None = None
    resource: Resource | None = None
    outcome: Outcome | None = None
    context: Context | None = None
    data: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET


class Prepared(msgspec.Struct, gc=False, frozen=True):
    """An event that passed every check: its id and the bytes that will stand behind `"event":` in the entry."""

    id: str
    body: bytes


class Sealed(msgspec.Struct, omit_defaults=True, frozen=True, rename={"retention_class": "class"}):
    """Commitments in place of values: for each dotted field, the hex SHA-256 of 32 random salt bytes and the value's
    JSON bytes. Both lie in the payload pack of `retention_class` and the month of `received_at`."""

    retention_class: str
    fields: dict[str, str]
    subject: str | None = None


class Entry(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """An entry, read: what the server added, and the event's bytes."""

    format: int
    received_at: str
    by: str
    event: msgspec.Raw
    sealed: Sealed | None = None


_EVENT = msgspec.json.Decoder(Event)
_EVENTS = msgspec.json.Decoder(list[Event])
_RAWS = msgspec.json.Decoder(list[msgspec.Raw])
_MEMBERS = msgspec.json.Decoder(dict[str, msgspec.Raw])
_ENTRY = msgspec.json.Decoder(Entry)
_FIELDS = {field.name: msgspec.json.Decoder(field.type) for field in msgspec.structs.fields(Event)}
_REQUIRED = ("actor", "action")
_encode = msgspec.json.Encoder().encode


def prepare_array(body: bytes, *, reserved: bool = False) -> list[Prepared]:
    """Check a JSON array of events, all or nothing.

    `reserved` admits actions that begin with `atp.`. An event without an id keeps `Prepared.id` empty: `append`
    gives it one. Raises MalformedError or InvalidError with the full list of faults. About 3 µs an event.
    """
    check_utf8(body)
    try:
        events = _EVENTS.decode(body)
        bodies = [_encode(event) for event in events]
        # The encoder writes each member once and no white space: equal length means that nothing was dropped.
        if sum(map(len, bodies)) + len(bodies) + 1 == len(body):
            has_breaks = _has_breaks(body)
            return [_prepared(event, text, reserved, has_breaks) for event, text in zip(events, bodies, strict=True)]
    except (msgspec.MsgspecError, InvalidError, MalformedError, RecursionError):
        pass
    return prepare_each(split_array(body), reserved=reserved)


def prepare_each(raws: Sequence[bytes], *, reserved: bool = False) -> list[Prepared]:
    """Check single events, all or nothing, as `prepare_array` does."""
    prepared, kinds, faults = [], set[type[RefusedError]](), []
    for position, raw in enumerate(raws):
        try:
            prepared.append(prepare(raw, reserved=reserved))
        except (MalformedError, InvalidError, TooLargeError) as error:
            kinds.add(type(error))
            faults += [FieldError(position, fault.field, fault.reason) for fault in error.errors]
    if not faults:
        return prepared
    kind = next(kind for kind in (MalformedError, InvalidError, TooLargeError) if kind in kinds)
    first = faults[0]
    raise kind(
        f"could not accept {len({f.position for f in faults})} of {len(raws)} events: event {first.position}: "
        f"{first.field} {first.reason}",
        hint="nothing was recorded; correct them, or send ?invalid=park",
        errors=faults[: limits.ERRORS_LISTED_MAX],
    )


def prepare(raw: bytes, *, reserved: bool = False) -> Prepared:
    """Check one event. MalformedError, InvalidError or TooLargeError hold every fault in `errors`, at position 0."""
    check_utf8(raw)
    try:
        event = _EVENT.decode(raw)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
        raise _explain(raw, error) from None
    body = _encode(event)
    if len(body) != len(raw):
        _check_repeats(raw, event)
    return _prepared(event, body, reserved, _has_breaks(body))


def prepare_event(event: Event, *, reserved: bool = False) -> Prepared:
    """Check an event that the platform made itself. Same errors as `prepare`."""
    return prepare(_encode(event), reserved=reserved)


def split_array(body: bytes) -> list[bytes]:
    """The elements of a JSON array as bytes. MalformedError when it is none."""
    try:
        return [bytes(raw) for raw in _RAWS.decode(body)]
    except (msgspec.MsgspecError, RecursionError) as error:
        raise _malformed("body", f"is not a JSON array of events: {_words(error)}") from None


def check_utf8(text: bytes) -> None:
    """MalformedError unless the bytes are UTF-8. Costs one pass."""
    try:
        text.isascii() or text.decode()
    except UnicodeDecodeError as error:
        raise _malformed("body", f"is not UTF-8 at byte {error.start}") from None


def parse_instant(text: str) -> int:
    """Microseconds since 1970 UTC of an RFC 3339 instant; finer digits are cut. ValueError when it is none."""
    if not _INSTANT.fullmatch(text):
        raise ValueError("is not an RFC 3339 instant such as 2026-01-31T23:59:59Z")
    if text[17:19] == "60":  # a leap second: there is no such datetime, and the order stays right
        text = f"{text[:17]}59{text[19:]}"
    try:
        since = datetime.fromisoformat(text.upper()) - _EPOCH
        return since.days * 86_400_000_000 + since.seconds * 1_000_000 + since.microseconds
    except (ValueError, OverflowError):
        raise ValueError("is not a date and time that exists") from None


def format_instant(micros: int) -> str:
    """RFC 3339 UTC with six digits, of microseconds since 1970."""
    moment = datetime.fromtimestamp(micros // 1_000_000, UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{micros % 1_000_000:06d}Z"


def entry_head(*, received_at: str, by: str) -> bytes:
    """The bytes of an entry before its event; close it with `entry_bytes`."""
    return b'{"format":1,"received_at":%b,"by":%b,"event":' % (_encode(received_at), _encode(by))


def entry_bytes(head: bytes, prepared: Prepared) -> bytes:
    """The entry. TooLargeError when it is over `limits.ENTRY_BYTES_MAX`."""
    entry = b"%b%b}" % (head, prepared.body)
    if len(entry) > limits.ENTRY_BYTES_MAX:
        raise _too_large(len(entry))
    return entry


def read_entry(entry: bytes) -> Entry:
    """Read an entry's bytes. MalformedError when they are not format 1."""
    try:
        read = _ENTRY.decode(entry)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise _malformed("entry", f"is not of format {ENTRY_FORMAT}: {_words(error)}") from None
    if read.format != ENTRY_FORMAT:
        raise _malformed("entry", f"has format {read.format}, this program reads {ENTRY_FORMAT}")
    return read


def read_event(entry: bytes) -> tuple[Entry, Event]:
    """Read an entry and the event in it. MalformedError when they are not format 1."""
    read = read_entry(entry)
    try:
        return read, _EVENT.decode(read.event)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise _malformed("event", f"is not of schema {SCHEMA}: {_words(error)}") from None


def event_id(entry: bytes) -> str:
    """The id of the event in an entry; empty when the bytes are not of format 1."""
    try:
        return read_event(entry)[1].id or ""
    except MalformedError:
        return ""


def is_same_content(one: bytes, other: bytes) -> bool:
    """Whether two event bodies are equal as JSON tokens: white space and key order aside, numbers as written."""
    return one == other or _tokens(one) == _tokens(other)


def _prepared(event: Event, body: bytes, reserved: bool, has_breaks: bool) -> Prepared:
    if event.schema is not None and event.schema != SCHEMA:
        raise _invalid("schema", f"{event.schema!r} is unknown, this server knows {SCHEMA!r}")
    if not reserved and event.action.startswith("atp."):
        raise _invalid("action", "begins with 'atp.', which is reserved")
    if event.time is not None and not _PLAIN_INSTANT(event.time):
        try:
            parse_instant(event.time)
        except ValueError as error:
            raise _invalid("time", str(error)) from None
    if event.data is not msgspec.UNSET:
        if has_breaks:  # JSON strings hold none as they are, so each one stands between tokens of `data`
            body = body.replace(b"\n", b" ").replace(b"\r", b" ")
        _check_data_depth(body, event)
    if len(body) > limits.ENTRY_BYTES_MAX:
        raise _too_large(len(body))
    return Prepared(event.id or "", body)


def _has_breaks(text: bytes) -> bool:
    return b"\n" in text or b"\r" in text


def _check_data_depth(body: bytes, event: Event) -> None:
    # Taking few bytes out of a text is four times as fast as counting them.
    opened = 2 * len(body) - len(body.replace(b"[", b"")) - len(body.replace(b"{", b""))
    if opened > limits.DATA_DEPTH_MAX and _depth(_data(event)) > limits.DATA_DEPTH_MAX:
        raise _malformed("data", f"is nested deeper than {limits.DATA_DEPTH_MAX}")


def _data(event: Event) -> bytes:
    return bytes(event.data) if isinstance(event.data, msgspec.Raw) else b""


_STRINGS = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"', re.DOTALL)
_NO_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))


def _depth(text: bytes) -> int:
    deepest = depth = 0
    for byte in _STRINGS.sub(b"", text).translate(None, _NO_BRACKETS):
        if byte in b"[{":
            depth += 1
            deepest = max(deepest, depth)
        else:
            depth -= 1
    return deepest


@dataclass(frozen=True, slots=True)
class _Object:
    """A JSON object as its members stand in the text, repeats included."""

    members: list[tuple[str, Any]]


def _parse(text: bytes) -> Any:
    return json.loads(
        text,
        object_pairs_hook=_Object,
        parse_int=lambda digits: ("number", digits),
        parse_float=lambda digits: ("number", digits),
    )


def _check_repeats(raw: bytes, event: Event) -> None:
    """MalformedError when a key stands twice outside `data` (the decoder keeps the last one silently)."""
    data = _data(event)
    if data and raw.count(data) == 1:
        raw = raw.replace(data, b"0")
    elif _depth(data) > limits.DATA_DEPTH_MAX:
        raise _malformed("data", f"is nested deeper than {limits.DATA_DEPTH_MAX}")
    _check_pairs(_parse(raw), "")


def _check_pairs(value: Any, path: str) -> None:
    if not isinstance(value, _Object):
        return
    seen: set[str] = set()
    for key, inner in value.members:
        if key in seen:
            raise _malformed(path + key, "stands twice")
        seen.add(key)
        if path or key != "data":
            _check_pairs(inner, f"{path}{key}.")


def _tokens(body: bytes) -> Any:
    """A value that is equal for texts with equal tokens, key order aside; repeated keys keep their order."""
    return _sorted(_parse(body))


def _sorted(value: Any) -> Any:
    if isinstance(value, _Object):
        return ("object", *sorted(((key, _sorted(inner)) for key, inner in value.members), key=lambda pair: pair[0]))
    if isinstance(value, list):
        return ("array", *map(_sorted, value))
    return (type(value).__name__, value)


def _explain(raw: bytes, error: Exception) -> MalformedError | InvalidError:
    """Every fault of an event that the decoder refused; it names only the first, so each member is tried alone."""
    try:
        members = _MEMBERS.decode(raw)
    except msgspec.ValidationError:
        return _malformed("event", "is not a JSON object")
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as why:
        return _malformed("event", f"is not JSON: {_words(why)}")
    faults = [(name, "is missing") for name in _REQUIRED if name not in members]
    for name, value in members.items():
        if name not in _FIELDS:
            faults.append((name, "is unknown"))
            continue
        try:
            _FIELDS[name].decode(value)
        except msgspec.ValidationError as why:
            faults.append(_fault(name, str(why)))
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as why:
            return _malformed(name, f"is not JSON: {_words(why)}")
    if not faults:
        faults = [_fault("", str(error))]
    (field, reason), errors = faults[0], [FieldError(0, *fault) for fault in faults]
    return InvalidError(f"could not accept the event: {field} {reason}", errors=errors)


_WHERE = re.compile(r" - at `\$\.?(.*)`$")
_MISSING = re.compile(r"Object missing required field `(.*?)`")
_UNKNOWN = re.compile(r"Object contains unknown field `(.*?)`")


def _fault(name: str, message: str) -> tuple[str, str]:
    """(dotted field, reason) of a decoder's message about the member `name`."""
    where = _WHERE.search(message)
    path = ".".join(filter(None, (name, where.group(1) if where else "")))
    message = _WHERE.sub("", message)
    if found := _MISSING.match(message):
        return f"{path}.{found.group(1)}".lstrip("."), "is missing"
    if found := _UNKNOWN.match(message):
        return f"{path}.{found.group(1)}".lstrip("."), "is unknown"
    if "matching regex" in message:
        return path, "has to be 1 to 200 characters of A-Z a-z 0-9 . _ : @ + = ~ / -"
    return path or "event", f"is refused: {message[:1].lower()}{message[1:]}"


def _words(error: Exception) -> str:
    return "nested too deep" if isinstance(error, RecursionError) else str(error).removeprefix("JSON is malformed: ")


def _malformed(field: str, reason: str) -> MalformedError:
    return MalformedError(f"could not read the event: {field} {reason}", errors=[FieldError(0, field, reason)])


def _invalid(field: str, reason: str) -> InvalidError:
    return InvalidError(f"could not accept the event: {field} {reason}", errors=[FieldError(0, field, reason)])


def _too_large(size: int) -> TooLargeError:
    reason = f"would be an entry of {size:,} bytes, the limit is {limits.ENTRY_BYTES_MAX:,}"
    return TooLargeError(f"could not accept the event: it {reason}", errors=[FieldError(0, "event", reason)])
