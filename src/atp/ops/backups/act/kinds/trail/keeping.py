"""How long increments are kept: as long as a backup needs them, and never shorter than their own day."""

from collections.abc import Iterable
from datetime import datetime

from atp.errors import ForbiddenError
from atp.ops.backups.act.kinds.trail.increments import Increment, list_increments
from atp.ops.backups.format.manifest import Manifest
from atp.ports.repository import Repository


def extend_log(repository: Repository, manifest: Manifest, until: datetime) -> None:
    """Keep all that follows a backup until then, too: without it the backup reaches less far."""
    for one in list_increments(repository, manifest.dataset):
        if one.covers > manifest.consistent_at:
            name = one.name(manifest.dataset)
            kept = repository.keep_until(name)
            if kept is None or kept < until:
                repository.extend(name, until)


def superseded(
    repository: Repository, dataset: str, manifests: Iterable[Manifest], *, now: datetime
) -> list[Increment]:
    """The increments that no backup of these needs, and whose day is over: what the oldest holds itself. Without a
    backup none. Costs a request for each of them."""
    oldest = min((manifest.consistent_at for manifest in manifests), default=None)
    listed = list_increments(repository, dataset) if oldest else []
    return [one for one in listed if oldest and one.covers <= oldest and _is_over(repository, one, dataset, now)]


def remove_log(repository: Repository, dataset: str, increments: Iterable[Increment]) -> int:
    """Remove them; how many. One whose day is not over after all stays."""
    removed = 0
    for one in increments:
        try:
            repository.delete(one.name(dataset))
            removed += 1
        except ForbiddenError:
            continue
    return removed


def _is_over(repository: Repository, one: Increment, dataset: str, now: datetime) -> bool:
    kept = repository.keep_until(one.name(dataset))
    return kept is not None and kept <= now
