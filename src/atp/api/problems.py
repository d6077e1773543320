"""Errors as problem details (RFC 9457): what every door answers when it cannot do what was asked."""

from collections.abc import Mapping, Sequence
from http import HTTPStatus

import msgspec
from starlette.responses import Response

from atp.errors import AtpError, FieldError, UnauthorizedError, UnavailableError

MEDIA_TYPE = "application/problem+json"
BUG = "bug"
_CODES = {404: "missing", 405: "method_not_allowed", 408: "timeout", 415: "unsupported_media_type"}


class Problem(msgspec.Struct, omit_defaults=True):
    """A problem: `code` is stable and for programs, `detail` and `hint` are sentences for people."""

    title: str
    status: int
    code: str
    detail: str
    hint: str | None = None
    errors: tuple[FieldError, ...] = ()


def render_error(error: AtpError) -> Response:
    """What a caller is told of an error, with the headers that go with it."""
    headers: dict[str, str] = {}
    if isinstance(error, UnauthorizedError):
        headers["WWW-Authenticate"] = 'Bearer realm="atp"'
    if isinstance(error, UnavailableError):
        headers["Retry-After"] = str(error.retry_after_seconds)
    return render(
        error.status,
        code=error.code,
        detail=error.sentence,
        hint=error.hint,
        errors=error.errors,
        headers=headers,
    )


def render_status(status: int, *, detail: str, headers: Mapping[str, str] | None = None) -> Response:
    """A problem that HTTP itself has a status for."""
    return render(status, code=_CODES.get(status, "refused"), detail=detail, headers=headers or {})


def render_bug() -> Response:
    """What a caller is told when the program is wrong: nothing of the inside."""
    return render(500, code=BUG, detail="could not answer: the server has a bug", hint="it is in the server's log")


def render(
    status: int,
    *,
    code: str,
    detail: str,
    hint: str | None = None,
    errors: Sequence[FieldError] = (),
    headers: Mapping[str, str] | None = None,
) -> Response:
    """A problem as an answer. Its type is `about:blank`, so the title is the status' own."""
    problem = Problem(HTTPStatus(status).phrase, status, code, detail, hint, tuple(errors))
    body = b'{"type":"about:blank",' + msgspec.json.encode(problem)[1:]
    return Response(body, status, dict(headers or {}), MEDIA_TYPE)
