"""Which increments a backup needs, and which none does."""

from collections.abc import Iterable, Mapping
from datetime import datetime

from atp.ops.backups.act.kinds.trail.increments import list_increments
from atp.ops.backups.format.manifest import Manifest
from atp.ports.repository import Repository


def following_increments(repository: Repository, manifest: Manifest) -> Mapping[str, datetime]:
    """The names of all that follows a backup, and until when each reaches. Costs a listing."""
    listed = list_increments(repository, manifest.dataset)
    return {one.name(manifest.dataset): one.covers for one in listed if one.covers > manifest.consistent_at}


def needless_increments(repository: Repository, manifests: Iterable[Manifest], *, dataset: str) -> list[str]:
    """The names of what the oldest of these backups holds itself; without a backup none. Costs a listing."""
    oldest = min((manifest.consistent_at for manifest in manifests if manifest.kind == "trail"), default=None)
    listed = list_increments(repository, dataset) if oldest else []
    return [one.name(dataset) for one in listed if oldest and one.covers <= oldest]
