"""What the order of a copied data directory says of its logs: names, checkpoints, and how far each one reaches."""

import sqlite3
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from atp.errors import AtpError, MissingError, TamperedError
from atp.tenants.names import check_installation, check_tenant, generation_of
from atp.verify.trust import claimed_checkpoint

ORDER = "order.db"
INSTALLATION = "installation"
_INSTALLATION_CHARS_MAX = 1_000
_LOGS = """
SELECT tenant, origin, note, coalesce((SELECT max(first + count) FROM batch WHERE log = number), 0)
FROM log LEFT JOIN checkpoint ON checkpoint.log = log.number ORDER BY number"""


@dataclass(frozen=True, slots=True)
class HeldLog:
    """One log: its newest checkpoint, None before the first one, and how many durable entries it has."""

    tenant: str
    origin: str
    note: bytes | None
    size: int

    @property
    def published(self) -> int:
        """How many entries its checkpoint covers."""
        return claimed_checkpoint(self.note).size if self.note is not None else 0


@dataclass(frozen=True, slots=True)
class Held:
    """All logs of a directory, and what their origins begin with."""

    installation: str
    logs: tuple[HeldLog, ...]

    @property
    def generation(self) -> int:
        """Of which generation the logs are."""
        return max((self.generation_of(log.origin, log.tenant) for log in self.logs), default=1) or 1

    def generation_of(self, origin: str, tenant: str) -> int:
        """Which generation of a tenant's log has this origin; 0 when none has."""
        return generation_of(origin, tenant=tenant, installation=self.installation)


def read_held(directory: Path) -> Held:
    """The logs of a copy that nobody writes to. TamperedError when its order or its name cannot be read."""
    try:
        with (directory / INSTALLATION).open() as file:
            installation = file.read(_INSTALLATION_CHARS_MAX).strip()
        with closing(_open(directory / ORDER)) as order:
            logs = tuple(HeldLog(*row) for row in order.execute(_LOGS))
            check_installation(installation)
            for log in logs:
                check_tenant(log.tenant)  # it becomes part of a path
                assert log.published >= 0
    except FileNotFoundError:
        raise MissingError(f"could not use {directory} as a trail: it has no {INSTALLATION} file") from None
    except (sqlite3.Error, OSError, UnicodeDecodeError, AtpError) as error:
        raise TamperedError(f"could not use {directory} as a trail: {error}") from None
    return Held(installation, logs)


def _open(path: Path) -> sqlite3.Connection:
    """At rest: no file appears beside it. Whoever wrote it may have written views into it."""
    order = sqlite3.connect(f"file:{quote(str(path))}?mode=ro&immutable=1", uri=True)
    order.execute("PRAGMA trusted_schema = OFF")
    return order
