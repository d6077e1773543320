"""How long increments are kept: as long as a backup needs them, and never shorter than their own day."""

from collections.abc import Iterable
from datetime import datetime

from atp.ops.backups.act.kinds.trail.increments import Increment, list_increments
from atp.ops.backups.format.manifest import Manifest
from atp.ports.repository import Repository


def extend_increments(repository: Repository, manifest: Manifest, until: datetime) -> None:
    """Keep all that follows a backup until then, too: without it the backup reaches less far."""
    for one in list_increments(repository, manifest.dataset):
        if one.covers > manifest.consistent_at:
            name = one.name(manifest.dataset)
            kept = repository.keep_until(name)
            if kept is None or kept < until:
                repository.extend(name, until)


def superseded_increments(
    repository: Repository, manifests: Iterable[Manifest], *, dataset: str, now: datetime
) -> list[str]:
    """The names of increments that no backup of these needs, and whose day is over: what the oldest holds itself.
    Without a backup none. Costs a request for each of them."""
    oldest = min((manifest.consistent_at for manifest in manifests if manifest.kind == "trail"), default=None)
    listed = list_increments(repository, dataset) if oldest else []
    over = [one for one in listed if oldest and one.covers <= oldest and _is_over(repository, one, dataset, now)]
    return [one.name(dataset) for one in over]


def _is_over(repository: Repository, one: Increment, dataset: str, now: datetime) -> bool:
    kept = repository.keep_until(one.name(dataset))
    return kept is not None and kept <= now
