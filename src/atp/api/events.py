"""Events in and out: record a batch, ask for a page, fetch one event with its proof and its entry."""

import asyncio
from functools import partial
from typing import Any, Literal
from urllib.parse import unquote

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from atp import limits
from atp.api import parameters
from atp.api.batches import FORMAT_OF_MEDIA, Batch, media_of, read_batch
from atp.api.bodies import Intake
from atp.api.gate import Gate
from atp.app.acts import expectation
from atp.errors import FieldError, MissingError
from atp.formats.catalogue import AUTO, NATIVE
from atp.log.append import Outcome, Receipt
from atp.log.event import parse_instant, read_entry
from atp.log.query import Page, Question
from atp.tenants.access import Caller
from atp.tenants.names import OPERATIONS

PATH = "/v1/tenants/{tenant}/events"
_INLINE_BYTES_MAX = 2 * 1024 * 1024  # a native batch up to this takes a few ms: less than a thread costs under load
_ORDERS = ("-index", "index")
_FIELDS = ("actor", "action", "resource", "outcome", "text")
_INSTANTS = ("since", "until", "received_since", "received_until")
_QUESTION = (*_FIELDS, *_INSTANTS, "order", "limit", "cursor")
_TAILS = ("proof", "entry")


class Recorded(msgspec.Struct, omit_defaults=True):
    """The answer to a batch: receipts in request order; `parked` and `errors` only where parking was asked for,
    `published` only where waiting was."""

    accepted: int
    duplicates: int
    receipts: list[Receipt]
    parked: int | msgspec.UnsetType = msgspec.UNSET
    errors: list[FieldError] | msgspec.UnsetType = msgspec.UNSET
    published: bool | msgspec.UnsetType = msgspec.UNSET


class Freshness(msgspec.Struct):
    """How far an answer reaches: entries published, entries that the views have seen, and the seconds between."""

    size: int
    viewed_size: int
    lag_seconds: float


class Events(msgspec.Struct):
    """A page of events; `next` is the cursor of the following page, null on the last one."""

    events: list[msgspec.Raw]
    next: str | None
    freshness: Freshness


def routes(gate: Gate, intake: Intake) -> list[Route]:
    """The doors of this noun."""
    return [
        Route(PATH, partial(record_events, gate, intake), methods=["POST"]),
        Route(PATH, partial(ask_events, gate), methods=["GET"]),
        Route(PATH + "/{event:path}", partial(read_event, gate), methods=["GET"]),
    ]


async def record_events(gate: Gate, intake: Intake, request: Request) -> Response:
    """Record a batch: durable when this answers."""
    caller, tenant = gate.admit(request, "ingest")
    media = media_of(request.headers.get("content-type"))
    found = parameters.read_parameters(request, ("format", "invalid", "wait", "expect"))
    expect = _read_expect(found, tenant)
    formats = gate.platform.formats
    format_name = parameters.read_choice(found, "format", (AUTO, *formats.names), default=FORMAT_OF_MEDIA[media])
    is_parking = parameters.read_choice(found, "invalid", ("refuse", "park"), default="refuse") == "park"
    wait_seconds = parameters.read_seconds(found, "wait", most=limits.WAIT_SECONDS_MAX)
    park = gate.platform.park if is_parking else None
    read = partial(read_batch, media=media, format_name=format_name, formats=formats, park=park)
    async with intake.body(request) as body:
        is_quick = format_name == NATIVE and len(body) <= _INLINE_BYTES_MAX
        batch = read(body) if is_quick else await asyncio.to_thread(read, body)
    if expect:
        expect = await asyncio.to_thread(_check_expected, gate, expect, batch, caller)
    future = gate.platform.record(
        batch.events, by=caller, tenant=tenant, is_parking=is_parking, parked=batch.parked, expect=expect
    )
    outcome = await asyncio.wrap_future(future)
    answer = _recorded(outcome, batch, is_parking)
    if wait_seconds is not None:
        answer.published = await _wait(gate, tenant, outcome, wait_seconds)
    return Response(msgspec.json.encode(answer), media_type="application/json")


def ask_events(gate: Gate, request: Request) -> Response:
    """A page of events."""
    caller, tenant = gate.admit(request, "read")
    found = parameters.read_parameters(request, _QUESTION)
    page = gate.platform.ask(read_question(found), by=caller, tenant=tenant)
    gate.read(request, "events.query", _without_cursor(found), by=caller, tenant=tenant)
    return Response(msgspec.json.encode(_events(gate, tenant, page)), media_type="application/json")


