"""How the logs stand that a caller may see."""

from functools import partial

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from atp import __version__
from atp.api.gate import Gate
from atp.api.parameters import read_parameters
from atp.api.shapes import answer
from atp.app.status import LogStatus, log_statuses


class ServerStatus(msgspec.Struct):
    """The server, and a row for each log."""

    version: str
    installation: str
    now: str
    logs: list[LogStatus]


def routes(gate: Gate) -> list[Route]:
    """The doors of this noun."""
    return [Route("/v1/status", partial(read_status, gate), methods=["GET"])]


def read_status(gate: Gate, request: Request) -> Response:
    """The server's version and how each visible log stands."""
    caller = gate.caller(request)
    read_parameters(request, ())
    platform = gate.platform
    return answer(ServerStatus(__version__, platform.installation, platform.now(), log_statuses(platform, by=caller)))
