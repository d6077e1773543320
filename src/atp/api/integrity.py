"""The platform's own integrity: verify now, drop and follow views again, and the two brakes of the whole platform."""

from collections.abc import Mapping
from functools import partial
from typing import Annotated

import msgspec
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from atp.api.bodies import Intake
from atp.api.gate import Gate
from atp.api.parameters import read_parameters, refusal
from atp.api.shapes import answer, read_shape
from atp.app import acts
from atp.app.brakes import FREEZE, MAINTENANCE, Kind, Pulled
from atp.app.integrity import Mismatch, Run
from atp.limits import REASON_CHARS_MAX
from atp.log.event import Resource
from atp.tenants.access import Caller
from atp.verify.report import Level

_BRAKES: Mapping[str, tuple[Kind, bool]] = {
    "/v1/integrity/freeze": (FREEZE, True),
    "/v1/integrity/unfreeze": (FREEZE, False),
    "/v1/maintenance/on": (MAINTENANCE, True),
    "/v1/maintenance/off": (MAINTENANCE, False),
}


class Scope(msgspec.Struct, forbid_unknown_fields=True):
    """Which logs: one tenant's, or without a name all that the key is for."""

    tenant: str | None = None


class Verification(msgspec.Struct, forbid_unknown_fields=True):
    """What to verify: the logs as in `Scope`, and one level instead of all."""

    tenant: str | None = None
    level: Level | None = None


class Reason(msgspec.Struct, forbid_unknown_fields=True):
    """Why somebody brakes, or releases a brake."""

    reason: Annotated[str, msgspec.Meta(min_length=1, max_length=REASON_CHARS_MAX)]


class Dropped(msgspec.Struct):
    """A log whose view is made again; it is whole when `viewed_size` of its status has come to `size`."""

    tenant: str
    size: int


class Rebuilding(msgspec.Struct):
    """The logs whose views are made again."""

    logs: list[Dropped]


class Integrity(msgspec.Struct):
    """What is known of the logs' integrity, and which brakes are on."""

    mismatches: list[Mismatch]
    round_ended_at: str | None
    freeze: Pulled | None
    maintenance: Pulled | None


def routes(gate: Gate, intake: Intake) -> list[Route]:
    """The doors of this noun."""
    return [
        Route("/v1/integrity", partial(read_integrity, gate), methods=["GET"]),
        Route("/v1/integrity/runs", partial(begin_run, gate, intake), methods=["POST"]),
        Route("/v1/integrity/runs/{run}", partial(read_run, gate), methods=["GET"]),
        Route("/v1/rebuild", partial(rebuild, gate, intake), methods=["POST"]),
        *(
            Route(path, partial(brake, gate, intake, kind, is_pulled), methods=["POST"])
            for path, (kind, is_pulled) in _BRAKES.items()
        ),
    ]


def read_integrity(gate: Gate, request: Request) -> Response:
    """Mismatches that were found in the caller's logs, and the brakes."""
    caller = gate.caller(request)
    read_parameters(request, ())
    acts.choose_logs(gate.platform, None, by=caller)
    integrity, brakes = gate.platform.integrity, gate.platform.brakes
    found = [mismatch for mismatch in integrity.mismatches.values() if caller.sees(mismatch.tenant)]
    return answer(Integrity(found, integrity.round_ended_at, brakes.pulled(FREEZE), brakes.pulled(MAINTENANCE)))


async def begin_run(gate: Gate, intake: Intake, request: Request) -> Response:
    """Begin to verify logs; the answer says under which number the run is found."""
    caller = gate.caller(request)
    read_parameters(request, ())
    async with intake.body(request) as body:
        wanted = read_shape(body, Verification, thing="the verification")

    def begin(by: Caller) -> Run:
        logs = acts.choose_logs(gate.platform, wanted.tenant, by=by)
        run = acts.verify(gate.platform, logs, level=wanted.level)
        told = {"tenants": run.tenants if wanted.tenant else "all", "level": wanted.level}
        gate.act(request, "integrity.verify", Resource(f"run-{run.number}", type="verification"), told, by=by)
        return run

    return answer(await run_in_threadpool(begin, caller), status=202)


def read_run(gate: Gate, request: Request) -> Response:
    """How far a verification is, and its report when it is done."""
    caller = gate.caller(request)
    read_parameters(request, ())
    number = str(request.path_params["run"])
    if not number.isdecimal() or len(number) > 9:
        raise refusal("run", "has to be a number")
    return answer(acts.find_run(gate.platform, int(number), by=caller))


async def rebuild(gate: Gate, intake: Intake, request: Request) -> Response:
    """Drop the views of logs and follow the logs again; answered when they are dropped."""
    caller = gate.caller(request)
    read_parameters(request, ())
    async with intake.body(request) as body:
        wanted = read_shape(body, Scope, thing="the scope")

    def begin(by: Caller) -> Rebuilding:
        logs = acts.choose_logs(gate.platform, wanted.tenant, by=by)
        sizes = [Dropped(log.tenant, gate.platform.reader(log.tenant, by=by).size()) for log in logs]
        acts.rebuild(gate.platform, logs)
        resource = Resource(wanted.tenant, type="log") if wanted.tenant else Resource("all", type="logs")
        gate.act(request, "view.rebuild", resource, {}, by=by)
        return Rebuilding(sizes)

    return answer(await run_in_threadpool(begin, caller), status=202)


async def brake(gate: Gate, intake: Intake, kind: Kind, is_pulled: bool, request: Request) -> Response:
    """Pull or release a brake; in force, and written down, when this is answered."""
    caller = gate.caller(request)
    read_parameters(request, ())
    acts.check_may_all(caller)
    async with intake.body(request) as body:
        wanted = read_shape(body, Reason, thing="the reason")
    ip = request.client.host if request.client else None

    def change(by: Caller) -> None:
        acts.brake(gate.platform, kind, is_pulled=is_pulled, reason=wanted.reason, by=by, ip=ip)

    await run_in_threadpool(change, caller)
    return Response(status_code=204)
