"""A server with an estate file, and what backups and drills would have told of it: what tests of recovery stand on."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any

import msgspec

from atp.merkle.keys import SigningKey
from atp.ops.drills.evidence.event import statement_of
from atp.ops.drills.evidence.figures import read_done
from atp.ops.estate.evidence.declared import estate_events
from atp.ops.record.act import Person
from atp.ops.record.statement import sign_statement
from tests.web.serving import Served, serving

DAY = timedelta(days=1)
_KEY = SigningKey.from_seed(bytes(32), name="machine-1")
ESTATE = """\
version: atp.estate/1
name: A small archive
environments: [production]
contacts:
  keeper: {channel: the telephone in the office, confirmed_at: 2026-11-01}
services:
  website: {owner: keeper, depends_on: [search, letters], criticality: critical, health: "https://www.example.org/"}
  search: {owner: keeper, depends_on: [catalogue], criticality: high, health: "https://search.example.org/"}
datasets:
  catalogue:
    purpose: Every letter, by whom and to whom.
    kind: sqlite
    source: {place: /srv/archive/catalogue.db}
    owner: keeper
    rpo: 24h
    rto: 15min
    retention: 35d
    backup: {repository: vault, schedule: 12h, recipients: [age1public]}
    drill:
      place: /srv/scratch
      checks: [{rows: {table: letter, at_least: 1000}}]
      scenarios: [deletion, corruption]
  letters:
    kind: files
    source: {place: /srv/archive/letters}
    rpo: 24h
    rto: 4h
    backup: {repository: cellar, schedule: 12h, recipients: [age1public]}
    drill: {place: /srv/scratch, checks: [{digests: true}]}
  pictures:
    kind: files
    source: {place: /srv/archive/pictures}
    backup: {repository: cellar, schedule: 12h, recipients: [age1public]}
repositories:
  vault: {kind: s3, place: "s3://vault/x", isolated_from: [production], lock: compliance, offsite: true}
  cellar: {kind: directory, place: /srv/backups}
