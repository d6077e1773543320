"""Reads of an entry (format 1) what verification needs: when it was received, what it seals, which payloads it ends.

The bytes of an entry are proven by their hash, whatever they are; so its head and its end are read, and its event only
where it speaks of payloads, or where all of it is asked for. Neighbours share their head as a rule, which makes reading
it as cheap as comparing it.
"""

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from atp.errors import MalformedError

ERASED = "atp.payload.erased"
EXPIRED = "atp.payload.expired"

_STRING = rb'"(?:[^"\\\x00-\x1f]|\\.)*"'
_HEAD = re.compile(
    rb'\{"format":1,"received_at":"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z)","by":'
    + _STRING
    + rb',(?="event":\{|"sealed":\{)'
)
_EVENT = b'"event":{'
END = b"}}"
"""What an entry ends with."""
_MEMBERS = [["format", "received_at", "by", "event"], ["format", "received_at", "by", "sealed", "event"]]
_EVENT_MEMBERS = {"actor", "action"}
_INTEGER_DIGITS_MAX = 19
MAY_END = b'"action":"atp.payload.'
"""Stands in every entry that ends payloads; in others only by chance."""
_CLASS = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}")
_COMMITMENT = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class SealedEntry:
    """An entry with commitments in place of values: `fields` pairs dotted fields with the SHA-256 of salt and value."""

    index: int
    received_at: str
    retention_class: str
    fields: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Ending:
    """An entry that says that payloads of older entries are gone: erased or expired. No `fields` means all of them."""

    index: int
    action: str
    start: int
    stop: int
    fields: tuple[str, ...]

    def is_of(self, field: str) -> bool:
        """Whether it ends payloads of this field."""
        return not self.fields or field in self.fields


class Heads(NamedTuple):
    """What a run of entries says: the first and last received_at, and where it goes back or is no format 1."""

    first_index: int
    first_at: str
    last_at: str
    backward: tuple[int, ...]
    unread: tuple[int, ...]
    sealed: tuple[SealedEntry, ...]

    def moved(self, by: int) -> "Heads":
        """The same of a run that begins so much later."""
        return Heads(
            self.first_index + by,
            self.first_at,
            self.last_at,
            tuple(index + by for index in self.backward),
            tuple(index + by for index in self.unread),
            tuple(replace(entry, index=entry.index + by) for entry in self.sealed),
        )


class HeadReader:
    """Reads the heads of entries in order. One that begins with `head`, its neighbour's, and ends with END: skip it.

    `with_events` says that all of each entry is to be parsed besides.
    """

    def __init__(self, *, with_events: bool = False) -> None:
        self.with_events = with_events
        self.head: bytes | tuple[()] = ()  # no entry begins with one of no heads
        self._first_at = self._last_at = ""
        self._backward = list[int]()
        self._unread = list[int]()
        self._sealed = list[SealedEntry]()

    def read(self, entry: bytes, index: int) -> None:
        """The next entry whose head is another one. Costs 1 µs; 10 µs where it seals something."""
        match = _HEAD.match(entry)
        if match is None or not entry.endswith(END):
            self._unread.append(index)
            return
        at = match[1].decode()
        if at < self._last_at:
            self._backward.append(index)
        self._first_at, self._last_at = self._first_at or at, at
        if entry.startswith(_EVENT, match.end()):
            self.head = match[0] + _EVENT
        elif (found := _sealed(entry, index, at)) is not None:
            self._sealed.append(found)
        else:
            self._unread.append(index)

    def read_events(self, entries: Iterable[bytes | memoryview], first_index: int) -> None:
        """All of the entries whose heads were read. Costs 5 µs a KB."""
        self._unread += (index for index, entry in enumerate(entries, first_index) if not is_format_1(bytes(entry)))

    def heads(self, *, first_index: int) -> Heads:
        """What was read; `first_index` is that of the first entry of the run."""
        return Heads(
            first_index,
            self._first_at,
            self._last_at,
            tuple(self._backward),
            tuple(sorted(set(self._unread))),
            tuple(self._sealed),
        )


def read_heads(entries: Sequence[bytes], *, first_index: int, with_events: bool = False) -> Heads:
    """Reads the heads of a run of entries, and their events besides where that is asked for."""
    reader = HeadReader()
    for index, entry in enumerate(entries, first_index):
        if not (entry.startswith(reader.head) and entry.endswith(END)):
            reader.read(entry, index)
    if with_events:
        reader.read_events(entries, first_index)
    return reader.heads(first_index=first_index)


def is_format_1(entry: bytes) -> bool:
    """Whether it is one line of JSON with the members of format 1, its event one with an actor and an action."""
    read = parse_entry(entry)
    event = read.get("event")
    is_line = b"\n" not in entry and b"\r" not in entry
    return is_line and list(read) in _MEMBERS and isinstance(event, dict) and event.keys() >= _EVENT_MEMBERS


def read_endings(entries: Sequence[bytes], *, first_index: int) -> list[Ending]:
    """The payloads that these entries end. Costs one search through their bytes."""
    found = list[Ending]()
    for index, entry in enumerate(entries, first_index):
        event = parse_entry(entry).get("event") if MAY_END in entry else None
        if isinstance(event, dict) and event.get("action") in (ERASED, EXPIRED):
            data = event.get("data")
            ranges = data.get("ranges") if isinstance(data, dict) else None
            if isinstance(ranges, list):
                found += [_ending(index, event["action"], part) for part in ranges if _is_range(part, before=index)]
    return found


def received_at(entry: bytes) -> str:
    """When an entry says that it was received (RFC 3339 UTC, six digits); MalformedError unless it is of format 1."""
    match = _HEAD.match(entry)
    if match is None:
        raise MalformedError("could not read the entry: it is not of format 1")
    return match[1].decode()


def _sealed(entry: bytes, index: int, received_at: str) -> SealedEntry | None:
    sealed = parse_entry(entry).get("sealed")
    if not isinstance(sealed, dict) or not isinstance(fields := sealed.get("fields"), dict):
        return None
    retention_class = sealed.get("class")
    if not isinstance(retention_class, str) or not _CLASS.fullmatch(retention_class):
        return None
    if not all(isinstance(hexed, str) and _COMMITMENT.fullmatch(hexed) for hexed in fields.values()):
        return None
    return SealedEntry(index, received_at, retention_class, tuple(sorted(fields.items())))


def _ending(index: int, action: str, part: dict[str, Any]) -> Ending:
    return Ending(index, action, part["first"], part["stop"], tuple(part.get("fields", ())))


def _is_range(part: object, *, before: int) -> bool:
    """Only what stood in the log already can have ended."""
    if not isinstance(part, dict):
        return False
    first, stop, fields = part.get("first"), part.get("stop"), part.get("fields", [])
    return (
        type(first) is int
        and type(stop) is int
        and 0 <= first < stop <= before
        and isinstance(fields, list)
        and all(isinstance(name, str) for name in fields)
    )


def parse_entry(entry: bytes) -> dict[str, Any]:
    """The members of an entry; none when it is no JSON object."""
    try:
        read = _JSON.decode(entry.decode())
    except (ValueError, RecursionError):
        return {}
    return read if isinstance(read, dict) else {}


def _integer(digits: str) -> int | None:
    """An integer of JSON, which may be of any length; longer than an index, its value matters nowhere."""
    return int(digits) if len(digits) <= _INTEGER_DIGITS_MAX else None


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is not JSON")


_JSON = json.JSONDecoder(parse_int=_integer, parse_constant=_refuse)
