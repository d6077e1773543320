"""What the order of a copied data directory says of its logs: names, checkpoints, and how far each one reaches."""

import sqlite3
from collections.abc import Iterable
from contextlib import closing
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from urllib.parse import quote

from atp.durable import disk_move
from atp.errors import AtpError, MissingError, TamperedError, UnavailableError
from atp.limits import TILE_WIDTH
from atp.tenants.names import OPERATIONS, check_installation, check_tenant, generation_of
from atp.verify.trust import claimed_checkpoint

ORDER = "order.db"
INSTALLATION = "installation"
_INSTALLATION_CHARS_MAX = 1_000
_LOGS = """
SELECT tenant, origin, note, coalesce((SELECT max(first + count) FROM batch WHERE log = number), 0)
FROM log LEFT JOIN checkpoint ON checkpoint.log = log.number ORDER BY number"""

_STATE = (
    "SELECT number, tenant, origin, note FROM log LEFT JOIN checkpoint ON checkpoint.log = log.number ORDER BY number",
    "SELECT max(seq) FROM batch",
    "SELECT count(*), max(parked_at) FROM parked",
)
_OTHERS = (_LOGS.replace(" ORDER BY", f" WHERE tenant <> '{OPERATIONS}' ORDER BY"), _STATE[-1])
_BUSY_SECONDS = 30.0
_TRIM = """
DELETE FROM batch WHERE log = (SELECT number FROM log WHERE tenant = ?1) AND first <
    (SELECT max(first) FROM batch AS covering WHERE covering.log = batch.log AND covering.first <= ?2) RETURNING seq"""
_NOTE_TRIMMED = """
INSERT INTO meta VALUES ('trimmed_through', ?) ON CONFLICT(key) DO UPDATE SET value = max(value, excluded.value)"""


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


def state_of(order: Path) -> str:
    """What tells whether anything was committed to an order that is being served: the same text, nothing was.

    MissingError, UnavailableError when it cannot be read. Costs a row for each log.
    """
    return _digest(order, _STATE)


def others_of(order: Path) -> str:
    """The same of all logs but the operators'."""
    return _digest(order, _OTHERS)


def _digest(order: Path, statements: Iterable[str]) -> str:
    try:
        if not order.is_file():
            raise MissingError(f"could not follow {order.parent}: it has no {ORDER}", hint="check source.place")
        digest = sha256()
        with closing(sqlite3.connect(f"file:{quote(str(order))}?mode=ro", uri=True, timeout=_BUSY_SECONDS)) as found:
            for statement in statements:
                for row in found.execute(statement):
                    digest.update(repr(row).encode())
        return digest.hexdigest()
    except sqlite3.Error as error:
        raise UnavailableError(f"could not read {order}: {error}", hint="it is tried again") from None


def trim_order(order: Path, logs: Iterable[HeldLog]) -> None:
    """Take out of a copy of an order what its full bundles hold, as the server does when it comes to it; the file is
    as small as what is left. The newest batch of a log stays, and that ids have to be made again is noted."""
    try:
        with closing(sqlite3.connect(order, isolation_level=None)) as copy:
            copy.execute("PRAGMA trusted_schema = OFF")
            copy.execute("BEGIN")
            newest = max((_trim(copy, log) for log in logs), default=0)
            if newest:
                copy.execute(_NOTE_TRIMMED, (newest,))
            copy.execute("COMMIT")
            copy.execute("VACUUM")
    except sqlite3.Error as error:
        hint = disk_move(error, order, otherwise="repeat")
        raise UnavailableError(f"could not trim the copy of {ORDER}: {error}", hint=hint) from None


def _trim(copy: sqlite3.Connection, log: HeldLog) -> int:
    """The newest batch that was taken out, 0 for none."""
    bundled = log.published - log.published % TILE_WIDTH
    taken = copy.execute(_TRIM, (log.tenant, bundled)).fetchall()
    return max((seq for (seq,) in taken), default=0)


def _open(path: Path) -> sqlite3.Connection:
    """At rest: no file appears beside it. Whoever wrote it may have written views into it."""
    order = sqlite3.connect(f"file:{quote(str(path))}?mode=ro&immutable=1", uri=True)
    order.execute("PRAGMA trusted_schema = OFF")
    return order
