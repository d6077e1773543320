"""Tenants: list and create them, and the dead letters of each."""

import base64
from functools import partial

import msgspec
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from atp import limits
from atp.api import parameters
from atp.api.bodies import Intake
from atp.api.gate import Gate
from atp.api.shapes import answer, read_shape
from atp.errors import TooLargeError
from atp.log.event import Resource
from atp.ports.event_store import Log, Parked
from atp.tenants.access import Caller

_DEAD_LETTERS = "/v1/tenants/{tenant}/dlq"


class NewTenant(msgspec.Struct, forbid_unknown_fields=True):
    """What makes a tenant: its name."""

    tenant: str


class Tenants(msgspec.Struct):
    """The logs that a caller may see."""

    tenants: list[Log]


class DeadLetter(msgspec.Struct):
    """A record that could not become an event; `body` is base64 of its bytes."""

    key: str
    reason: str
    body: str
    parked_at: str


class DeadLetters(msgspec.Struct):
    """The oldest parked records of a tenant, and how many there are in all."""

    records: list[DeadLetter]
    count: int


class UnfitRecord(msgspec.Struct, forbid_unknown_fields=True):
    """A record that a client found unfit already; `body` is base64 of its bytes."""

    reason: str
    body: bytes


class UnfitRecords(msgspec.Struct, forbid_unknown_fields=True):
    """Records to park."""

    records: list[UnfitRecord]


class ParkedCount(msgspec.Struct):
    """How many records were taken into the dead letters, again or for the first time."""

    parked: int


def routes(gate: Gate, intake: Intake) -> list[Route]:
    """The doors of this noun."""
    return [
        Route("/v1/tenants", partial(list_tenants, gate), methods=["GET"]),
        Route("/v1/tenants", partial(create_tenant, gate, intake), methods=["POST"]),
        Route(_DEAD_LETTERS, partial(list_dead_letters, gate), methods=["GET"]),
        Route(_DEAD_LETTERS, partial(park_records, gate, intake), methods=["POST"]),
    ]


def list_tenants(gate: Gate, request: Request) -> Response:
    """The tenants that the caller may see."""
    caller = gate.caller(request)
    parameters.read_parameters(request, ())
    return answer(Tenants(gate.platform.logs(by=caller)))


async def create_tenant(gate: Gate, intake: Intake, request: Request) -> Response:
    """A new tenant with an empty log."""
    caller = gate.caller(request)
    parameters.read_parameters(request, ())
    async with intake.body(request) as body:
        wanted = read_shape(body, NewTenant, thing="the tenant")

    def create(by: Caller) -> Log:
        log = gate.platform.create_tenant(wanted.tenant, by=by)
        gate.act(request, "tenant.create", Resource(log.tenant, type="tenant"), {"origin": log.origin}, by=by)
        return log

    return answer(await run_in_threadpool(create, caller), status=201)


def list_dead_letters(gate: Gate, request: Request) -> Response:
    """The oldest parked records."""
    caller, tenant = gate.admit(request, "read")
    found = parameters.read_parameters(request, ("limit",))
    limit = parameters.read_number(found, "limit", default=limits.DEAD_LETTERS_DEFAULT, most=limits.DEAD_LETTERS_MAX)
    records = [_dead_letter(record) for record in gate.platform.dead_letters(tenant, limit=limit, by=caller)]
    gate.read(request, "dlq.read", {}, by=caller, tenant=tenant)
    return answer(DeadLetters(records, gate.platform.stores.events.parked_count(tenant)))


async def park_records(gate: Gate, intake: Intake, request: Request) -> Response:
    """Park what a client found unfit, durably. Parking the same bytes again changes nothing."""
    caller, tenant = gate.admit(request, "ingest")
    parameters.read_parameters(request, ())
    async with intake.body(request) as body:
        wanted = read_shape(body, UnfitRecords, thing="the records")
    if len(wanted.records) > limits.BATCH_EVENTS_MAX:
        raise TooLargeError(f"could not park {len(wanted.records):,} records: over {limits.BATCH_EVENTS_MAX:,}")
    parked = [gate.platform.park(record.body, record.reason) for record in wanted.records]

    def record() -> ParkedCount:
        return ParkedCount(gate.platform.record([], by=caller, tenant=tenant, parked=parked).result().parked)

    return answer(await run_in_threadpool(record))


def _dead_letter(record: Parked) -> DeadLetter:
    return DeadLetter(record.key, record.reason, base64.b64encode(record.body).decode(), record.parked_at)
