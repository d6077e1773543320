"""Health and numbers: open to whoever can reach the server, so no tenant is named in them."""

import math
from collections.abc import Callable
from functools import partial

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from atp.api.gate import Gate
from atp.api.shapes import answer
from atp.app.estate import Seen
from atp.app.health import EVERYTHING, SERVICES, Health
from atp.app.platform import Platform
from atp.app.status import Counter
from atp.errors import AtpError
from atp.limits import QUEUE_EVENTS_MAX
from atp.ops.estate.evidence.finding import COLOURS, Colour

OPENMETRICS = "application/openmetrics-text; version=1.0.0; charset=utf-8"


def routes(gate: Gate, health: Health) -> list[Route]:
    """The doors of this noun."""
    _gauges(gate, health.counter)
    return [
        Route("/health", partial(read_health, health), methods=["GET"]),
        Route("/health/{service}", partial(read_health, health), methods=["GET"]),
        Route("/metrics", partial(read_metrics, gate), methods=["GET"]),
    ]


def read_health(health: Health, request: Request) -> Response:
    """The report of all checks, or those of one service: 503 when it is unhealthy."""
    service = request.path_params.get("service")
    if service is not None and service not in SERVICES:
        raise HTTPException(404, f"could not check {service[:50]!r}: the services are {', '.join(SERVICES)}")
    report = health.report(SERVICES[service] if service else EVERYTHING)
    return answer(report, status=503 if report.status == "Unhealthy" else 200)


def read_metrics(gate: Gate, request: Request) -> Response:
    """All numbers in the OpenMetrics text format."""
    return Response(gate.platform.meters.render(), headers={"Content-Type": OPENMETRICS})


def _gauges(gate: Gate, counter: Counter) -> None:
    platform, meters = gate.platform, gate.platform.meters
    meters.gauge("atp_queue_events", platform.committer.waiting_events)
    meters.gauge("atp_queue_events_max", lambda: QUEUE_EVENTS_MAX)
    meters.gauge("atp_recovery_overdue", partial(_of_estate, platform, _count_overdue))
    for colour in COLOURS:
        meters.gauge(f"atp_datasets_{colour}", partial(_of_estate, platform, partial(_count_colour, colour)))
    for name in (
        "logs",
        "entries",
        "published",
        "viewed",
        "publish_lag_seconds",
        "view_lag_seconds",
        "stopped",
        "disk_free_bytes",
        "disk_total_bytes",
    ):
        meters.gauge(f"atp_{name}", partial(_figure, counter, name))


def _figure(counter: Counter, name: str) -> float:
    return float(getattr(counter.census(), name))


def _of_estate(platform: Platform, read: Callable[[Seen], int]) -> float:
    """A number of the estate; 0 without one, NaN while the operators' log cannot be read."""
    if not platform.recovery.is_declared:
        return 0
    try:
        return read(platform.recovery.look())
    except AtpError:
        return math.nan


def _count_overdue(seen: Seen) -> int:
    return sum(one.state == "overdue" for one in seen.due())


def _count_colour(colour: Colour, seen: Seen) -> int:
    return seen.count(colour)
