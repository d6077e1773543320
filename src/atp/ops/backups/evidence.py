"""What the acts leave in the operators' trail for the estate's review: `backup.done`, `backup.verified`, and of
what is erasable `backup.listed`.

Their fields are those that `atp.ops.estate.evidence.proofs` documents, and some more that a person asks for. And what
it remembers of a repository, which others can write to: the digests of manifests, and the names of all that followers
ship, in `backup.shipped`. A name holds the digest of the object's bytes, so what bears it is what was shipped.
"""

from collections.abc import Callable, Collection, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, TypeVar

import msgspec

from atp.limits import SHIPPED_NAMES_MAX
from atp.ops.backups.format.manifest import Manifest
from atp.ops.estate.evidence.proofs import Aware
from atp.ops.secrecy import without_secrets

BACKUP_SHIPPED = "backup.shipped"
T = TypeVar("T")


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


@dataclass(frozen=True, slots=True)
class Listing:
    """What a repository holds of an erasable dataset: how many copies, when the oldest was begun, finished or not, and
    until when one of them is locked; None: none is."""

    copies: int
    oldest_at: datetime | None
    locked_until: datetime | None


@dataclass(frozen=True, slots=True)
class Recorded:
    """What the trail remembers of a backup: the digest of its manifest, None: nobody told it; and the names of objects
    that follow it and were written down before they were stored.

    `others`: how many more follow it in the repository, and until when these say that they reach. They are left aside,
    unless the trail could not be asked, for a `reason`, or somebody `insists` on them.
    """

    manifest_sha256: str | None = None
    names: frozenset[str] = frozenset()
    others: int = 0
    others_reach_to: datetime | None = None
    reason: str = ""
    insists: bool = False

    @property
    def uses_others(self) -> bool:
        """Whether what is not recorded is used where nothing is that is."""
        return self.insists or bool(self.reason)

    def usable(self, objects: Iterable[T], *, name: Callable[[T], str], place: Callable[[T], Hashable]) -> list[T]:
        """Those that are recorded; and of others, if these are used, the ones in whose place nothing recorded is."""
        found = list(objects)
        taken = {place(one) for one in found if name(one) in self.names}
        return [one for one in found if name(one) in self.names or (self.uses_others and place(one) not in taken)]

    @property
    def warning(self) -> str:
        """A sentence about the others; empty when there are none."""
        if not self.others:
            return ""
        what = f"{self.others:,} {'object' if self.others == 1 else 'objects'} in the repository that follow the backup"
        reach = f", and say that they reach to {self.others_reach_to:%Y-%m-%d %H:%M:%SZ}"
        if self.reason:
            return f"{what} were not held against the operators' trail{reach}: {self.reason}"
        if self.insists:
            return f"{what} are used, which the operators' trail does not know{reach}: nobody tells who made them"
        return f"{what} are not known to the operators' trail{reach}: they were left aside (hint: restore --unrecorded)"


class Held(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What of a backup was held against the trail: whether its manifest was, how many of the objects that follow it
    were, and how many more there are; `reason`: why the trail was not asked."""

    manifest: bool
    objects: int = 0
    others: int = 0
    others_used: bool = False
    others_reach_to: Aware | None = None
    reason: str = ""


def held_of(recorded: Recorded) -> Held:
    """The same as it is written down. Pure."""
    return Held(
        manifest=recorded.manifest_sha256 is not None,
        objects=len(recorded.names),
        others=recorded.others,
        others_used=recorded.others > 0 and recorded.uses_others,
        others_reach_to=recorded.others_reach_to,
        reason=without_secrets(recorded.reason),
    )


UNASKED = Recorded(reason="it was not asked")


def recorded_of(
    following: Mapping[str, datetime],
    *,
    manifest_sha256: str | None,
    names: Collection[str],
    reason: str = "",
    insists: bool = False,
) -> Recorded:
    """What is known of a backup that is followed by these objects, each with until when it says that it reaches, when
    the trail tells of these names; `reason`: why that is not all it may know. Pure."""
    known = frozenset(name for name in following if name in names)
    others = [covers for name, covers in following.items() if name not in known]
    return Recorded(manifest_sha256, known, len(others), max(others, default=None), reason, insists)


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


def backup_shipped(names: Sequence[str], *, repositories: Collection[str]) -> dict[str, Any]:
    """`data` of `backup.shipped`: the names of objects that are about to be stored."""
    assert 0 < len(names) <= SHIPPED_NAMES_MAX
    return {"objects": list(names), "repositories": list(repositories)}


def shipped_names(data: Any) -> list[str]:
    """The names in the data of a `backup.shipped`, whoever wrote it."""
    objects = data.get("objects") if isinstance(data, dict) else None
    return [name for name in objects if isinstance(name, str)] if isinstance(objects, list) else []


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


def backup_listed(found: Listing, *, repository: str, gone_after: timedelta, now: datetime) -> dict[str, Any]:
    """`data` of `backup.listed`: `fail` when a copy is locked, or should be gone."""
    is_late = found.oldest_at is not None and found.oldest_at + gone_after < now
    instants = {"oldest_at": found.oldest_at, "locked_until": found.locked_until}
    return {
        "verdict": "fail" if is_late or found.locked_until else "pass",
        "repository": repository,
        "copies": found.copies,
        **{name: at.isoformat() for name, at in instants.items() if at is not None},
    }
