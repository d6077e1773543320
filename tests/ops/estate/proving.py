"""Facts of the operators' trail to test with: an estate whose every answer is green, and pieces to spoil it."""

from datetime import timedelta
from typing import Any

from atp.ops.estate.evidence.proofs import BACKUP_DONE, BACKUP_LISTED, BACKUP_VERIFIED, DRILL_DONE, Evidence, Fact, fold
from atp.ops.estate.evidence.signoff import DRILL_REVIEWED
from tests.ops.estate.estates import NOW

HOUR = timedelta(hours=1)


def fact(action: str, *, ago: timedelta, dataset: str = "data", by: str = "operator", **data: Any) -> Fact:
    return Fact(NOW - ago, action, dataset, data, by)


def backup(ago: timedelta = HOUR / 2, **data: Any) -> Fact:
    given = {"verdict": "pass", "backup": "b-1", "repository": "vault", "encrypted": True}
    return fact(BACKUP_DONE, ago=ago, **(given | data))


def verified(ago: timedelta = 24 * HOUR, **data: Any) -> Fact:
    given = {"verdict": "pass", "backup": "b-1", "repository": "vault"}
    return fact(BACKUP_VERIFIED, ago=ago, **(given | {"read_back": True, "isolated": True, "immutable": True} | data))


def listed(ago: timedelta = HOUR / 4, **data: Any) -> Fact:
    given = {"verdict": "pass", "repository": "vault", "copies": 3, "oldest_at": "2026-11-23T10:00:00Z"}
    return fact(BACKUP_LISTED, ago=ago, **(given | data))


def drilled(ago: timedelta = 240 * HOUR, **data: Any) -> Fact:
    given = {"verdict": "pass", "scenario": "deletion", "rpo_seconds": 60, "rto_seconds": 600.5}
    return fact(DRILL_DONE, ago=ago, **(given | {"host": "safe-1", "key_beside": False} | data))


def reviewed(ago: timedelta = HOUR / 3, **data: Any) -> Fact:
    return fact(DRILL_REVIEWED, ago=ago, **data)


ROTATION = [drilled(480 * HOUR, scenario="corruption"), drilled()]


def evidence(*facts: Fact) -> Evidence:
    return fold(facts, now=NOW)
