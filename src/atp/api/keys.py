"""API keys: list, issue and revoke them; a key's text is shown once, when it is issued."""

from functools import partial
from typing import Annotated

import msgspec
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from atp.api.bodies import Intake
from atp.api.gate import Gate
from atp.api.parameters import read_parameters
from atp.api.shapes import answer, read_shape
from atp.limits import KEY_TENANTS_MAX
from atp.log.event import Resource
from atp.ports.key_store import ApiKey


class NewKey(msgspec.Struct, forbid_unknown_fields=True):
    """What makes a key; without `tenants` it is for all of them."""

    person: str
    scopes: list[str]
    tenants: Annotated[list[str], msgspec.Meta(max_length=KEY_TENANTS_MAX)] = []


class Key(msgspec.Struct, omit_defaults=True):
    """A key without its secret; `key` is its text, in the one answer that shows it."""

    id: str
    person: str
    scopes: tuple[str, ...]
    tenants: tuple[str, ...]
    created_at: str
    revoked_at: str | None = None
    key: str | None = None


class Keys(msgspec.Struct):
    """Every key that the caller may see."""

    keys: list[Key]


class Identity(msgspec.Struct):
    """Who asks, as the key says; without `tenants` the key is for all of them."""

    person: str
    key_id: str
    scopes: tuple[str, ...]
    tenants: tuple[str, ...]


def routes(gate: Gate, intake: Intake) -> list[Route]:
    """The doors of this noun."""
    return [
        Route("/v1/caller", partial(read_caller, gate), methods=["GET"]),
        Route("/v1/keys", partial(list_keys, gate), methods=["GET"]),
        Route("/v1/keys", partial(issue_key, gate, intake), methods=["POST"]),
        Route("/v1/keys/{key}", partial(revoke_key, gate), methods=["DELETE"]),
    ]


def read_caller(gate: Gate, request: Request) -> Response:
    """Who asks: the person to whom the key belongs, and what it opens."""
    caller = gate.caller(request)
    read_parameters(request, ())
    return answer(Identity(caller.person, caller.key_id, caller.scopes, caller.tenants))


def list_keys(gate: Gate, request: Request) -> Response:
    """Every key, without secrets."""
    caller = gate.caller(request)
    read_parameters(request, ())
    return answer(Keys([_shown(key) for key in gate.platform.api_keys(by=caller)]))


async def issue_key(gate: Gate, intake: Intake, request: Request) -> Response:
    """A new key; its text is in this answer and nowhere else."""
    caller = gate.caller(request)
    read_parameters(request, ())
    async with intake.body(request) as body:
        wanted = read_shape(body, NewKey, thing="the key")

    def issue() -> Key:
        key, text = gate.platform.issue_key(
            person=wanted.person, scopes=wanted.scopes, tenants=wanted.tenants, by=caller
        )
        told = {"person": key.person, "scopes": key.scopes, "tenants": key.tenants}
        gate.act(request, "key.issue", Resource(key.id, type="key"), told, by=caller)
        return _shown(key, text)

    return answer(await run_in_threadpool(issue), status=201)


def revoke_key(gate: Gate, request: Request) -> Response:
    """The key opens nothing from now on."""
    caller = gate.caller(request)
    read_parameters(request, ())
    key_id = str(request.path_params["key"])
    gate.platform.revoke_key(key_id, by=caller)
    gate.act(request, "key.revoke", Resource(key_id, type="key"), {}, by=caller)
    return Response(status_code=204)


def _shown(key: ApiKey, text: str | None = None) -> Key:
    return Key(key.id, key.person, key.scopes, key.tenants, key.created_at, key.revoked_at, text)
