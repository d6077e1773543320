"""A tenant's log as static files (C2SP tlog-tiles): checkpoint, tiles, entry bundles; and its verifier keys."""

import gzip
import re
from functools import partial

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from atp.api.gate import Gate
from atp.api.parameters import read_parameters
from atp.errors import MalformedError, MissingError
from atp.log.reader import LogReader
from atp.merkle.tiles import EntryBundle, parse_path

_TEXT = "text/plain; charset=utf-8"
_BYTES = "application/octet-stream"
_SOON = "private, max-age=2"
_FOREVER = "private, max-age=31536000, immutable"
_GZIP_LEVEL = 1
_NO_GZIP = re.compile(r"gzip\s*;\s*q\s*=\s*0(\.0*)?\s*(,|$)", re.IGNORECASE)


def routes(gate: Gate) -> list[Route]:
    """The doors of this noun."""
    return [
        Route("/log/{tenant}/checkpoint", partial(read_checkpoint, gate), methods=["GET"]),
        Route("/log/{tenant}/vkey", partial(read_vkey, gate), methods=["GET"]),
        Route("/log/{tenant}/tile/{tile:path}", partial(read_tile, gate), methods=["GET"]),
    ]


def read_checkpoint(gate: Gate, request: Request) -> Response:
    """The newest signed checkpoint."""
    note = _reader(gate, request).checkpoint()
    return Response(note, headers={"Cache-Control": _SOON}, media_type=_TEXT)


def read_vkey(gate: Gate, request: Request) -> Response:
    """The keys that the checkpoint verifies under, one a line; two during a key change."""
    caller, tenant = gate.admit(request, "read")
    read_parameters(request, ())
    lines = "".join(f"{vkey}\n" for vkey in gate.platform.vkeys(tenant, by=caller))
    return Response(lines, headers={"Cache-Control": _SOON}, media_type=_TEXT)


def read_tile(gate: Gate, request: Request) -> Response:
    """A hash tile or an entry bundle, full or partial. MissingError for what is not published, or no such path."""
    reader = _reader(gate, request)
    path = f"tile/{request.path_params['tile']}"
    try:
        place = parse_path(path)
    except MalformedError as error:
        raise MissingError(error.sentence, hint=error.hint) from None
    headers = {"Cache-Control": _FOREVER}
    if not isinstance(place, EntryBundle):
        return Response(reader.tiles([place])[0], headers=headers, media_type=_BYTES)
    bundle = reader.bundle(place.index, place.width)
    headers["Vary"] = "Accept-Encoding"
    if accepts_gzip(request.headers.get("accept-encoding", "")):
        headers["Content-Encoding"] = "gzip"
        bundle = gzip.compress(bundle, _GZIP_LEVEL, mtime=0)
    return Response(bundle, headers=headers, media_type=_BYTES)


def accepts_gzip(header: str) -> bool:
    """Whether an Accept-Encoding header (RFC 9110 section 12.5.3) allows gzip by name."""
    return "gzip" in header.lower() and not _NO_GZIP.search(header)


def _reader(gate: Gate, request: Request) -> LogReader:
    caller, tenant = gate.admit(request, "read")
    read_parameters(request, ())
    gate.read(request, "log.read", {}, by=caller, tenant=tenant)
    return gate.platform.reader(tenant, by=caller)
