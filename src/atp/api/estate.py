"""The estate: what is declared, its review, what falls with what. For whoever may read the operators' log."""

from datetime import datetime, timedelta
from functools import partial
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from atp.api.gate import Gate
from atp.api.parameters import read_parameters
from atp.api.shapes import answer
from atp.app.estate import Seen
from atp.log.event import format_instant
from atp.ops.declaration.writing import plain
from atp.ops.estate.evidence.documents import impact_document, review_document
from atp.ops.estate.evidence.impact import impact
from atp.ops.estate.evidence.review import review
from atp.tenants.names import OPERATIONS


class FileFault(msgspec.Struct):
    """A place of the file that is wrong; line and column count from 1."""

    line: int
    column: int
    field: str
    reason: str
    hint: str


class DeclaredEstate(msgspec.Struct):
    """The file as it was read last; `problem` is why what stands there now is not used. `keys_here` are datasets beside
    which this server holds a private key."""

    file: str
    sha256: str | None
    read_at: str | None
    problem: str | None
    faults: list[FileFault]
    keys_here: list[str]
    estate: Any


def routes(gate: Gate) -> list[Route]:
    """The doors of this noun."""
    return [
        Route("/v1/estate", partial(read_estate, gate), methods=["GET"]),
        Route("/v1/estate/check", partial(check_estate, gate), methods=["GET"]),
        Route("/v1/estate/impact/{name}", partial(read_impact, gate), methods=["GET"]),
    ]


def read_estate(gate: Gate, request: Request) -> Response:
    """What is declared, and what of the file is wrong."""
    seen = admit(gate, request, "estate.read")
    declared = seen.declared
    return answer(
        DeclaredEstate(
            file=str(declared.file),
            sha256=declared.sha256 or None,
            read_at=instant_or_none(declared.read_at),
            problem=str(declared.problem) if declared.problem else None,
            faults=[FileFault(one.line, one.column, one.field, one.reason, one.hint) for one in declared.faults],
            keys_here=sorted(seen.evidence.keys_here),
            estate=plain(declared.estate) if declared.estate else None,
        )
    )


def check_estate(gate: Gate, request: Request) -> Response:
    """The review: every answer with its colour and next move, and the score."""
    seen = admit(gate, request, "estate.check")
    return answer(review_document(seen.estate, review(seen.estate, seen.evidence, seen.at), ""))


def read_impact(gate: Gate, request: Request) -> Response:
    """What falls with one service or dataset."""
    seen = admit(gate, request, "estate.impact")
    found = impact(seen.estate, str(request.path_params["name"])[:100])
    return answer(impact_document(seen.estate, found, seen.at))


def admit(gate: Gate, request: Request, action: str) -> Seen:
    """A look at the estate for who may read the operators' log; told there. No parameter is taken.

    MissingError when the caller may not see that log, and when the server has no estate file.
    """
    caller = gate.caller(request)
    gate.platform.reader(OPERATIONS, by=caller)
    read_parameters(request, ())
    seen = gate.platform.recovery.look()
    gate.read(request, action, dict(request.path_params), by=caller, tenant=OPERATIONS)
    return seen


def instant(moment: datetime) -> str:
    """An instant as all answers write it."""
    return format_instant(round(moment.timestamp() * 1_000_000))


def instant_or_none(moment: datetime | None) -> str | None:
    """The same, of one that may be absent."""
    return None if moment is None else instant(moment)


def seconds(length: timedelta | None) -> float | None:
    """A length of time as all answers write it."""
    return None if length is None else length.total_seconds()