"""

RECORDED: dict[str, Any] = {
    "dataset": "catalogue",
    "classification": "confidential",
    "owner": "keeper",
    "os_user": {"uid": 1001, "name": "drills"},
    "recorded": {"manifest": True, "objects": 3},
    "lock": {
        "repository": "vault",
        "verdict": "held",
        "promised": "compliance",
        "found": "compliance",
        "attempts": [
            {"tried": "remove the version", "refused": True, "answer": "403 AccessDenied: <b>locked</b>"},
            {"tried": "suspend versioning", "refused": True, "answer": "409 InvalidBucketState: it is locked"},
        ],
    },
}


@contextmanager
def recovering(folder: Path, *, estate: str = ESTATE, is_told: bool = True, **settings: Any) -> Iterator[Served]:
    """A server that shows an estate: of the catalogue all is proven, the last drill of the letters failed, and the
    pictures were never backed up; or nothing of all that."""
    file = folder / "estate.yaml"
    file.write_text(estate)
    with serving(folder / "data", estate=file, **settings) as served:
        if is_told:
            served.record(*told(estate), tenant="operations")
        yield served


def told(estate: str = ESTATE) -> list[dict[str, Any]]:
    """The events of the operators' log. The newest drill of the catalogue says all that a record can, was begun when
    the text of the estate file was told, and reviewed twice; the others are as older programs told them."""
    more = {**RECORDED, "estate_sha256": sha256(estate.encode()).hexdigest()}
    newest = drilled("catalogue", 5, ago=DAY, rto=8.5, more=more)
    declared = estate_events(estate.encode(), by=Person("keeper", is_bound=True), at=datetime.now(UTC) - DAY)
    return [
        *(msgspec.json.decode(msgspec.json.encode(event)) for event in declared),
        backup("catalogue", ago=timedelta(hours=1)),
        verified("catalogue", ago=timedelta(hours=2)),
        drilled("catalogue", 1, ago=40 * DAY, rto=31.5),
        drilled("catalogue", 2, ago=20 * DAY, scenario="corruption", rto=1_200.0, verdict="fail"),
        drilled("catalogue", 3, ago=10 * DAY, scenario="corruption", rto=12.25),
        newest,
        reviewed(newest, ago=timedelta(hours=5), by="keeper", note="too slow", follow_up="a second <disk>, by May"),
        reviewed(newest, ago=timedelta(hours=4), by="auditor", note="rows <compared> with the ledger"),
        backup("letters", ago=timedelta(hours=3), repository="cellar"),
        drilled("letters", 1, ago=2 * DAY, verdict="fail", rto=None, repository="cellar"),
    ]


def backup(dataset: str, *, ago: timedelta, **data: Any) -> dict[str, Any]:
    """`backup.done`."""
    made = {"verdict": "pass", "backup": f"b-{dataset}", "repository": "vault", "encrypted": True}
    return _event("backup.done", dataset, ago, {**made, **data})


def verified(dataset: str, *, ago: timedelta, **data: Any) -> dict[str, Any]:
    """`backup.verified`."""
    shown = {"read_back": True, "isolated": True, "immutable": True}
    made = {"verdict": "pass", "backup": f"b-{dataset}", "repository": "vault", **shown}
    return _event("backup.verified", dataset, ago, {**made, **data})


def drilled(
    dataset: str,
    number: int,
    *,
    ago: timedelta,
    rto: float | None,
    scenario: str = "deletion",
    verdict: str = "pass",
    repository: str = "vault",
    more: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """`drill.done`, as a drill of that number would tell it."""
    lost_at = (datetime.now(UTC) - ago).isoformat()
    took = {"achieved_seconds": rto} if rto is not None else {}
    failed = {"failed": ["content"], "cause": "corrupted", "reason": "a byte changed"} if verdict != "pass" else {}
    data = {
        "verdict": verdict,
        "scenario": scenario,
        "number": number,
        "act": f"20261101T00000000000{number}-{dataset}",
        "lost_at": lost_at,
        "objectives": [
            {"name": "content", "verdict": verdict, "told": "4 of 4 answers are as declared"},
            {"name": "rto", "verdict": verdict, "told": "it took a while", "wanted_seconds": 900.0, **took},
            {"name": "rpo", "verdict": "pass", "told": "12s", "wanted_seconds": 86_400.0, "achieved_seconds": 12.0},
            {"name": "fence", "verdict": "pass", "told": "fenced: own network namespace"},
        ],
        "fence": "fenced: own network namespace",
        "place": "/srv/scratch",
        "host": "archive",
        "user": "keeper",
        "estate_sha256": "e" * 64,
        "key_beside": False,
        "backup": f"b-{dataset}",
        "repository": repository,
        "rpo_seconds": 12.0,
        "legs": [{"name": "chosen", "seconds": 0.01}, {"name": "restored", "seconds": 1.25}],
        "answers": [{"name": "rows of <letter>", "passed": verdict == "pass", "told": "1,000 rows, at least 1,000"}],
        "manifest_sha256": "a" * 64,
        **({"rto_seconds": rto} if rto is not None else {}),
        **failed,
        **(more or {}),
    }
    data["statement"] = _signed(data, dataset)
    return _event("drill.done", dataset, ago, data, id=f"drill.done.{dataset}.{number}.x")


def reviewed(drill: dict[str, Any], *, ago: timedelta, by: str, **said: str) -> dict[str, Any]:
    """`drill.reviewed`, of such a drill."""
    data = {"number": drill["data"]["number"], "statement_sha256": drill["data"]["statement"]["sha256"], **said}
    return {**_event("drill.reviewed", drill["resource"]["id"], ago, data), "actor": {"id": by}}


def _signed(data: dict[str, Any], dataset: str) -> dict[str, str]:
    envelope = sign_statement(statement_of(read_done(data), dataset=dataset), _KEY)
    return {
        "sha256": sha256(envelope).hexdigest(),
        "signed_by": _KEY.name,
        "vkey": _KEY.public().vkey,
        "whose": "this machine's",
        "signature": json.loads(envelope)["signatures"][0]["sig"],
    }


def _event(action: str, dataset: str, ago: timedelta, data: dict[str, Any], **members: Any) -> dict[str, Any]:
    time = (datetime.now(UTC) - ago).isoformat()
    resource = {"id": dataset, "type": "dataset"}
    return {"actor": {"id": "keeper"}, "action": action, "resource": resource, "time": time, "data": data, **members}
