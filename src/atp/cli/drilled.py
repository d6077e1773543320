"""What is known of drills, asked of a server and of what waits on this machine; and how a drill is printed."""

from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

import msgspec

from atp import limits
from atp.cli.acting import Acting
from atp.cli.evidence import fact, waiting_events, waiting_facts
from atp.cli.output import fields, safe, table
from atp.cli.query import ask
from atp.cli.server import find_key
from atp.cli.vault import Desk
from atp.client import Client
from atp.errors import ConflictError, UnavailableError
from atp.log.event import Event, parse_instant
from atp.ops.declaration.durations import format_second
from atp.ops.declaration.secrecy import secret_in
from atp.ops.drills.evidence.figures import Done
from atp.ops.drills.evidence.history import Drill, History, Told, fold
from atp.ops.drills.evidence.measure import account_told, damage_told, reach_told, recorded_told
from atp.ops.estate.declare.values import Estate
from atp.ops.estate.evidence.declared import ESTATE_DECLARED, estate_events
from atp.ops.estate.evidence.proofs import BACKUP_DONE, DRILL_DONE
from atp.ops.estate.evidence.signoff import DRILL_REVIEWED, Review
from atp.ops.secrecy import LEFT_OUT, without_secrets
from atp.tenants.names import OPERATIONS

HEADS = ("drill", "lost at", "scenario", "verdict", "rto", "rpo", "by", "reviewed", "why")
_MICROS = 1_000_000
_PORTS = {"http": 80, "https": 443}


def history(desk: Desk) -> History:
    """Every drill that the server tells and that waits on this machine; what could not be asked is said."""
    asked, is_all = _asked(desk, DRILL_DONE)
    found = fold([*asked, *_waiting(desk, DRILL_DONE)], is_all=is_all)
    if found.unreadable:
        desk.output.note(f"warning: {found.unreadable} events of drills cannot be read: they prove nothing")
    return found


def reviewed(desk: Desk) -> list[Told]:
    """Every review that the server tells and that waits on this machine."""
    return [*_asked(desk, DRILL_REVIEWED)[0], *_waiting(desk, DRILL_REVIEWED)]


def tell_estate(desk: Desk, doing: Acting, file: bytes) -> None:
    """Write the text of the estate file down, before anything refers to its digest; a log takes each text once.

    A text that looks like it holds a secret stays here, which is said. Costs a reading of the spool and a request.
    """
    text = file.decode()
    if secret_in(text) or without_secrets(text) == LEFT_OUT:
        desk.output.note("warning: the estate file is not written down: a comment in it looks like a secret")
        return
    waiting = {_id(event.id, msgspec.json.decode(event.data or b"{}")) for event in _waiting_of(desk, ESTATE_DECLARED)}
    for event in estate_events(file, by=doing.by, at=doing.clock.now()):
        if event.id not in waiting:
            with suppress(ConflictError):  # somebody told it before
                doing.sink.write(event, expect={}, is_outcome=False)


def addresses(estate: Estate) -> tuple[str, ...]:
    """Where the services of the estate can be reached, as far as their health addresses tell."""
    found = [_address(service.health) for service in estate.services.values() if service.health]
    return tuple(dict.fromkeys(filter(None, found)))


def _address(health: str) -> str:
    """`HOST:PORT` of an address that may be a URL; empty when it is neither."""
    try:
        parts = urlsplit(health if "://" in health else f"//{health}")
        port = parts.port or _PORTS.get(parts.scheme, 443)
    except ValueError:
        return ""
    return f"{parts.hostname}:{port}" if parts.hostname else ""


def _asked(desk: Desk, action: str) -> tuple[list[Told], bool]:
    """What the server tells, and whether that is all that it knows."""
    key = find_key(desk.key_file, desk.output)
    if key is None:
        desk.output.note("note: no server was asked, there is no key: these are the drills that wait on this machine")
        return [], True
    try:
        with Client(desk.url, key=key, tries=1) as client:
            page = ask(client, OPERATIONS, limits.DRILLS_READ_MAX, {"action": action})
    except UnavailableError as error:
        desk.output.note(f"warning: what the server knows of drills is left out: {error}")
        return [], False
    if page.next:
        desk.output.note(f"warning: only the newest {limits.DRILLS_READ_MAX:,} drills were read")
    return [_of_server(raw) for raw in page.events], not page.next


def begun_at(desk: Desk, dataset: str) -> datetime | None:
    """When the first backup of a dataset was told of, by the server or by what waits here; None: nobody told of one."""
    found = [
        one.at for one in waiting_facts(desk.url, desk.output) if (one.action, one.resource) == (BACKUP_DONE, dataset)
    ]
    if (key := find_key(desk.key_file, desk.output)) is not None:
        with suppress(UnavailableError), Client(desk.url, key=key, tries=1) as client:
            question: dict[str, str | None] = {"action": BACKUP_DONE, "resource": dataset, "order": "index"}
            found += [fact(raw).at for raw in ask(client, OPERATIONS, 1, question).events]
    return min(found, default=None)


