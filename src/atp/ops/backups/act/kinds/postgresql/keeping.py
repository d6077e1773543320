"""Which segments of the write-ahead log a backup needs, and which none does."""

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime

from atp.ops.backups.act.kinds.postgresql.segments import Shipped, list_shipped, number_of, wal_prefix
from atp.ops.backups.format.manifest import Cluster, Manifest
from atp.ports.repository import Repository


def following_segments(repository: Repository, manifest: Manifest) -> Mapping[str, datetime]:
    """The names of all that follows a backup, and until when each reaches; histories of later timelines count, the
    others are in the backup. Costs a listing."""
    assert manifest.cluster is not None, "backups of this kind say what log they need"
    listed = list_shipped(repository, wal_prefix(manifest.dataset, manifest.cluster.system))
    return {one.name: one.covers_until for one in listed if follows(one, manifest.cluster)}


def follows(one: Shipped, cluster: Cluster) -> bool:
    """Whether a backup of this cluster can need it."""
    return one.segment[:8] > cluster.ends_in[:8] if one.is_history else not _is_before(one, cluster)


def needless_segments(repository: Repository, manifests: Iterable[Manifest], *, dataset: str) -> list[str]:
    """The names of what no backup of these needs. Costs a listing of each cluster."""
    clusters = [manifest.cluster for manifest in manifests if manifest.cluster is not None]
    return [one.name for one in _needless(repository, dataset, clusters)]


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
