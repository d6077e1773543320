"""The outer manifest: plain JSON that says what a backup is made of and how anybody restores it without this program.

A repository holds `DATASET/BACKUP/manifest.json`, `DATASET/BACKUP/data.00000` and on, `DATASET/BACKUP/contents.00000`
and on. The manifest is stored last: what has none is no backup. It holds no name and no byte of the data.
"""

from collections.abc import Iterator, Sequence
from datetime import datetime
from hashlib import sha256
from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta

from atp.errors import MalformedError
from atp.limits import BACKUP_MANIFEST_BYTES_MAX, BACKUP_PARTS_MAX

FORMAT: Final = "atp.backup/1"
MANIFEST = "manifest.json"
HOLD = "hold.json"
BACKUP_ID = r"^[0-9]{8}T[0-9]{6}Z-[0-9a-f]{12}$"
SEGMENT = r"^[0-9A-F]{24}$"

Kind = Literal["files", "sqlite", "postgresql", "trail"]
Aware = Annotated[datetime, Meta(tz=True)]
Digest = Annotated[str, Meta(pattern=r"^[0-9a-f]{64}$")]


class Part(msgspec.Struct, frozen=True):
    """One object of the repository, as it is stored there: encrypted."""

    name: Annotated[str, Meta(pattern=r"^(data|contents)\.[0-9]{5}$")]
    size_bytes: Annotated[int, Meta(ge=0)]
    sha256: Digest


class Cluster(msgspec.Struct, frozen=True, kw_only=True):
    """A PostgreSQL cluster. `begins_in` to `ends_in` is the write-ahead log that the backup holds; what follows it
    is stored segment by segment beside the backups of the dataset."""

    system: Annotated[str, Meta(pattern=r"^[0-9]{1,20}$", description="The cluster's identifier.")]
    major: Annotated[int, Meta(ge=13, le=99, description="Version of the server.")]
    begins_in: Annotated[str, Meta(pattern=SEGMENT)]
    ends_in: Annotated[str, Meta(pattern=SEGMENT)]
    segment_bytes: Annotated[int, Meta(ge=1 << 20, le=1 << 30)]


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """What a backup is made of. `consistent_at`: everything that was committed by then is in it."""

    format: Literal["atp.backup/1"]
    backup: Annotated[str, Meta(pattern=BACKUP_ID)]
    dataset: str
    kind: Kind
    begun_at: Aware
    ended_at: Aware
    consistent_at: Aware
    data: Annotated[tuple[Part, ...], Meta(min_length=1, max_length=BACKUP_PARTS_MAX)]
    contents: Annotated[tuple[Part, ...], Meta(min_length=1, max_length=BACKUP_PARTS_MAX)]
    recipients: tuple[str, ...]
    tools: dict[str, str]
    how_to_restore: str
    keep_until: Aware | None = None
    gone_by: Aware | msgspec.UnsetType = msgspec.UNSET  # of keys whose destruction erases data: nothing keeps it longer
    cluster: Cluster | None = None

    @property
    def prefix(self) -> str:
        """Where its objects are."""
        return backup_prefix(self.dataset, self.backup)

    @property
    def stored_bytes(self) -> int:
        """What its parts take in the repository."""
        return sum(part.size_bytes for part in self.parts())

    def parts(self) -> Iterator[Part]:
        """Every object but the manifest."""
        yield from self.contents
        yield from self.data


_RECOVER = """\
for file in wal/SYSTEM/*; do name=${file##*/};
  age --decrypt --identity KEY.txt $file | zstd --decompress > LOG/${name%%_*}; done
touch PLACE/recovery.signal; echo "restore_command = 'cp LOG/%f %p'" >> PLACE/postgresql.auto.conf
pg_ctl start -D PLACE"""


def backup_prefix(dataset: str, backup: str) -> str:
    """Where the objects of a backup are."""
    return f"{dataset}/{backup}/"


def begun_at(backup: str) -> datetime:
    """When the backup of this id was begun; MalformedError when it is no id."""
    try:
        return datetime.strptime(f"{backup[:15]}+0000", "%Y%m%dT%H%M%S%z")
    except ValueError:
        raise MalformedError(f"could not use backup {backup[:60]!r}: it is no id of a backup") from None


def how_to_restore(kind: Kind) -> str:
    """The commands that restore it in an empty directory PLACE with age, zstd and tar, beside its downloaded parts."""
    opened = "cat data.* | age --decrypt --identity KEY.txt | zstd --decompress"
    if kind == "sqlite":
        return f"{opened} > PLACE/database"
    tar = f"{opened} | tar --extract --preserve-permissions --numeric-owner --xattrs --xattrs-include='*' -C PLACE"
    return f"{tar}\n{_RECOVER}" if kind == "postgresql" else tar


def encode_manifest(manifest: Manifest) -> bytes:
    """The bytes that are stored, readable for people."""
    return msgspec.json.format(msgspec.json.encode(manifest), indent=1) + b"\n"


def parse_manifest(data: bytes, *, dataset: str, backup: str) -> Manifest:
    """The manifest of a backup. MalformedError when the bytes are none, or are that of another one."""
    what = f"could not read the manifest of backup {backup}"
    try:
        manifest = msgspec.json.decode(data, type=Manifest)
    except (msgspec.MsgspecError, RecursionError) as error:
        raise MalformedError(f"{what}: {error}", hint="use another backup, and find out who wrote there") from None
    if (manifest.dataset, manifest.backup) != (dataset, backup):
        raise MalformedError(f"{what}: it is that of {manifest.dataset[:70]}/{manifest.backup}")
    if len(data) > BACKUP_MANIFEST_BYTES_MAX or not _is_in_order(manifest.data) or not _is_in_order(manifest.contents):
        raise MalformedError(f"{what}: its parts are not in order")
    return manifest


def manifest_sha256(data: bytes) -> str:
    """What the operators' trail remembers of a manifest."""
    return sha256(data).hexdigest()


def part_name(stem: Literal["data", "contents"], number: int) -> str:
    """The name of a part; names sort as their numbers do."""
    return f"{stem}.{number:05}"


def _is_in_order(parts: Sequence[Part]) -> bool:
    return all(part.name.endswith(f".{number:05}") for number, part in enumerate(parts))
