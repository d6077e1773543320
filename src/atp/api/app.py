"""All doors as one ASGI application: the routes, and what every answer has: safe headers, errors as problems."""

import time
import traceback
from collections.abc import Sequence
from http import HTTPStatus

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Match
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from atp.api import (
    estate,
    events,
    exports,
    health,
    integrity,
    keys,
    log_keys,
    logs,
    openapi,
    recovery,
    statements,
    status,
    tenants,
)
from atp.api.bodies import Intake
from atp.api.gate import Gate
from atp.api.limiter import Limiter
from atp.api.problems import render_bug, render_error, render_status
from atp.app.health import Health
from atp.app.platform import Platform
from atp.app.trail import Trail
from atp.errors import AtpError

_HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
"""On every answer that does not say otherwise."""
_RAW_HEADERS = [(name.lower().encode(), value.encode()) for name, value in _HEADERS.items()]


def make_app(platform: Platform, *, trail: Trail, health: Health, web_routes: Sequence[BaseRoute] = ()) -> ASGIApp:
    """The server's application; `web_routes` are the pages, if there are any."""
    gate = Gate(platform, trail, Limiter(platform.config.rate_per_second, clock=platform.clock))

    def refuse(request: Request, error: Exception) -> Response:
        assert isinstance(error, AtpError), "registered for no other"
        gate.refused(request, error)
        return render_error(error)

    app = Starlette(
        routes=[*api_routes(gate, health), *web_routes],
        middleware=[Middleware(Shell, platform=platform)],
        exception_handlers={AtpError: refuse, HTTPException: _refuse_http},
    )
    app.router.redirect_slashes = False
    return app


def api_routes(gate: Gate, checks: Health) -> list[BaseRoute]:
    """Every door of the API; the OpenAPI document describes exactly these."""
    intake = Intake()
    return [
        *events.routes(gate, intake),
        *exports.routes(gate),
        *tenants.routes(gate, intake),
        *keys.routes(gate, intake),
        *log_keys.routes(gate),
        *integrity.routes(gate, intake),
        *statements.routes(gate, intake),
        *estate.routes(gate),
        *recovery.routes(gate),
        *status.routes(gate),
        *logs.routes(gate),
        *health.routes(gate, checks),
        *openapi.routes(),
    ]


class Shell:
    """Around every request: counts and times it, adds safe headers, and answers a bug without telling of the inside."""

    def __init__(self, app: ASGIApp, *, platform: Platform) -> None:
        self._app = app
        self._platform = platform

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began = time.perf_counter()
        status = 0

        async def send_safe(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                said = {name.lower() for name, _ in message["headers"]}
                message["headers"] = [*message["headers"], *(pair for pair in _RAW_HEADERS if pair[0] not in said)]
            await send(message)

        try:
            await self._app(scope, receive, send_safe)
        except ClientDisconnect:
            status = 499  # nobody is there to answer; what was already queued is recorded all the same
        except Exception as bug:
            self._tell(bug)
            if status:
                raise ConnectionAbortedError("the answer broke off") from None
            await render_bug()(scope, receive, send_safe)
        finally:
            self._measure(scope, status, time.perf_counter() - began)

    def _measure(self, scope: Scope, status: int, seconds: float) -> None:
        route = getattr(scope.get("route"), "path", "none")
        self._platform.meters.count("atp_http_requests", method=scope["method"], route=route, status=str(status))
        self._platform.meters.time("atp_http_seconds", seconds, route=route)

    def _tell(self, bug: Exception) -> None:
        self._platform.meters.count("atp_bugs")
        place = "".join(traceback.format_tb(bug.__traceback__))
        self._platform.lines.write("error", "bug", kind=type(bug).__name__, traceback=place)


def _refuse_http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException), "registered for no other"
    has_phrase = error.detail.startswith("could not ")
    detail = error.detail if has_phrase else f"could not {request.method} {request.url.path[:200]}: {error.detail}"
    headers = {"Allow": _methods(request)} if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED else error.headers
    return render_status(error.status_code, detail=detail, headers=headers)


def _methods(request: Request) -> str:
    """What a path allows (RFC 9110 section 10.2.1): it may have several routes, and the framework names one."""
    routes = [route for route in request.app.routes if route.matches(request.scope)[0] is not Match.NONE]
    return ", ".join(sorted({method for route in routes for method in route.methods or ()}))
