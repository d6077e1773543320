"""How long the write-ahead log is kept: as long as a backup needs it, and never shorter than its own day."""

from collections.abc import Iterable, Iterator
from datetime import datetime

from atp.ops.backups.act.kinds.postgresql.segments import Shipped, list_shipped, number_of, wal_prefix
from atp.ops.backups.format.manifest import Cluster, Manifest
from atp.ports.repository import Repository


def extend_log(repository: Repository, manifest: Manifest, until: datetime) -> None:
    """Keep all that follows a backup until then, too: without it the backup reaches less far. Histories count."""
    assert manifest.cluster is not None, "backups of this kind say what log they need"
    for one in list_shipped(repository, wal_prefix(manifest.dataset, manifest.cluster.system)):
        if one.is_history or not _is_before(one, manifest.cluster):
            kept = repository.keep_until(one.name)
            if kept is None or kept < until:
                repository.extend(one.name, until)


def superseded_log(repository: Repository, manifests: Iterable[Manifest], *, dataset: str, now: datetime) -> list[str]:
    """The names of segments that no backup of these needs, and whose day is over. Costs a request for each of them."""
    clusters = [manifest.cluster for manifest in manifests if manifest.cluster is not None]
    return [one.name for one in _needless(repository, dataset, clusters) if _is_over(repository, one, now)]


def _needless(repository: Repository, dataset: str, clusters: Iterable[Cluster]) -> Iterator[Shipped]:
    """Of each cluster what lies before its oldest backup; of one without a backup nothing: one may be under way."""
    oldest = dict[str, Cluster]()
    for cluster in clusters:
        known = oldest.get(cluster.system)
        if known is None or _number(cluster) < _number(known):
            oldest[cluster.system] = cluster
    for system, cluster in oldest.items():
        for one in list_shipped(repository, wal_prefix(dataset, system)):
            if not one.is_history and _is_before(one, cluster):
                yield one


def _is_before(one: Shipped, cluster: Cluster) -> bool:
    return number_of(one.segment, cluster.segment_bytes) < _number(cluster)


def _number(cluster: Cluster) -> int:
    return number_of(cluster.begins_in, cluster.segment_bytes)


def _is_over(repository: Repository, one: Shipped, now: datetime) -> bool:
    kept = repository.keep_until(one.name)
    return kept is not None and kept <= now
