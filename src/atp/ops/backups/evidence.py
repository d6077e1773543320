"""What the acts leave in the operators' trail for the estate's review: `backup.done` and `backup.verified`.

Their fields are those that `atp.ops.estate.evidence.proofs` documents, and some more that a person asks for.
"""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import msgspec

from atp.log.event import Actor, Event, Resource, format_instant
from atp.ops.backups.format.manifest import Manifest
from atp.ops.estate.evidence.proofs import BACKUP_DONE, BACKUP_VERIFIED
from atp.ops.record.act import Person
from atp.ops.secrecy import without_secrets


@dataclass(slots=True)
class Made:
    """What came of a run; `warnings` are sentences about what is not in it as one might expect, `outside` are files
    that the dataset needs and that lie elsewhere."""

    backup: str
    manifest: Manifest | None = None
    manifest_sha256: str = ""
    entries: int = 0
    total_bytes: int = 0
    warnings: list[str] = field(default_factory=list)
    outside: list[str] = field(default_factory=list)


@dataclass(slots=True)
class Verified:
    """What was found: without `faults` the backup can be believed, as far as it was looked at.

    `following`: how many segments of a log follow it.
    """

    backup: str
    stored_bytes: int = 0
    entries: int | None = None
    following: int | None = None
    faults: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    is_read_back: bool = False
    is_immutable: bool | None = None
    is_isolated: bool | None = None


def backup_done(made: Made, *, repository: str, error: str = "") -> dict[str, Any]:
    """`data` of `backup.done`: `pass` when the manifest is stored there, else `error` and why."""
    manifest = made.manifest
    if manifest is None or error:
        return {
            "verdict": "error",
            "backup": made.backup,
            "repository": repository,
            "reason": without_secrets(error or "it did not end"),
        }
    return {
        "verdict": "pass",
        "backup": made.backup,
        "repository": repository,
        "point_at": manifest.consistent_at.isoformat(),
        "encrypted": True,
        "manifest_sha256": made.manifest_sha256,
        "stored_bytes": manifest.stored_bytes,
        "entries": made.entries,
        "warnings": len(made.warnings),
    }


def backup_followed(backup: str, *, repository: str, reaches_to: datetime, segment: str) -> dict[str, Any]:
    """`data` of `backup.done` for what was shipped after a backup."""
    return {
        "verdict": "pass",
        "backup": backup,
        "repository": repository,
        "point_at": reaches_to.isoformat(),
        "encrypted": True,
        "segment": segment,
    }


def backup_verified(found: Verified, *, repository: str) -> dict[str, Any]:
    """`data` of `backup.verified`: `fail` names what is wrong. What was not tried is absent."""
    data: dict[str, Any] = {
        "verdict": "fail" if found.faults else "pass",
        "backup": found.backup,
        "repository": repository,
        "read_back": found.is_read_back,
        "decrypted": found.entries is not None,
        "faults": [without_secrets(fault) for fault in found.faults],
    }
    tried = {"immutable": found.is_immutable, "isolated": found.is_isolated}
    return data | {name: answer for name, answer in tried.items() if answer is not None}


def event_of(action: str, data: dict[str, Any], *, dataset: str, by: Person, at: datetime, event_id: str) -> Event:
    """The event that is written down."""
    assert action in (BACKUP_DONE, BACKUP_VERIFIED)
    return Event(
        actor=Actor(by.id, type="person" if by.is_bound else "os-user"),
        action=action,
        id=event_id,
        time=format_instant(int(at.timestamp() * 1_000_000)),
        resource=Resource(dataset, type="dataset"),
        outcome="success" if data["verdict"] == "pass" else "failure",
        data=msgspec.Raw(msgspec.json.encode(data)),
    )