def read_event(gate: Gate, request: Request) -> Response:
    """One event, its proof or its entry. A `/` in an id is written as it is, or `%2F` where the id ends in a tail."""
    caller, tenant = gate.admit(request, "read")
    parameters.read_parameters(request, ())
    event, tail = _event_and_tail(request)
    if tail == "proof":
        proof = gate.platform.prove(event, by=caller, tenant=tenant)
        gate.read(request, "event.prove", {"event": event}, by=caller, tenant=tenant)
        return Response(proof.encode(), media_type="text/plain; charset=utf-8")
    record = gate.platform.find(event, by=caller, tenant=tenant)
    gate.read(request, "event.read", {"event": event}, by=caller, tenant=tenant)
    body = record.entry if tail == "entry" else event_json(record.index, record.entry)
    return Response(body, media_type="application/json")


def read_question(found: dict[str, str]) -> Question:
    """The question of query parameters. InvalidError names the one that is wrong."""
    for name in _FIELDS:
        if found.get(name) == "":
            raise parameters.refusal(name, "is empty")
        if len(found.get(name, "")) > limits.FIELD_CHARS_MAX:
            raise parameters.refusal(name, f"is over {limits.FIELD_CHARS_MAX:,} characters")
    order = parameters.read_choice(found, "order", _ORDERS, default=_ORDERS[0])
    instants: dict[str, Any] = {name: _micros(found, name) for name in _INSTANTS}
    fields: dict[str, Any] = {name: found.get(name) for name in _FIELDS}
    direction: Literal["-index", "index"] = "index" if order == "index" else "-index"
    return Question(
        **fields,
        **instants,
        order=direction,
        limit=parameters.read_number(found, "limit", default=limits.PAGE_EVENTS_DEFAULT, most=limits.PAGE_EVENTS_MAX),
        cursor=found.get("cursor"),
    )


def event_json(index: int, entry: bytes) -> bytes:
    """An event as it is answered: `index`, what the server added, and the event's own members, byte for byte."""
    read = read_entry(entry)
    head = b'{"index":%d,"received_at":%b,"by":%b' % (index, _json(read.received_at), _json(read.by))
    if read.sealed is not None:
        head += b',"sealed":' + _json(read.sealed)
    return b"%b,%b" % (head, bytes(read.event)[1:])


_json = msgspec.json.Encoder().encode


def _read_expect(found: dict[str, str], tenant: str) -> dict[str, int]:
    """What the operators' trail has to be found as; no other log has acts whose order anybody waits for."""
    expect = parameters.read_expect(found)
    if expect and tenant != OPERATIONS:
        raise parameters.refusal("expect", f"is for the tenant {OPERATIONS} alone")
    if expect and found.get("invalid") == "park":
        raise parameters.refusal("expect", "does not go with invalid=park")
    return expect


def _check_expected(gate: Gate, expect: dict[str, int], batch: Batch, caller: Caller) -> dict[str, int]:
    if len(batch.events) > limits.EXPECT_EVENTS_MAX:
        raise parameters.refusal("expect", f"is for at most {limits.EXPECT_EVENTS_MAX} events")
    return expectation(gate.platform, expect, own=batch.events, by=caller)


def _events(gate: Gate, tenant: str, page: Page) -> Events:
    rows = [msgspec.Raw(event_json(index, entry)) for index, entry in page.events]
    fresh = gate.platform.freshness(tenant, size=page.size, viewed_size=page.viewed_size)
    return Events(rows, page.next, Freshness(page.size, page.viewed_size, fresh["lag_seconds"]))


def _recorded(outcome: Outcome, batch: Batch, is_parking: bool) -> Recorded:
    answer = Recorded(outcome.accepted, outcome.duplicates, outcome.receipts)
    if is_parking:
        late = [FieldError(batch.positions[fault.position], fault.field, fault.reason) for fault in outcome.faults]
        faults = sorted([*batch.faults, *late], key=lambda fault: fault.position)
        answer.parked, answer.errors = outcome.parked, faults[: limits.ERRORS_LISTED_MAX]
    return answer


async def _wait(gate: Gate, tenant: str, outcome: Outcome, seconds: float) -> bool:
    """Whether all events of a batch came under a checkpoint within the time."""
    newest = max((receipt.index for receipt in outcome.receipts), default=None)
    if newest is None:
        return True
    published = asyncio.wrap_future(gate.platform.pipeline.when_published(tenant, newest))
    done, _ = await asyncio.wait([published], timeout=seconds)
    for future in done:
        future.result()
    return bool(done)


def _event_and_tail(request: Request) -> tuple[str, str]:
    """The id, and `proof`, `entry` or nothing. Read off the path as sent, in which a `/` of an id may be `%2F`."""
    sent = request.scope["raw_path"].decode("ascii").split("/", 5)[5]
    event, _, tail = sent.rpartition("/")
    if event and tail in _TAILS:
        return unquote(event), tail
    if not sent:
        raise MissingError("could not find the event: no id was given", hint="an id, or @INDEX")
    return unquote(sent), ""


def _micros(found: dict[str, str], name: str) -> int | None:
    text = parameters.read_instant(found, name)
    return None if text is None else parse_instant(text)


def _without_cursor(found: dict[str, str]) -> dict[str, str]:
    return {name: value for name, value in found.items() if name != "cursor"}
