"""Retention: what is over goes, what is held or the last good one stays, and the last good one's lock never ends.

Not so of keys whose destruction erases data: their copies go when their time is over, held, damaged or the last.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Literal

from atp.errors import MissingError, TamperedError
from atp.ops.backups.act.erasing import gone_by
from atp.ops.backups.act.kinds.choose import following_names, lapsed_names, needless_names
from atp.ops.backups.act.listing import Listed, last_good, list_backups, unfinished_backups
from atp.ops.backups.act.parts import check_parts, remove_backup
from atp.ops.backups.act.step import Record, Step, carry_out
from atp.ops.backups.declare import Declared
from atp.ops.backups.format.manifest import MANIFEST, Manifest, backup_prefix, begun_at
from atp.ports.repository import Repository, whole_second

_BETWEEN = "what lies between"
Do = Literal["keep", "extend", "delete"]


@dataclass(frozen=True, slots=True)
class Decision:
    """What becomes of one backup, and why; `until`: the new day of one that is extended. With `objects` it is about
    these, which are no backup."""

    backup: str
    do: Do
    why: str
    until: datetime | None = None
    objects: tuple[str, ...] = ()


def decide(
    listed: Sequence[Listed], *, retention: timedelta | None, now: datetime, gone_after: timedelta | None = None
) -> list[Decision]:
    """What becomes of each backup, oldest first. Pure.

    The last good one is extended as soon as half of its retention is gone: so long pruning may fail to run.
    `gone_after`: the dataset is erasable, and no copy may be older; one that says so itself is never kept longer.
    """
    days = {one.backup: gone_by(one, gone_after=gone_after) for one in listed}
    last = last_good([one for one in listed if days[one.backup] is None])
    return [
        _decide(one, last=last, retention=retention, now=now) if day is None else _decide_erasable(one, day, now)
        for one, day in zip(listed, days.values(), strict=True)
    ]


def read_back(repository: Repository, listed: Sequence[Listed]) -> list[Listed]:
    """The backups with what comes out when the newest of which all is there is read: when its bytes are not those that
    were stored it is not good, and the next older one is read. Costs the reading of a backup."""
    found = list(listed)
    while (last := last_good(found)) is not None:
        assert last.manifest is not None, "a good one has a manifest"
        try:
            check_parts(repository, last.manifest, list(last.manifest.parts()), moved=lambda _: None)
            break
        except (MissingError, TamperedError) as error:
            found[found.index(last)] = replace(last, faults=(str(error),))
    return found


def decide_following(
    repository: Repository,
    listed: Sequence[Listed],
    decisions: Sequence[Decision],
    *,
    dataset: str,
    now: datetime,
    gone_after: timedelta | None = None,
) -> list[Decision]:
    """What becomes of what was shipped between backups: what none of those that stay needs goes, when its day is over.

    Nothing is decided while a backup cannot be read: it may need it. `gone_after`: the dataset is erasable, and what is
    older goes whoever needs it, and what was never finished with it.
    """
    gone = {one.backup for one in decisions if one.do == "delete"}
    stay = [one for one in listed if one.backup not in gone]
    manifests = [one.manifest for one in stay if one.manifest is not None]
    if gone_after is not None:
        return _decide_lapsed(repository, manifests, dataset=dataset, gone_after=gone_after, now=now)
    if len(manifests) < len(stay):
        return []
    names = needless_names(repository, manifests, dataset=dataset)
    objects = tuple(name for name in names if _is_over(repository.keep_until(name), now))
    why = f"no backup needs these {len(objects):,} objects"
    return [Decision(_BETWEEN, "delete", why, objects=objects)] if objects else []


def _is_locked(repository: Repository, names: Iterable[str], now: datetime) -> bool:
    """Whether one of them was locked before the dataset was erasable, and still is."""
    return any(kept is not None and now < kept for kept in map(repository.keep_until, names))


def _objects_of(repository: Repository, dataset: str, backup: str) -> Iterator[str]:
    yield from (kept.name for kept in repository.objects(backup_prefix(dataset, backup)))


def _is_over(kept_until: datetime | None, now: datetime) -> bool:
    return kept_until is not None and kept_until <= now


def _decide_lapsed(
    repository: Repository, manifests: Sequence[Manifest], *, dataset: str, gone_after: timedelta, now: datetime
) -> list[Decision]:
    names = lapsed_names(repository, manifests, dataset=dataset, before=now - gone_after)
    objects = tuple(name for name in names if not _is_locked(repository, [name], now))
    begun = unfinished_backups(repository, dataset=dataset)
    left = [
        backup
        for backup in begun
        if begun_at(backup) + gone_after <= now
        and not _is_locked(repository, _objects_of(repository, dataset, backup), now)
    ]
    why = f"the time of these {len(objects):,} objects is over"
    decisions = [Decision(_BETWEEN, "delete", why, objects=objects)] if objects else []
    return decisions + [Decision(one, "delete", "it was never finished, and its time is over") for one in sorted(left)]


def expired(repository: Repository, declared: Declared, *, now: datetime) -> list[Decision]:
    """What of an erasable dataset has to go. Costs what `list_backups` does."""
    listed, after = list_backups(repository, dataset=declared.dataset), declared.gone_after
    found = decide(listed, retention=None, now=now, gone_after=after)
    found += decide_following(repository, listed, found, dataset=declared.dataset, now=now, gone_after=after)
    return [one for one in found if one.do == "delete"]


def extensions(listed: Sequence[Listed], *, retention: timedelta | None, now: datetime) -> list[Decision]:
    """Of all decisions only those that keep the last good one longer. Pure."""
    return [one for one in decide(listed, retention=retention, now=now) if one.do == "extend"]


def _decide(one: Listed, *, last: Listed | None, retention: timedelta | None, now: datetime) -> Decision:
    if last is None:
        return Decision(one.backup, "keep", "no backup is good: nothing is removed")
    if one is last:
        if retention is not None and (one.keep_until is None or one.keep_until - now < retention / 2):
            return Decision(one.backup, "extend", "it is the last good one", whole_second(now + retention))
        return Decision(one.backup, "keep", "it is the last good one")
    if one.is_held:
        return Decision(one.backup, "keep", "it is held")
    if one.keep_until is None:
        return Decision(one.backup, "keep", "nobody said how long it is kept")
    if now < one.keep_until:
        return Decision(one.backup, "keep", f"it is kept until {one.keep_until:%Y-%m-%d %H:%M:%SZ}")
    return Decision(one.backup, "delete", f"it was kept until {one.keep_until:%Y-%m-%d %H:%M:%SZ}")


def _decide_erasable(one: Listed, day: datetime, now: datetime) -> Decision:
    """Nobody can hold it, and whether it is good or the last one does not matter."""
    if now < day:
        return Decision(one.backup, "keep", f"it is gone by {day:%Y-%m-%d %H:%M:%SZ}")
    had = f"it had to be gone by {day:%Y-%m-%d %H:%M:%SZ}"
    if one.keep_until is not None and now < one.keep_until:
        return Decision(one.backup, "keep", f"{had}, and is locked until {one.keep_until:%Y-%m-%d %H:%M:%SZ}")
    return Decision(one.backup, "delete", had)


def plan(decisions: Sequence[Decision]) -> list[Step]:
    """The steps of pruning, the extension first. Pure."""
    extended = [one for one in decisions if one.do == "extend"]
    deleted = [one for one in decisions if one.do == "delete"]
    return [
        *(Step(f"extend {one.backup}", f"keep {one.backup} until {one.until}: {one.why}") for one in extended),
        *(Step(f"delete {one.backup}", f"delete {one.backup}: {one.why}") for one in deleted),
    ]


def prune(
    repository: Repository,
    listed: Sequence[Listed],
    decisions: Sequence[Decision],
    *,
    dataset: str,
    record: Record,
) -> None:
    """Carry out the decisions. The repository's own locks have the last word: ForbiddenError."""
    backups = {one.backup: one for one in listed}

    def extend(one: Decision) -> None:
        manifest = backups[one.backup].manifest
        assert manifest is not None and one.until is not None, "a good one has a manifest"
        for part in manifest.parts():
            repository.extend(manifest.prefix + part.name, one.until)
        for name in following_names(repository, manifest):
            kept = repository.keep_until(name)
            if kept is None or kept < one.until:
                repository.extend(name, one.until)
        repository.extend(manifest.prefix + MANIFEST, one.until)

    doing = {
        **{f"extend {one.backup}": lambda one=one: extend(one) for one in decisions if one.do == "extend"},
        **{
            f"delete {one.backup}": lambda one=one: remove(repository, one, dataset=dataset)
            for one in decisions
            if one.do == "delete"
        },
    }
    carry_out(plan(decisions), doing, record=record)


def remove(repository: Repository, one: Decision, *, dataset: str) -> None:
    """Remove what a decision to delete is about. ForbiddenError: the repository still locks it."""
    if not one.objects:
        remove_backup(repository, backup_prefix(dataset, one.backup))
    for name in one.objects:
        repository.delete(name)
