"""Exports: a bundle of a range or of the answers to a question, as a zip that anyone verifies offline."""

import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial
from typing import BinaryIO, cast

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from atp.api import parameters
from atp.api.events import read_question
from atp.api.gate import Gate
from atp.api.parameters import refusal
from atp.app.trail import cut_question
from atp.log.event import Resource, parse_instant
from atp.log.export.range import seal_range, seal_time
from atp.log.export.selection import seal_selection
from atp.tenants.access import Caller

_RANGE = ("first", "stop")
_RECEIVED = ("received_since", "received_until")
_QUESTION = ("actor", "action", "resource", "outcome", "text", "since", "until")
_CHUNK_BYTES = 256 * 1024
_SPOOLED_BYTES_MAX = 8 * 1024 * 1024
_INDEX_MAX = 10**18 - 1


def routes(gate: Gate) -> list[Route]:
    """The doors of this noun."""
    return [Route("/v1/tenants/{tenant}/export", partial(export, gate), methods=["GET"])]


def export(gate: Gate, request: Request) -> Response:
    """The bundle of a tenant's events: by index or by time of receipt, complete; or of a question, each proven."""
    caller, tenant = gate.admit(request, "export")
    found = parameters.read_parameters(request, (*_RANGE, *_RECEIVED, *_QUESTION))
    with ExitStack() as stack:
        file = cast(BinaryIO, stack.enter_context(tempfile.SpooledTemporaryFile(max_size=_SPOOLED_BYTES_MAX)))
        _seal(gate, file, found, caller, tenant)
        gate.act(request, "log.export", Resource(tenant, type="tenant"), cut_question(found), by=caller)
        stack.pop_all()
    length = str(file.tell())
    file.seek(0)
    headers = {"Content-Length": length, "Content-Disposition": f'attachment; filename="{tenant}.zip"'}
    return StreamingResponse(_chunks(file), media_type="application/zip", headers=headers)


def _seal(gate: Gate, file: BinaryIO, found: dict[str, str], caller: Caller, tenant: str) -> None:
    """Write the bundle that is asked for."""
    reader = gate.platform.reader(tenant, by=caller, scope="export")
    vkeys = gate.platform.vkeys(tenant, by=caller, scope="export")
    if any(name in found for name in _RANGE):
        for name in (*_RECEIVED, *_QUESTION):
            if name in found:
                raise refusal(name, "does not go with a range of indexes")
        first = parameters.read_number(found, "first", default=0, least=0, most=_INDEX_MAX)
        stop = parameters.read_number(found, "stop", default=reader.size(), least=0, most=_INDEX_MAX)
        seal_range(file, first=first, stop=stop, reader=reader, vkeys=vkeys)
    elif any(name in found for name in _QUESTION):
        models = gate.platform.stores.models
        question = read_question(found)
        seal_selection(file, question=question, asked=found, reader=reader, read_models=models, vkeys=vkeys)
    else:
        since, until = (_micros(found, name) for name in _RECEIVED)
        seal_time(file, received_since=since, received_until=until, reader=reader, vkeys=vkeys)


def _micros(found: dict[str, str], name: str) -> int | None:
    text = parameters.read_instant(found, name)
    return None if text is None else parse_instant(text)


def _chunks(file: BinaryIO) -> Iterator[bytes]:
    with file:
        while chunk := file.read(_CHUNK_BYTES):
            yield chunk
