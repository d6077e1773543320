"""Holding a backup: as long as the hold stands beside it, pruning leaves it, however old it is."""

from datetime import datetime

import msgspec

from atp.errors import ConflictError, MissingError
from atp.ops.backups.format.manifest import HOLD, backup_prefix
from atp.ports.repository import Repository


class Hold(msgspec.Struct, frozen=True):
    """Who holds it, since when, and why."""

    by: str
    at: datetime
    reason: str


def hold(repository: Repository, hold: Hold, *, dataset: str, backup: str) -> None:
    """ConflictError when it is held already."""
    try:
        with repository.store(backup_prefix(dataset, backup) + HOLD) as sink:
            sink.write(msgspec.json.encode(hold))
    except ConflictError:
        raise ConflictError(f"could not hold backup {backup}: it is held already", hint="atp backup list") from None


def release(repository: Repository, *, dataset: str, backup: str) -> None:
    """MissingError when nobody holds it."""
    name = backup_prefix(dataset, backup) + HOLD
    if not any(kept.name == name for kept in repository.objects(name)):
        raise MissingError(f"could not release backup {backup}: nobody holds it")
    repository.delete(name)
