"""Which kind of dataset is captured and received by whom."""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from pathlib import Path

from atp.errors import InvalidError
from atp.limits import KNOWN_NOTE_BYTES_MAX, REASON_CHARS_MAX
from atp.ops.backups.act.kinds.files import FilesArrival, FilesCapture
from atp.ops.backups.act.kinds.postgresql.arrival import PostgresqlArrival
from atp.ops.backups.act.kinds.postgresql.arrival import check_following as check_segments
from atp.ops.backups.act.kinds.postgresql.capture import PostgresqlCapture
from atp.ops.backups.act.kinds.postgresql.connection import Connection, parse_connection
from atp.ops.backups.act.kinds.postgresql.following import Following
from atp.ops.backups.act.kinds.postgresql.keeping import following_segments, needless_segments
from atp.ops.backups.act.kinds.postgresql.lapsing import lapsed_segments
from atp.ops.backups.act.kinds.shape import Arrival, Capture, Follower, Occasion
from atp.ops.backups.act.kinds.shipping import Shipping
from atp.ops.backups.act.kinds.sqlite import SqliteArrival, SqliteCapture
from atp.ops.backups.act.kinds.trail.arrival import TrailArrival, check_increments
from atp.ops.backups.act.kinds.trail.following import TrailFollowing
from atp.ops.backups.act.kinds.trail.keeping import following_increments, needless_increments
from atp.ops.backups.act.kinds.trail.packing import TrailCapture
from atp.ops.backups.act.parts import Moved
from atp.ops.backups.declare import Declared
from atp.ops.backups.evidence import UNASKED, Recorded
from atp.ops.backups.format.manifest import Manifest
from atp.ops.backups.format.seal import Identity
from atp.ops.estate.declare.values import Source
from atp.ports.clock import Clock
from atp.ports.repository import Repository

_COPY = "copy"


ReadAddress = Callable[[Source], str]


def capture_of(
    declared: Declared,
    *,
    folder: Path,
    clock: Clock,
    moved: Moved,
    read: ReadAddress | None = None,
    backup: str = "",
) -> Capture:
    """What makes the stream of a run; nothing is touched yet. Copies are made in `folder`, `read` gives the address
    that a reference means, `backup` is the id of what is made."""
    if declared.kind == "postgresql":
        return PostgresqlCapture(connection_of(declared.address, read), moved)
    if declared.kind == "sqlite":
        return SqliteCapture(declared.path, folder / _COPY, clock, moved)
    if declared.kind == "trail":
        return TrailCapture(declared.path, folder / _COPY, backup, clock, moved)
    return FilesCapture(declared.path, clock, moved)


def connection_of(address: Source | None, read: ReadAddress | None) -> Connection:
    """Where the server of a dataset is. InvalidError when that is no address."""
    assert address is not None and read is not None, "it has an address, by its kind"
    return parse_connection(address.place or read(address))


def following_names(repository: Repository, manifest: Manifest) -> Mapping[str, datetime]:
    """The objects that follow a backup, without which it reaches less far, and until when each says that it reaches.
    Costs a listing where there are such."""
    if manifest.kind == "postgresql":
        return following_segments(repository, manifest)
    return following_increments(repository, manifest) if manifest.kind == "trail" else {}


def needless_names(repository: Repository, manifests: Sequence[Manifest], *, dataset: str) -> Sequence[str]:
    """The objects that were shipped between backups and are needed by none of these. Costs a listing of each kind."""
    return [
        *needless_segments(repository, manifests, dataset=dataset),
        *needless_increments(repository, manifests, dataset=dataset),
    ]


def lapsed_names(
    repository: Repository, manifests: Sequence[Manifest], *, dataset: str, before: datetime
) -> Sequence[str]:
    """The objects between backups that have to be gone when these stay, and no copy may be older than `before`."""
    return list(lapsed_segments(repository, manifests, dataset=dataset, before=before))


def arrival_of(
    manifest: Manifest,
    *,
    repository: Repository,
    identities: Sequence[Identity],
    at: datetime | None = None,
    occasion: Occasion | None = None,
    recorded: Recorded = UNASKED,
) -> Arrival:
    """What makes a dataset of a backup again. `at`: as it was then, where the kind can do that. `occasion`: what a
    trail writes down. `recorded`: which of the objects that follow the backup may be used.

    TamperedError or MissingError when what has to follow the backup is not there. InvalidError when checkpoints are
    given and it is no trail, or are too long for an entry of its log, or the reason is.
    """
    if occasion is not None:
        _check_occasion(occasion, manifest)
    if manifest.kind == "postgresql":
        arrival = PostgresqlArrival(repository, manifest, identities, at, recorded)
        arrival.prepare()
        return arrival
    if manifest.kind == "trail":
        assert occasion is not None, "whoever restores a trail says so"
        trail = TrailArrival(repository, manifest, identities, occasion, at, recorded)
        trail.prepare()
        return trail
    reaches_to = manifest.consistent_at
    return SqliteArrival(reaches_to) if manifest.kind == "sqlite" else FilesArrival(reaches_to)


def check_following(
    repository: Repository, manifest: Manifest, identities: Sequence[Identity], recorded: Recorded = UNASKED
) -> int | None:
    """Read all that was shipped after a backup and may be used, with keys decrypted too; how many objects, None where
    nothing is. TamperedError or MissingError names the first that is not there, or not what was stored."""
    if manifest.kind == "postgresql":
        return check_segments(repository, manifest, identities, recorded)
    return check_increments(repository, manifest, identities, recorded) if manifest.kind == "trail" else None


def follower_of(declared: Declared, shipping: Shipping, *, read: ReadAddress) -> Follower:
    """What ships the changes of a dataset; nothing is touched yet. InvalidError when it is not declared to be
    followed."""
    if not declared.is_continuous:
        raise InvalidError(
            f"could not follow {declared.dataset!r}: it is not declared to be shipped continuously",
            hint=f"edit estate.yaml: datasets.{declared.dataset}.backup: {{continuous: true}}",
        )
    if declared.kind == "trail":
        return TrailFollowing(declared.path, shipping)
    return Following(connection_of(declared.address, read), shipping)


def _check_occasion(occasion: Occasion, manifest: Manifest) -> None:
    if occasion.known and manifest.kind != "trail":
        raise InvalidError(
            f"could not use the known checkpoints: {manifest.dataset!r} is of kind {manifest.kind}, and has no log",
            hint="leave --known out",
        )
    if (longest := max(map(len, occasion.known), default=0)) > KNOWN_NOTE_BYTES_MAX:
        raise InvalidError(
            f"could not use the known checkpoints: one has {longest:,} bytes, the limit is {KNOWN_NOTE_BYTES_MAX:,}",
            hint="a checkpoint is a text of a few lines",
        )
    if len(occasion.reason) > REASON_CHARS_MAX:
        raise InvalidError(
            f"could not use the reason: it has {len(occasion.reason):,} characters, the limit is {REASON_CHARS_MAX:,}"
        )
