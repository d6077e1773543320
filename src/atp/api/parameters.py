"""Query parameters: every one is known by name, stands once, and is refused by name when it is wrong."""

import re
from collections.abc import Collection, Mapping
from typing import Annotated

import msgspec
from starlette.requests import Request

from atp.errors import FieldError, InvalidError
from atp.limits import EXPECT_RESOURCES_MAX
from atp.log.event import Text, parse_instant

_Resource = Text
_Index = Annotated[int, msgspec.Meta(ge=-1, le=2**53)]
_NUMBER = re.compile(r"[0-9]{1,18}")
_SECONDS = re.compile(r"[0-9]{1,6}(\.[0-9]{1,6})?")


def read_parameters(request: Request, known: Collection[str]) -> dict[str, str]:
    """The parameters of a request. InvalidError names one that is unknown or stands twice."""
    found: dict[str, str] = {}
    for name, value in request.query_params.multi_items():
        if name not in known:
            raise refusal(name, f"is unknown, known are {', '.join(known) or 'none'}")
        if name in found:
            raise refusal(name, "stands twice")
        found[name] = value
    return found


def read_number(found: Mapping[str, str], name: str, *, default: int, least: int = 1, most: int) -> int:
    """A whole number within bounds. InvalidError when it is none."""
    text = found.get(name)
    if text is None:
        return default
    if not _NUMBER.fullmatch(text) or not least <= int(text) <= most:
        raise refusal(name, f"has to be a whole number from {least} to {most}")
    return int(text)


def read_seconds(found: Mapping[str, str], name: str, *, most: int) -> float | None:
    """Seconds, with a fraction if one likes. InvalidError when it is no such number, or too many."""
    text = found.get(name)
    if text is None:
        return None
    if not _SECONDS.fullmatch(text) or float(text) > most:
        raise refusal(name, f"has to be seconds from 0 to {most}")
    return float(text)


def read_choice(found: Mapping[str, str], name: str, choices: Collection[str], *, default: str) -> str:
    """One of the choices. InvalidError when it is none of them."""
    text = found.get(name, default)
    if text not in choices:
        raise refusal(name, f"has to be one of {', '.join(choices)}")
    return text


def read_instant(found: Mapping[str, str], name: str) -> str | None:
    """An RFC 3339 instant, as it was sent. InvalidError when it is none."""
    text = found.get(name)
    if text is not None:
        try:
            parse_instant(text)
        except ValueError as error:
            raise refusal(name, str(error)) from None
    return text


def read_expect(found: Mapping[str, str]) -> dict[str, int]:
    """`expect`: a JSON object that maps resource ids to indexes, -1 for no entry; empty when it is not given.

    InvalidError when it is no such object, or names too many.
    """
    text = found.get("expect")
    if text is None:
        return {}
    try:
        expect = msgspec.json.decode(text, type=dict[_Resource, _Index])
    except (msgspec.MsgspecError, UnicodeEncodeError, RecursionError):
        raise refusal("expect", 'has to be a JSON object such as {"inc-7":12}, -1 where there is no entry') from None
    if not 0 < len(expect) <= EXPECT_RESOURCES_MAX:
        raise refusal("expect", f"has to name 1 to {EXPECT_RESOURCES_MAX} resources")
    return expect


def refusal(name: str, reason: str) -> InvalidError:
    """The error that names a parameter."""
    return InvalidError(
        f"could not use the parameter {name[:100]!r}: it {reason}", errors=[FieldError(0, name[:100], reason)]
    )
