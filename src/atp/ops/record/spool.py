"""The spool: events that wait on an operator's machine, each chained to the one before it and signed by the machine.

A line is the very event that is delivered, as JSON; `data.spool` is its last member, and `signature` the last one of
that, so that the entry in the log still proves where it comes from (docs/format.md has every byte)::

    {…,"data":{…,"spool":{"machine":M,"number":N,"previous":H,"checkpoint":C,"signature":S}}}

The first line tells of the machine's key and of the newest checkpoint of the operators' log that the machine had seen.
Numbers go on for ever, over all spools of a machine: whatever is missing leaves a gap.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256

import msgspec

from atp.errors import AtpError, MalformedError, TamperedError, TooLargeError
from atp.limits import ENTRY_BYTES_MAX
from atp.log.event import Event
from atp.merkle.dsse import is_payload_signed, sign_payload
from atp.merkle.encodings import format_base64, parse_base64
from atp.merkle.keys import SigningKey, VerifierKey, parse_vkey

BEGIN = "spool.begin"
PAYLOAD_TYPE = "application/vnd.atp.spool+json"
NO_PREVIOUS = "0" * 64
LINE_BYTES_MAX = ENTRY_BYTES_MAX - 1_024
"""The server adds its own members before it counts."""
_SIGNED = re.compile(rb',"signature":"([A-Za-z0-9+/]{86}==)"\}\}\}$')


class Head(msgspec.Struct, frozen=True):
    """A checkpoint of a log: what the machine had seen when its spool began."""

    origin: str
    size: int
    root: str


class Link(msgspec.Struct, frozen=True, kw_only=True):
    """How a line hangs together with the others: `previous` is the hex SHA-256 of the line before it."""

    machine: str
    number: int
    previous: str
    checkpoint: Head | None
    signature: str | msgspec.UnsetType = msgspec.UNSET


class _Spooled(msgspec.Struct, frozen=True):
    spool: Link
    vkey: str | None = None


@dataclass(frozen=True, slots=True)
class Record:
    """A line, read; nothing verified."""

    event: Event
    link: Link
    vkey: str | None
    signed: bytes
    signature: bytes
    digest: str


@dataclass(frozen=True, slots=True)
class Fault:
    """The first line that is wrong: its 0-based position, the number that it claims or should have, and why."""

    position: int
    number: int | None
    reason: str


@dataclass(frozen=True, slots=True)
class SpoolReport:
    """What was verified: whose spool, from which number, how many lines that hang together, and what is wrong."""

    machine: str | None
    first: int | None
    whole: int
    fault: Fault | None


def spool_id(machine: str, number: int) -> str:
    """The id under which a record is delivered, so that it is recorded once however often it is."""
    return f"spool.{machine}.{number}"


def spool_line(event: Event, link: Link, key: SigningKey) -> bytes:
    """The line of an event whose data is an object. TooLargeError when the server would refuse its entry."""
    assert isinstance(event.data, msgspec.Raw), "an event of an act has data"
    data = bytes(event.data)
    assert data.startswith(b'{"') and data.endswith(b"}"), "and that is an object with members"
    spooled = b'%b,"spool":%b}' % (data[:-1], msgspec.json.encode(link))
    named = msgspec.structs.replace(event, id=spool_id(link.machine, link.number), data=msgspec.Raw(spooled))
    signed = msgspec.json.encode(named)
    signature = format_base64(sign_payload(PAYLOAD_TYPE, signed, key)).encode()
    line = b'%b,"signature":"%b"}}}' % (signed[:-3], signature)
    if len(line) > LINE_BYTES_MAX:
        raise TooLargeError(f"could not write {event.action} down: it has {len(line):,} bytes, over {LINE_BYTES_MAX:,}")
    return line


def read_record(line: bytes) -> Record:
    """A line, or the event's bytes of a delivered entry. MalformedError when it is none; nothing is verified."""
    match = _SIGNED.search(line)
    try:
        event = msgspec.json.decode(line, type=Event)
        spooled = msgspec.json.decode(event.data or b"", type=_Spooled)
        is_plain = msgspec.json.encode(event) == line
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        raise MalformedError("could not read the record: it is not an event with a link") from None
    link = spooled.spool
    signature = parse_base64(match[1].decode()) if match else None
    if match is None or signature is None or link.signature != match[1].decode() or not is_plain:
        raise MalformedError("could not read the record: its signature does not stand at its end")
    signed = line[: match.start()] + b"}}}"
    return Record(event, link, spooled.vkey, signed, signature, sha256(line).hexdigest())


def verify_spool(lines: Sequence[bytes], *, vkey: str | None = None) -> SpoolReport:
    """Whether these lines are one unbroken spool of one machine; the first that is not, by position and number.

    Without a `vkey` the key is the one that the first line tells of: then compare it with what `operations` knows. That
    lines are missing at the end shows nowhere. Costs one verification a line, about 0.1 ms.
    """
    key: VerifierKey | None = None
    before: Record | None = None
    for position, line in enumerate(lines):
        expected = before.link.number + 1 if before else None
        try:
            record = read_record(line)
            key = key or _key(record, vkey)
            _check(record, before, key)
        except AtpError as error:
            fault = Fault(position, expected, str(error))
            return SpoolReport(before.link.machine if before else None, _first(lines), position, fault)
        before = record
    return SpoolReport(before.link.machine if before else None, _first(lines), len(lines), None)


def check_spool(lines: Sequence[bytes], *, vkey: str | None = None) -> list[Record]:
    """The records of a whole spool. TamperedError naming the first one that is wrong."""
    report = verify_spool(lines, vkey=vkey)
    if report.fault is not None:
        number = "" if report.fault.number is None else f", number {report.fault.number}"
        raise TamperedError(
            f"could not trust the spool: line {report.fault.position + 1}{number}: {report.fault.reason}",
            hint="put its folder aside and keep it; the next spool begins with a new key",
        )
    return [read_record(line) for line in lines]


def _key(first: Record, vkey: str | None) -> VerifierKey:
    if first.event.action != BEGIN or first.vkey is None:
        raise MalformedError("its beginning is missing")
    if vkey is not None and first.vkey != vkey:
        raise TamperedError("it begins with the key of another machine")
    return parse_vkey(first.vkey)


def _check(record: Record, before: Record | None, key: VerifierKey) -> None:
    link = record.link
    if link.machine != key.name or record.event.id != spool_id(link.machine, link.number):
        raise TamperedError(f"it is of {link.machine[:100]!r} or has another id: the spool is of {key.name!r}")
    if not is_payload_signed(PAYLOAD_TYPE, record.signed, value=record.signature, key=key):
        raise TamperedError(f"number {link.number} was changed, or signed by another key")
    if before is None:
        return
    if link.number != before.link.number + 1:
        raise TamperedError(f"number {link.number} stands behind {before.link.number}: a gap, or another order")
    if link.previous != before.digest:
        raise TamperedError(f"number {link.number} does not follow what stands before it")
    if link.checkpoint != before.link.checkpoint or record.event.action == BEGIN:
        raise TamperedError(f"number {link.number} belongs to another beginning")


def _first(lines: Sequence[bytes]) -> int | None:
    try:
        return read_record(lines[0]).link.number if lines else None
    except MalformedError:
        return None
