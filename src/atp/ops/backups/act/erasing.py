"""Copies of keys whose destruction erases data: never locked, and gone when their time is over, the last one too."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from atp.errors import ForbiddenError
from atp.ops.backups.act.listing import Listed, unfinished_backups
from atp.ops.backups.declare import Declared
from atp.ops.backups.evidence import Listing
from atp.ops.backups.format.manifest import begun_at
from atp.ports.repository import Repository


def gone_by(one: Listed, *, gone_after: timedelta | None) -> datetime | None:
    """When a copy has to be gone: as its manifest says or, if that is sooner, as is declared now. None: it need not.
    Pure."""
    said = one.manifest.gone_by if one.manifest else None
    declared = begun_at(one.backup) + gone_after if gone_after is not None else None
    return min((at for at in (said, declared) if isinstance(at, datetime)), default=None)


def check_lets_go(declared: Declared, repositories: Mapping[str, Repository]) -> None:
    """ForbiddenError when one of them would lock what may never be locked. Costs a request each."""
    for name, repository in repositories.items() if declared.is_erasable else ():
        if how := repository.locks_unasked():
            raise ForbiddenError(
                f"could not back up {declared.dataset!r} to {name}: it locks every object {how}, and this dataset is"
                " erasable: its copies are never locked",
                hint="another bucket, one without a default retention",
            )


def check_may_hold(declared: Declared, listed: Sequence[Listed], *, backup: str) -> None:
    """ForbiddenError when a backup cannot be held, since nothing keeps it. Pure."""
    by = next((gone_by(one, gone_after=declared.gone_after) for one in listed if one.backup == backup), None)
    if by is not None:
        raise ForbiddenError(
            f"could not hold backup {backup}: it holds keys whose destruction erases data, and is gone by"
            f" {by:%Y-%m-%d %H:%M:%SZ}, whoever needs it",
            hint="hold what the keys open, or keep the single key that is needed elsewhere",
        )


def observe_listing(repository: Repository, listed: Sequence[Listed], *, dataset: str, now: datetime) -> Listing:
    """What a repository holds of such a dataset, for its review. Of the log between copies the first and the last
    object are asked for their locks. Costs two listings."""
    begun = [begun_at(one.backup) for one in listed]
    begun += map(begun_at, unfinished_backups(repository, dataset=dataset))
    between = sorted(kept.name for kept in repository.objects(f"{dataset}/wal/"))
    days = [one.keep_until for one in listed] + [repository.keep_until(name) for name in {*between[:1], *between[-1:]}]
    locked = [day for day in days if day is not None and day > now]
    return Listing(copies=len(listed), oldest_at=min(begun, default=None), locked_until=max(locked, default=None))
