"""What the estate file declares of one dataset's backups, as far as this act can do it."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from atp.errors import InvalidError, MissingError
from atp.ops.backups.format.manifest import Kind
from atp.ops.backups.format.seal import parse_recipients
from atp.ops.estate.declare.values import DatasetKind, Estate, Source

KINDS: Mapping[DatasetKind, Kind] = {
    "files": "files",
    "configuration": "files",
    "sqlite": "sqlite",
    "postgresql": "postgresql",
    "trail": "trail",
}


@dataclass(frozen=True, slots=True)
class Declared:
    """One dataset: where it is, whom its copies are encrypted to, where they go first and then, how long each is kept.

    `source` is its path, None when it is reached by an `address`. `retention` None: nobody said so; copies are neither
    locked nor removed. `is_continuous`: what changes between copies is shipped too. `is_erasable`: it holds keys whose
    destruction erases data; a copy is gone after the retention, and never locked. `every`: from one copy to the next.
    """

    dataset: str
    kind: Kind
    source: Path | None
    repository: str
    copies_in: tuple[str, ...]
    recipients: tuple[str, ...]
    retention: timedelta | None
    address: Source | None = None
    is_continuous: bool = False
    is_erasable: bool = False
    every: timedelta = timedelta()

    @property
    def locked_for(self) -> timedelta | None:
        """How long each copy is locked; None: it is not."""
        return None if self.is_erasable else self.retention

    @property
    def gone_after(self) -> timedelta | None:
        """After how long each copy has to be gone, the last one too; None: it need not."""
        return self.retention if self.is_erasable else None

    @property
    def path(self) -> Path:
        """The path of what has one."""
        assert self.source is not None, "it is a path, by its kind"
        return self.source

    @property
    def source_words(self) -> str:
        """Where it is, without a secret."""
        if self.address is None:
            return str(self.source)
        return self.address.place or f"named by {self.address.env or self.address.file or 'a command'}"


def declared_backup(estate: Estate, dataset: str) -> Declared:
    """MissingError when the file has no such dataset; InvalidError when it declares nothing that can be done, or keys
    that are none. Pure.
    """
    found = estate.datasets.get(dataset)
    if found is None:
        names = ", ".join(estate.datasets) or "none"
        raise MissingError(f"could not back up {dataset[:80]!r}: the estate file has no such dataset", hint=names)
    what, edit = f"could not back up {dataset!r}", f"edit estate.yaml: datasets.{dataset}"
    if found.backup is None:
        raise InvalidError(f"{what}: it declares no backup", hint=f"{edit}.backup")
    is_path = KINDS[found.kind] != "postgresql"
    if found.source.place is None and is_path:
        raise InvalidError(f"{what}: its source is no path", hint=f"{edit}.source.place")
    parse_recipients(found.backup.recipients)
    return Declared(
        dataset=dataset,
        kind=KINDS[found.kind],
        source=Path(found.source.place) if is_path and found.source.place else None,
        repository=found.backup.repository,
        copies_in=found.backup.copies_in,
        recipients=found.backup.recipients,
        retention=found.retention,
        address=None if is_path else found.source,
        is_continuous=found.backup.continuous,
        is_erasable=found.erasable,
        every=found.backup.schedule,
    )