def _of_server(raw: msgspec.Raw) -> Told:
    event, known = msgspec.json.decode(raw), fact(raw)
    data = known.data if isinstance(known.data, dict) else {}
    return Told(_id(event["id"], data), known.at, known.actor, known.resource, data, event["index"])


def _waiting(desk: Desk, action: str) -> list[Told]:
    return [_of_spool(event, event.resource.id) for event in _waiting_of(desk, action) if event.resource is not None]


def _waiting_of(desk: Desk, action: str) -> list[Event]:
    return [event for event in waiting_events(desk.url, desk.output) if event.action == action]


def _of_spool(event: Event, dataset: str) -> Told:
    data = msgspec.json.decode(event.data or b"{}")
    at = datetime.fromtimestamp(parse_instant(event.time or "") / _MICROS, UTC)
    return Told(_id(event.id, data), at, event.actor.id, dataset, data)


def _id(event_id: str | None, data: dict[str, Any]) -> str:
    """The id that the event was written under: a spool gives it another one, and tells the first."""
    return str(data.get("sent_as") or event_id)


def row(drill: Drill, reviews: Sequence[Review]) -> tuple[str, ...]:
    """One drill in a list."""
    done = drill.done
    return (
        drill.name,
        format_second(done.lost_at),
        done.scenario + damage_told(done.damaged_at),
        done.verdict,
        seconds(done.rto_seconds),
        seconds(done.rpo_seconds),
        drill.by,
        reviews[-1].who if reviews else "no",
        "" if done.verdict == "pass" else why(done),
    )


def why(done: Done) -> str:
    """What keeps a drill from being green, in one sentence."""
    worst = next((one for one in done.objectives if one.verdict == done.verdict), None)
    return f"{worst.name}: {worst.told}" if worst else done.reason


def seconds(length: float | None) -> str:
    """A measured time for people."""
    return "" if length is None else f"{length:,.2f} s"


def text(dataset: str, done: Done) -> str:
    """A drill for people: its verdict, each objective, the legs, the answers, and where the proof lies."""
    signed = done.statement
    head = fields(
        [
            ("drill", f"{dataset}/{done.number}"),
            ("verdict", done.verdict + (f" ({done.cause})" if done.cause else "")),
            ("scenario", done.scenario),
            ("class", done.classification),
            ("owner", done.owner),
            ("backup", f"{done.backup} in {done.repository}" if done.backup else ""),
            ("lost at", format_second(done.lost_at)),
            ("damaged at", format_second(done.damaged_at) if done.damaged_at else ""),
            ("legs", ", ".join(f"{leg.name} {leg.seconds:.2f} s" for leg in done.legs)),
            ("heartbeats", reach_told(done.acknowledged) if done.acknowledged else ""),
            ("recorded", recorded_told(done.recorded) if done.recorded else ""),
            ("lock", _lock(done)),
            ("raw copy", _raw_copy(done)),
            ("missed", ", ".join(map(format_second, done.missed_slots))),
            ("forced", done.forced),
            ("swept", ", ".join(done.swept)),
            ("ran as", account_told(done)),
            ("estate file", f"sha256 {done.estate_sha256}"),
            ("act", done.act),
            ("statement", f"sha256 {signed.sha256}" if signed else ""),
            ("follows", f"sha256 {done.previous_sha256}" if done.previous_sha256 else ""),
            ("signed by", f"{signed.signed_by}: {signed.whose}" if signed else ""),
        ]
    )
    objectives = [(one.name, one.verdict, one.told) for one in done.objectives]
    answers = [("yes" if one.passed else "NO", safe(one.name), one.told) for one in done.answers]
    attempts = [(one.tried, "refused" if one.refused else "DONE", one.answer) for one in done.attempts]
    parts = [head, table(("objective", "verdict", "why"), objectives)]
    parts += [table(("ok", "question", "answer"), answers)] if answers else []
    parts += [table(("tried on the lock", "came of it", "the store answered"), attempts)] if attempts else []
    return "\n\n".join(parts)


def _lock(done: Done) -> str:
    tried = done.lock
    return f"{tried.verdict}: {tried.repository}" if tried and tried.verdict != "not promised" else ""


def _raw_copy(done: Done) -> str:
    if done.ratio_to_raw_copy is None:
        return ""
    return f"the restore took {done.ratio_to_raw_copy:.1f} times as long as a plain copy of as many bytes"
