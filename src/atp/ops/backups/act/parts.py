"""The stream of a backup as objects of a repository, cut at a size, and back with every digest checked."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from datetime import datetime
from hashlib import sha256
from types import TracebackType
from typing import Literal, Protocol

from atp.errors import MissingError, TamperedError, TooLargeError
from atp.limits import BACKUP_MANIFEST_BYTES_MAX, BACKUP_PART_BYTES_MAX, BACKUP_PARTS_MAX
from atp.ops.backups.format.manifest import MANIFEST, Manifest, Part, backup_prefix, parse_manifest, part_name
from atp.ports.repository import Repository, Sink

Moved = Callable[[int], object]


def unwatched(_: object) -> None:
    """Takes what is moved, or told, when nobody watches."""


class Source(Protocol):
    """What parts are read from: a Repository, or what stands before one."""

    def read(self, name: str) -> Iterator[bytes]:
        """See Repository."""


class Parts:
    """The sink of one stream; `stored` are its parts when the block has ended well.

    Parts are not kept yet: what is never finished can be removed.
    """

    def __init__(
        self,
        repository: Repository,
        prefix: str,
        stem: Literal["data", "contents"],
        *,
        part_bytes_max: int = BACKUP_PART_BYTES_MAX,
    ) -> None:
        self.stored: list[Part] = []
        self._repository = repository
        self._prefix = prefix
        self._stem = stem
        self._part_bytes_max = part_bytes_max
        self._open = ExitStack()
        self._sink: Sink | None = None
        self._size = 0
        self._digest = sha256()

    def write(self, data: bytes, /) -> None:
        """See Sink."""
        while data:
            sink = self._sink or self._begin()
            room = self._part_bytes_max - self._size
            taken, data = data[:room], data[room:]  # copies only what is cut
            sink.write(taken)
            self._digest.update(taken)
            self._size += len(taken)
            if self._size == self._part_bytes_max:
                self._end()

    def __enter__(self) -> "Parts":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is not None:
            self._open.__exit__(kind, error, trace)
        elif self._sink is not None:
            self._end()

    def _begin(self) -> Sink:
        if len(self.stored) == BACKUP_PARTS_MAX:
            raise TooLargeError(f"could not store the backup: it has more than {BACKUP_PARTS_MAX:,} parts")
        name = part_name(self._stem, len(self.stored))
        self._sink = self._open.enter_context(self._repository.store(self._prefix + name))
        self._size, self._digest = 0, sha256()
        return self._sink

    def _end(self) -> None:
        self._open.close()
        self.stored.append(Part(part_name(self._stem, len(self.stored)), self._size, self._digest.hexdigest()))
        self._sink = None


def read_parts(repository: Source, manifest: Manifest, parts: Sequence[Part], *, moved: Moved) -> Iterator[bytes]:
    """The bytes of some parts in order. MissingError or TamperedError names the part that is not as the manifest says.

    What was yielded of a part before that is not to be believed.
    """
    for part in parts:
        what = f"could not read backup {manifest.backup}"
        digest, size = sha256(), 0
        try:
            for chunk in repository.read(manifest.prefix + part.name):
                digest.update(chunk)
                size += len(chunk)
                moved(len(chunk))
                yield chunk
        except MissingError:
            raise MissingError(f"{what}: its part {part.name} is missing", hint="use another backup") from None
        if size != part.size_bytes:
            raise TamperedError(
                f"{what}: its part {part.name} has {size:,} bytes instead of {part.size_bytes:,}",
                hint="use another backup",
            )
        if digest.hexdigest() != part.sha256:
            raise TamperedError(
                f"{what}: the bytes of its part {part.name} are not those that were stored", hint="use another backup"
            )


def check_parts(repository: Source, manifest: Manifest, parts: Sequence[Part], *, moved: Moved) -> None:
    """Read parts for their errors alone."""
    for _ in read_parts(repository, manifest, parts, moved=moved):
        pass


def read_manifest(repository: Repository, *, dataset: str, backup: str) -> tuple[Manifest, bytes]:
    """The manifest of a backup, and its bytes. MissingError when there is no such backup."""
    data = bytearray()
    try:
        for chunk in repository.read(backup_prefix(dataset, backup) + MANIFEST):
            data += chunk
            if len(data) > BACKUP_MANIFEST_BYTES_MAX:
                raise TamperedError(f"could not read the manifest of backup {backup}: it is too large to be one")
    except MissingError:
        raise MissingError(
            f"could not find backup {backup} of {dataset}: the repository has no manifest of it", hint="atp backup list"
        ) from None
    return parse_manifest(bytes(data), dataset=dataset, backup=backup), bytes(data)


def store_manifest(repository: Repository, manifest: Manifest, data: bytes, *, keep_until: datetime | None) -> None:
    """From now on it is a backup."""
    with repository.store(manifest.prefix + MANIFEST, keep_until=keep_until) as sink:
        sink.write(data)


def remove_backup(repository: Repository, prefix: str) -> None:
    """Remove a backup, or what is left of one; its manifest goes first. ForbiddenError when its day is not over."""
    for name in [*repository.unfinished(prefix)]:
        repository.forget(name)
    names = sorted((kept.name for kept in repository.objects(prefix)), key=lambda name: not name.endswith(MANIFEST))
    for name in names:
        repository.delete(name)
