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
from atp.app.brakes import FREEZE, Pulled
from atp.app.status import LogStatus, log_statuses


class ServerStatus(msgspec.Struct):
    """The server, and a row for each log; `freeze` tells whoever copies a log that nothing is to leave now."""

    version: str
    installation: str
    now: str
    logs: list[LogStatus]
    freeze: Pulled | None


def routes(gate: Gate) -> list[Route]:
    """The doors of this noun."""
    return [Route("/v1/status", partial(read_status, gate), methods=["GET"])]


def read_status(gate: Gate, request: Request) -> Response:
    """The server's version and how each visible log stands."""
    caller = gate.caller(request)
    read_parameters(request, ())
    platform = gate.platform
    logs, freeze = log_statuses(platform, by=caller), platform.brakes.pulled(FREEZE)
    return answer(ServerStatus(__version__, platform.installation, platform.now(), logs, freeze))
