"""What a follower knows of what it shipped to one repository: a small file beside it, written after each increment.

The repository cannot be asked, since what lies there is sealed. Without the file a new series begins, whose first
increment holds every object; a file that is older than the repository ships some objects once more.
"""

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta

from atp.durable import disk_move, replace_file
from atp.errors import UnavailableError
from atp.limits import FOLLOWED_FILE_BYTES_MAX
from atp.ops.backups.act.kinds.trail.logs import Held

FORMAT: Final = "atp.followed/1"


class ShippedLog(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A log: its objects up to this entry are in the repository."""

    origin: str
    published: Annotated[int, Meta(ge=0)]


class Shipped(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The newest increment of a series, and what the series holds with it. `state` tells whether anything is new."""

    format: Literal["atp.followed/1"] = FORMAT
    series: str
    number: int
    covers: Annotated[datetime, Meta(tz=True)]
    state: str
    logs: dict[str, ShippedLog]

    @property
    def published(self) -> Mapping[str, int]:
        """Of each log, up to which entry the repository has its objects."""
        return {tenant: log.published for tenant, log in self.logs.items()}

    def is_before(self, held: Held) -> bool:
        """Whether these logs go on from what was shipped: none is gone, has another origin, or is shorter."""
        found = {log.tenant: log for log in held.logs}
        return all(
            tenant in found and found[tenant].origin == log.origin and found[tenant].published >= log.published
            for tenant, log in self.logs.items()
        )


def logs_of(held: Held) -> dict[str, ShippedLog]:
    """What a series holds when it holds these."""
    return {log.tenant: ShippedLog(log.origin, log.published) for log in held.logs}


def read_shipped(path: Path) -> Shipped | None:
    """What was written; None when there is nothing, or nothing that can be used."""
    try:
        with path.open("rb") as file:
            return msgspec.json.decode(file.read(FOLLOWED_FILE_BYTES_MAX), type=Shipped)
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None


def write_shipped(path: Path, shipped: Shipped) -> None:
    """Durable when it returns; a death leaves the old one. UnavailableError when the disk refuses."""
    try:
        replace_file(path, msgspec.json.encode(shipped))
    except OSError as error:
        hint = disk_move(error, path, otherwise="check its owner and its mode")
        raise UnavailableError(f"could not write {path}: {error.strerror}", hint=hint) from None
