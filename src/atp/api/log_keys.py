"""The keys that sign a tenant's log: add one, and retire one."""

from functools import partial

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from atp.api.gate import Gate
from atp.api.parameters import read_parameters
from atp.api.shapes import answer
from atp.app import acts

_KEYS = "/v1/tenants/{tenant}/log-keys"


class LogKeys(msgspec.Struct):
    """The public keys that sign a log now, the first signer's first."""

    tenant: str
    vkeys: list[str]


def routes(gate: Gate) -> list[Route]:
    """The doors of this noun."""
    return [
        Route(_KEYS, partial(add_key, gate), methods=["POST"]),
        Route(_KEYS + "/{key}", partial(retire_key, gate), methods=["DELETE"]),
    ]


def add_key(gate: Gate, request: Request) -> Response:
    """A new key signs first, the old one beside it until it is retired."""
    caller, tenant = gate.admit(request, "admin")
    read_parameters(request, ())
    return answer(LogKeys(tenant, acts.rotate_key(gate.platform, tenant, by=caller)), status=201)


def retire_key(gate: Gate, request: Request) -> Response:
    """A key signs no more."""
    caller, tenant = gate.admit(request, "admin")
    read_parameters(request, ())
    vkeys = acts.retire_key(gate.platform, tenant, str(request.path_params["key"]), by=caller)
    return answer(LogKeys(tenant, vkeys))
