"""What the operators' trail says of backups and drills, asked of a server; without one it is unknown."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec

from atp import limits
from atp.app.machine import open_spool
from atp.cli.output import Output
from atp.cli.query import ask
from atp.cli.server import KEY_FILE_DEFAULT, find_key, find_server
from atp.cli.trust import watch
from atp.client import Client
from atp.errors import MissingError, UnavailableError
from atp.log.event import Event, parse_instant
from atp.ops.estate.evidence.proofs import ACTIONS, UNKNOWN, Evidence, Fact, fold
from atp.ops.record.spool import read_record, verify_spool
from atp.tenants.names import OPERATIONS

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Asked:
    """What was learned, and why nothing was; `reason` is empty when the trail was read."""

    evidence: Evidence
    reason: str = ""


def read_evidence(
    datasets: Iterable[str], *, url: str, key_file: Path | None, output: Output, now: datetime, is_offline: bool
) -> Asked:
    """The evidence of some datasets up to `now`, from the tenant `operations` of a server.

    What waits on this machine for that server counts too; that alone, with the reason, without a key or when nobody
    answers; other refusals are raised. Five questions a dataset, and one whether the server has keys; of
    each kind the newest `limits.PAGE_EVENTS_MAX` events count. Offline nothing is known.
    """
    if is_offline:
        return Asked(UNKNOWN, "no server was asked")
    here = waiting_facts(url, output)
    if find_key(key_file, output) is None:
        return Asked(_alone(here, now), f"there is no key in ATP_API_KEY, nor a file {KEY_FILE_DEFAULT}")
    server = find_server(url, key_file=key_file, output=output)
    try:
        with server.client(tries=1) as client:
            facts = [one for dataset in datasets for one in _facts(client, dataset, now)]
            keys_here = _keys_here(client)
        watch(server, OPERATIONS)
    except UnavailableError as error:
        return Asked(_alone(here, now), error.sentence)
    return Asked(replace(fold([*facts, *here], now=now), keys_here=keys_here))


def _keys_here(client: Client) -> frozenset[str]:
    """The datasets beside which the server holds a private key; none when it was given no estate file."""
    try:
        return frozenset(client.get("/v1/estate").json().get("keys_here", ()))
    except MissingError:
        return frozenset()


def waiting_facts(url: str, output: Output) -> list[Fact]:
    """What waits on this machine of backups and drills: its own word, until that is delivered."""
    return [_waiting(event) for event in waiting_events(url, output) if event.action in ACTIONS]


def waiting_events(url: str, output: Output) -> list[Event]:
    """What waits on this machine for the server, about something. A spool that was changed proves nothing, which is
    said. Costs a verification for each line, about 0.1 ms."""
    lines = open_spool(url, tell=output.note).lines()
    if verify_spool(lines).fault is not None:
        output.note("warning: the spool of this machine was changed: it proves nothing (hint: atp spool verify)")
        return []
    events = [read_record(line).event for line in lines[1:]]
    return [event for event in events if event.resource is not None]


def _waiting(event: Event) -> Fact:
    assert event.resource is not None and event.time is not None, "acts have both"
    at = _EPOCH + timedelta(microseconds=parse_instant(event.time))
    data = msgspec.json.decode(event.data or b"{}")
    return Fact(at, event.action, event.resource.id, data, f"{event.actor.id} (waits on this machine)")


def _alone(here: list[Fact], now: datetime) -> Evidence:
    """What this machine knows while nobody read the trail."""
    return replace(fold(here, now=now), read_at=None)


def _facts(client: Client, dataset: str, now: datetime) -> Iterator[Fact]:
    until = (now + timedelta(microseconds=1)).isoformat()
    for action in ACTIONS:
        question: dict[str, str | None] = {"action": action, "resource": dataset, "until": until}
        page = ask(client, OPERATIONS, limits.PAGE_EVENTS_MAX, question)
        yield from map(fact, page.events)


def fact(raw: msgspec.Raw) -> Fact:
    """An answered event, as far as it matters here: what happened to which dataset, and when at the latest."""
    event = msgspec.json.decode(raw)
    received_at = parse_instant(event["received_at"])
    # A sender that tells late is believed, one that tells of the future is not.
    happened_at = min(received_at, parse_instant(event.get("time") or event["received_at"]))
    at = _EPOCH + timedelta(microseconds=happened_at)
    return Fact(at, event["action"], event["resource"]["id"], event.get("data"), _who(event))


def _who(event: dict[str, Any]) -> str:
    """The actor; and whose key sent it, when that is somebody else."""
    actor, by = str(event["actor"]["id"]), str(event.get("by") or "")
    return actor if by in ("", actor) else f"{actor} (sent by {by})"
