"""Small JSON bodies in and out, by their msgspec shapes."""

from typing import TypeVar

import msgspec
from starlette.responses import Response

from atp.errors import FieldError, InvalidError, MalformedError
from atp.log.event import check_utf8

T = TypeVar("T")


def read_shape(body: bytes, shape: type[T], *, thing: str) -> T:
    """A body of the wanted shape. MalformedError when it is no JSON, InvalidError when it is of another shape."""
    check_utf8(body)
    try:
        return msgspec.json.decode(body, type=shape)
    except msgspec.ValidationError as error:
        reason = str(error)
        raise InvalidError(f"could not use {thing}: {reason}", errors=[FieldError(0, "body", reason)]) from None
    except (msgspec.MsgspecError, RecursionError) as error:
        reason = "it is nested too deep" if isinstance(error, RecursionError) else str(error)
        raise MalformedError(f"could not read {thing}: {reason}") from None


def answer(value: object, *, status: int = 200) -> Response:
    """A value as JSON."""
    return Response(msgspec.json.encode(value), status, media_type="application/json")
