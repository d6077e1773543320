"""A SQLite database: copied by SQLite's backup interface, checked before it is stored and after it came back."""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from pathlib import Path

from atp.errors import TamperedError
from atp.limits import REPOSITORY_CHUNK_BYTES
from atp.ops.backups.act.kinds.shape import Doing, Note
from atp.ops.backups.act.parts import Moved, unwatched
from atp.ops.backups.act.step import Data, Step
from atp.ops.backups.evidence import Made
from atp.ops.backups.format.checking import file_sha256
from atp.ops.backups.format.contents import ContentsReader, Database, Entry, Names, path_text
from atp.ops.backups.format.database import Copied, check_database, copy_database
from atp.ops.backups.format.manifest import Cluster
from atp.ops.backups.format.stream import Plain, chunks_of
from atp.ports.clock import Clock

_SPECIAL = 0o6000


@dataclass(slots=True)
class SqliteCapture:
    """See Capture. `copy` is where the copy is made."""

    source: Path
    copy: Path
    clock: Clock
    moved: Moved
    names: Names | None = None
    cluster: Cluster | None = None
    _copied: Copied | None = None
    _began_at: datetime | None = None

    @property
    def steps(self) -> Sequence[Step]:
        """See Capture."""
        return [Step("copy", f"copy {self.source} with SQLite's backup interface, and check the copy")]

    @property
    def doing(self) -> Doing:
        """See Capture."""
        return {"copy": self._copy}

    def stream(self, made: Made, note: Note) -> Iterator[bytes]:
        """See Capture."""
        assert self._copied is not None, "it was copied before"
        digest = sha256()
        for chunk in chunks_of(self.copy):
            digest.update(chunk)
            self.moved(len(chunk))
            yield chunk
        note(self._entry(self._copied.size_bytes, digest.hexdigest()))
        made.entries, made.total_bytes = 1, self._copied.size_bytes

    @property
    def consistent_at(self) -> datetime:
        """See Capture."""
        assert self._began_at is not None, "it was copied before"
        return self._began_at

    @property
    def database(self) -> Database | None:
        """See Capture."""
        return self._copied.database if self._copied else None

    def _copy(self) -> Data:
        self._copied = copy_database(self.source, self.copy, began=self._fix_moment, moved=self.moved)
        return {"size_bytes": self._copied.size_bytes, "tables": len(self._copied.database.tables)}

    def _fix_moment(self) -> None:
        self._began_at = self.clock.now()

    def _entry(self, size_bytes: int, digest: str) -> Entry:
        found = self.source.stat()
        return Entry(
            path=path_text(os.fsencode(self.source.name)),
            kind="file",
            mode=found.st_mode & 0o7777,
            mtime_ns=found.st_mtime_ns,
            uid=found.st_uid,
            gid=found.st_gid,
            size_bytes=size_bytes,
            sha256=digest,
        )


@dataclass(slots=True)
class SqliteArrival:
    """See Arrival."""

    reaches_to: datetime
    steps: Sequence[Step] = ()
    told: Sequence[str] = ()

    def receive(self, plain: Plain, data: Path) -> int:
        """See Arrival."""
        with data.open("xb") as file:
            os.fchmod(file.fileno(), 0o600)
            while chunk := plain.read(REPOSITORY_CHUNK_BYTES):
                file.write(chunk)
        return 1

    def check(self, data: Path, contents: ContentsReader) -> int:
        """See Arrival."""
        entries = list(contents.entries())
        if [entry.sha256 for entry in entries] != [file_sha256(data, moved=unwatched)]:
            raise TamperedError("could not accept the restored database: its bytes are not those that were backed up")
        if contents.head.database is not None:
            check_database(data, contents.head.database)
        _own(data, entries[0])
        return 1

    def doing(self, data: Path) -> Doing:
        """See Arrival."""
        return {}


def _own(path: Path, entry: Entry) -> None:
    """Owner and mode of the database that was backed up; owners are for root to set."""
    is_root = os.geteuid() == 0
    if is_root:
        os.chown(path, entry.uid, entry.gid)
    path.chmod(entry.mode if is_root else entry.mode & ~_SPECIAL)
