"""A record -> a native event by the mapping of its format, with the record's own bytes as `data`."""

import re
from typing import Any

import msgspec

from atp import limits
from atp.errors import RefusedError
from atp.formats.auditd import parse_audit
from atp.formats.catalogue import NATIVE, Formats, body_of
from atp.formats.documents import decode
from atp.formats.ids import Occurrences, native_id
from atp.formats.mapping import OUTCOMES, Mapping, NamedReaders
from atp.formats.paths import ReadText
from atp.formats.reader import Record
from atp.formats.times import parse_time
from atp.log.event import Actor, Context, Event, Resource, prepare

UNKNOWN = "unknown"

_decode_event = msgspec.json.Decoder(Event).decode
_ADDRESS_AND_PORT = re.compile(r"(\d{1,3}(?:\.\d{1,3}){3}):\d+|\[([0-9A-Fa-f:.]+)\](?::\d+)?")


class Rejected(msgspec.Struct, frozen=True):
    """A record that is no event, and why; `raw` is what the caller parks."""

    reason: str
    raw: bytes


def convert(record: Record, *, formats: Formats, occurrences: Occurrences) -> Event | Rejected:
    """The event of a record, or the reason why there is none. Raises nothing for bad content.

    Keep one `occurrences` for each file. A native event passes unchanged, checked as at the door. Texts over
    `limits.FIELD_CHARS_MAX` are cut, the whole stands in `data`. About 10 µs for a record of 1.4 KB.
    """
    if record.reason is not None or record.format is None:
        return Rejected(record.reason or "its format is not known", record.raw)
    try:
        if record.format == NATIVE:
            prepare(record.raw)
            return _decode_event(record.raw)
        return _convert(record, formats.mappings[record.format], occurrences)
    except RefusedError as error:
        reasons = (f"{fault.field} {fault.reason}" for fault in error.errors)
        return Rejected(", ".join(reasons) or str(error), record.raw)


def _convert(record: Record, mapping: Mapping, occurrences: Occurrences) -> Event | Rejected:
    raw = record.raw
    is_text = raw[:1] != b"{"
    value, reason = (record.fields, None) if record.fields is not None else _decode(raw, mapping)
    if not isinstance(value, dict):
        return Rejected(reason or "it is not a JSON object", raw)
    if raw.count(b"{") + raw.count(b"[") > limits.DATA_DEPTH_MAX and _depth(value) > limits.DATA_DEPTH_MAX:
        return Rejected(f"it is nested deeper than {limits.DATA_DEPTH_MAX}", raw)
    body = body_of(value, mapping) if mapping.body else value
    action = _text(mapping.action, body)
    if not action:
        return Rejected(f"it has nothing that format {mapping.name} takes for the action", raw)
    if action.startswith("atp."):
        return Rejected("its action begins with 'atp.', which is reserved", raw)
    return Event(
        actor=_actor(mapping.actor, body),
        action=action,
        id=_event_id(mapping, body, raw, is_text, occurrences),
        time=_time(mapping, body),
        resource=_resource(mapping.resource, body),
        outcome=_outcome(mapping.outcome, body),
        context=_context(mapping, body),
        data=msgspec.Raw(_lines_as_json(raw) if is_text else _without_line_breaks(raw)),
    )


def _decode(raw: bytes, mapping: Mapping) -> tuple[Any, str | None]:
    if raw[:1] == b"{":
        return decode(raw)
    try:
        value = parse_audit(raw.decode()) if mapping.syntax == "auditd" else None
    except UnicodeDecodeError as error:
        return None, f"it is not UTF-8: {error.reason}"
    return value, None


def _text(read: ReadText, body: dict[str, Any]) -> str:
    text = read(body)
    return text if len(text) <= limits.FIELD_CHARS_MAX else text[: limits.FIELD_CHARS_MAX]


def _actor(readers: NamedReaders, body: dict[str, Any]) -> Actor:
    return Actor(
        id=_text(readers.id, body) or UNKNOWN,
        type=_text(readers.type, body) or None,
        name=_text(readers.name, body) or None,
    )


def _resource(readers: NamedReaders, body: dict[str, Any]) -> Resource | None:
    resource_id = _text(readers.id, body)
    if not resource_id:
        return None
    return Resource(id=resource_id, type=_text(readers.type, body) or None, name=_text(readers.name, body) or None)


def _context(mapping: Mapping, body: dict[str, Any]) -> Context | None:
    found = {name: text for name, read in mapping.context if (text := _text(read, body))}
    if not found:
        return None
    if (ip := found.get("ip")) and (match := _ADDRESS_AND_PORT.fullmatch(ip)):
        found["ip"] = match[1] or match[2]
    return Context(**found)


def _time(mapping: Mapping, body: dict[str, Any]) -> str | None:
    for read in mapping.time:
        if (text := read(body)) and (time := parse_time(text, zone=mapping.zone)):
            return time
    return None


def _outcome(read: ReadText | None, body: dict[str, Any]) -> Any:
    if read is None:
        return None
    outcome = read(body)
    return outcome if outcome in OUTCOMES else UNKNOWN


def _event_id(mapping: Mapping, body: dict[str, Any], raw: bytes, is_text: bool, occurrences: Occurrences) -> str:
    if mapping.id is not None and (own := mapping.id(body)):
        return native_id(own)
    return occurrences.next_id(raw if is_text else msgspec.json.format(raw, indent=-1))


def _lines_as_json(raw: bytes) -> bytes:
    return msgspec.json.encode({"lines": raw.decode().split("\n")})


def _without_line_breaks(raw: bytes) -> bytes:
    # Strings of JSON hold no raw line breaks: these stand between tokens.
    return raw.replace(b"\r", b" ").replace(b"\n", b" ") if b"\n" in raw or b"\r" in raw else raw


def _depth(value: Any) -> int:
    """How deep lists and objects are nested, by levels: no recursion on input."""
    depth, level = 0, [value]
    while level := [inner for inner in level if isinstance(inner, (dict, list))]:
        depth += 1
        level = [child for inner in level for child in (inner.values() if isinstance(inner, dict) else inner)]
    return depth
