"""Logs that go on under another origin after a restore, and what a checkpoint of an older origin is worth then.

The entry that says so stands in the log itself, under its signed root: the entries before it are those that were
recovered, and its data names the older origin, the keys that signed it, and the restores that were given up.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from atp.errors import MalformedError
from atp.merkle.keys import VerifierKey, parse_vkey
from atp.verify.entry import parse_entry

SUCCEEDED = "atp.log.succeeded"
MAY_SUCCEED = b'"action":"atp.log.succeeded"'
"""Stands in every entry that lets a log go on; in others only by chance."""
_GENERATION = re.compile(r"(.+)/([2-9]|[1-9][0-9]{1,5})")
_GENERATIONS_MAX = 100  # that are looked for


@dataclass(frozen=True, slots=True)
class Succession:
    """The entry at `index` says: what was `former` goes on as `origin` with the `index` entries before it."""

    index: int
    origin: str
    former: str
    vkeys: tuple[VerifierKey, ...]
    superseded: tuple[str, ...]
    restored_at: str


def former_origins(origin: str) -> list[str]:
    """The origins that a log may have had before this one, the newest first; none for a first one."""
    match = _GENERATION.fullmatch(origin)
    if match is None:
        return []
    newest = int(match[2]) - 1
    oldest = max(2, newest - _GENERATIONS_MAX)
    return [*(f"{match[1]}/{number}" for number in range(newest, oldest - 1, -1)), match[1]]


def read_successions(entries: Sequence[bytes], *, first_index: int) -> list[Succession]:
    """What these entries say of it. Costs one search through their bytes."""
    found = (_succession(entry, index) for index, entry in enumerate(entries, first_index) if MAY_SUCCEED in entry)
    return [one for one in found if one is not None]


def succession_of(origin: str, successions: Iterable[Succession]) -> Succession | None:
    """The entry that ended an origin, or gave it up; None when none says so."""
    return next((one for one in successions if origin == one.former or origin in one.superseded), None)


def _succession(entry: bytes, index: int) -> Succession | None:
    event = parse_entry(entry).get("event")
    if not isinstance(event, dict) or event.get("action") != SUCCEEDED:
        return None
    data = event.get("data")
    former = data.get("former") if isinstance(data, dict) else None
    if not isinstance(data, dict) or not isinstance(former, dict):
        return None
    origin, origins, at = data.get("origin"), data.get("superseded"), data.get("restored_at")
    if not isinstance(origin, str) or not isinstance(former.get("origin"), str):
        return None
    keys, restored_at = _keys(former.get("vkeys")), at if isinstance(at, str) else ""
    superseded = tuple(one for one in origins if isinstance(one, str)) if isinstance(origins, list) else ()
    return Succession(index, origin, former["origin"], keys, superseded, restored_at)


def _keys(listed: object) -> tuple[VerifierKey, ...]:
    try:
        return tuple(parse_vkey(line) for line in listed if isinstance(line, str)) if isinstance(listed, list) else ()
    except MalformedError:
        return ()
