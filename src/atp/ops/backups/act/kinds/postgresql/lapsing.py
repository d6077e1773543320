"""Which segments of the write-ahead log have to be gone, where keys that are destroyed must not come back from it."""

from collections.abc import Iterator, Sequence
from datetime import datetime

from atp.ops.backups.act.kinds.postgresql.keeping import needless_segments
from atp.ops.backups.act.kinds.postgresql.segments import list_shipped, wal_prefix
from atp.ops.backups.format.manifest import Manifest
from atp.ports.repository import Repository


def lapsed_segments(
    repository: Repository, manifests: Sequence[Manifest], *, dataset: str, before: datetime
) -> Iterator[str]:
    """The names of what no backup of these needs, and of all that covers nothing later than `before`.

    What follows a backup that stays was stored after it was begun, whatever it covers, and stays with it; but not the
    parts of a segment, which may be older. Costs a listing, and one of each cluster.
    """
    needless = set(needless_segments(repository, manifests, dataset=dataset))
    followed = {manifest.cluster.system for manifest in manifests if manifest.cluster is not None}
    for system in _systems(repository, dataset):
        for one in list_shipped(repository, wal_prefix(dataset, system)):
            is_over = one.covers_until <= before and (one.is_partial or system not in followed)
            if is_over or one.name in needless:
                yield one.name


def _systems(repository: Repository, dataset: str) -> list[str]:
    prefix = f"{dataset}/wal/"
    return sorted({kept.name.removeprefix(prefix).partition("/")[0] for kept in repository.objects(prefix)})
