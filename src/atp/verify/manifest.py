"""Reads `bundle.json`, what a bundle says of itself. Nothing in it is believed; it says what there is to be proven.

    {"format":"atp.bundle/1","kind":"range","origin":O,"tenant":T,"size":N,"first":I,"stop":J,"count":C,
     "asked":{"received_since":S,"received_until":U},"neighbours":{"before":true,"after":false},"completeness":"proven"}

    {"format":"atp.bundle/1","kind":"selection","origin":O,"tenant":T,"size":N,"first":I,"stop":J,"count":C,
     "asked":{"question":{…}},"scanned":{"first":0,"stop":N},"completeness":"attested"}

`size` is that of the checkpoint; the entries lie within [first, stop), of a range all of them, its neighbours included,
while `count` counts what was asked for, without neighbours. Instants are RFC 3339 UTC with six digits; either may be
absent, which means without limit. A range that was asked for by index has an empty `asked` and no neighbours.
"""

import json
import re
from dataclasses import dataclass
from typing import Any, Literal, cast

from atp.errors import TamperedError

FORMAT = "atp.bundle/1"
_INSTANT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z")
_KINDS = {"range": "proven", "selection": "attested"}


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a bundle says of itself; `since` and `until` bound the received_at of what was asked for."""

    kind: Literal["range", "selection"]
    origin: str
    tenant: str
    size: int
    first: int
    stop: int
    count: int
    since: str | None
    until: str | None
    has_before: bool
    has_after: bool
    scanned: tuple[int, int]


def parse_manifest(data: bytes) -> Manifest:
    """The manifest; TamperedError when it is none of this format, or contradicts itself."""
    read = _object(_parse(data), "bundle.json")
    if read.get("format") != FORMAT:
        raise TamperedError(f"its format is {str(read.get('format'))[:40]!r}, this program reads {FORMAT}")
    kind = read.get("kind")
    if not isinstance(kind, str) or kind not in _KINDS or read.get("completeness") != _KINDS[kind]:
        raise TamperedError(f"its kind {str(kind)[:40]!r} and its completeness do not belong together")
    asked, beside = _object(read.get("asked"), "asked"), _object(read.get("neighbours", {}), "neighbours")
    size, first, stop = _count(read, "size"), _count(read, "first"), _count(read, "stop")
    if not first <= stop <= size:
        raise TamperedError(f"a log of {size} entries has no range [{first}, {stop})")
    return Manifest(
        cast(Literal["range", "selection"], kind),
        _text(read, "origin"),
        _text(read, "tenant"),
        size,
        first,
        stop,
        _count(read, "count"),
        _instant(asked, "received_since"),
        _instant(asked, "received_until"),
        beside.get("before") is True,
        beside.get("after") is True,
        _scanned(read, size) if kind == "selection" else (first, stop),
    )


def _scanned(read: dict[str, Any], size: int) -> tuple[int, int]:
    scanned = _object(read.get("scanned"), "scanned")
    first, stop = _count(scanned, "first"), _count(scanned, "stop")
    if not first <= stop <= size:
        raise TamperedError(f"a log of {size} entries has no range [{first}, {stop}) to scan")
    return first, stop


def _parse(data: bytes) -> object:
    try:
        return json.loads(data)
    except (ValueError, RecursionError):
        raise TamperedError("it is not JSON") from None


def _object(value: object, name: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise TamperedError(f"its {name} is not an object")
    return value


def _count(read: dict[str, Any], name: str) -> int:
    value = read.get(name)
    if type(value) is not int or not 0 <= value < 1 << 63:
        raise TamperedError(f"its {name} is not a count")
    return value


def _text(read: dict[str, Any], name: str) -> str:
    value = read.get(name)
    if not isinstance(value, str):
        raise TamperedError(f"its {name} is not a text")
    return value


def _instant(asked: dict[str, Any], name: str) -> str | None:
    value = asked.get(name)
    if value is not None and not (isinstance(value, str) and _INSTANT.fullmatch(value)):
        raise TamperedError(f"its {name} is not an instant in UTC with six digits")
    return value
