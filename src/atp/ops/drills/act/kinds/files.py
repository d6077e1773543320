"""A directory: heartbeats are lines of `.atp-heartbeat`, its content is what the list says of each file."""

import os
import stat
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256
from pathlib import Path
from tempfile import mkstemp

from atp.durable import sync_directory
from atp.errors import InvalidError, MissingError
from atp.limits import HEARTBEAT_LINE_BYTES_MAX, HEARTBEATS_MAX
from atp.ops.backups.act.parts import unwatched
from atp.ops.backups.format.checking import check_tree, file_sha256
from atp.ops.backups.format.contents import ContentsReader
from atp.ops.drills.act.kinds.shape import Living, Row

_BEATS = ".atp-heartbeat"


@dataclass(frozen=True, slots=True)
class FilesProduction:
    """See Production. A look reads every byte."""

    source: Path
    addresses: Sequence[str] = ()

    def look(self) -> Living | None:
        """See Production: names, kinds, modes and bytes, and the inode of the directory."""
        return living(self.source, _tree(os.fsencode(self.source)))

    def beat(self, name: str, at: datetime) -> None:
        """See Production. A new file takes the place of the old one: a copy that is made meanwhile has the one or the
        other."""
        if not self.source.is_dir():
            raise MissingError(f"could not write a heartbeat: {self.source} does not exist", hint="check source.place")
        path = self.source / _BEATS
        kept = path.read_bytes().splitlines(keepends=True)[1 - HEARTBEATS_MAX :] if path.exists() else []
        handle, aside = mkstemp(dir=self.source, prefix=f"{_BEATS}.")
        try:
            with os.fdopen(handle, "wb") as file:
                file.writelines([*kept, f"{name} {at.isoformat()}\n".encode()])
                file.flush()
                os.fsync(handle)
            os.replace(aside, path)
        except BaseException:
            os.unlink(aside)
            raise
        sync_directory(self.source)


@dataclass(frozen=True, slots=True)
class FilesCopy:
    """See Copy."""

    place: Path

    def open(self) -> str:
        """See Copy."""
        return f"{len(os.listdir(self.place))} names at its top"

    def whole(self, contents: ContentsReader) -> str:
        """See Copy."""
        count = check_tree(self.place, contents.entries(), moved=unwatched)
        return f"{count:,} entries, every byte as it was backed up"

    def beats(self) -> Iterator[tuple[str, datetime]]:
        """See Copy."""
        path = self.place / _BEATS
        if not path.is_file() or path.is_symlink():
            return
        with path.open("rb") as file:
            for _ in range(HEARTBEATS_MAX + 1):
                if not (line := file.readline(HEARTBEAT_LINE_BYTES_MAX)):
                    return
                name, _, at = line.decode("ascii").strip().partition(" ")
                yield name, datetime.fromisoformat(at)

    def count(self, table: str, *, within: timedelta) -> int:
        """See Copy."""
        raise _not_asked("rows")

    def select(self, sql: str, *, rows_max: int, within: timedelta) -> Sequence[Row]:
        """See Copy."""
        raise _not_asked("sql")

    def verify(self) -> str:
        """See Copy."""
        raise _not_asked("verify")

    def close(self) -> None:
        """See Copy."""


def living(source: Path, lines: Iterable[bytes]) -> Living | None:
    """The digest over some lines, which are made of the bytes at a path, and which inode that is; None when it is not
    there, or cannot be read whole."""
    try:
        found = source.stat()
        digest = sha256()
        for line in lines:
            digest.update(line + b"\n")
    except OSError:
        return None
    return Living(digest.hexdigest(), f"{found.st_dev}:{found.st_ino}")


def _not_asked(what: str) -> InvalidError:
    return InvalidError(f"could not ask a directory for {what}", hint="checks: [{digests: true}]")


def _tree(root: bytes) -> Iterator[bytes]:
    """One line for each member below `root`, in order of the names."""
    waiting = [root]
    while waiting:
        folder = waiting.pop()
        for entry in sorted(os.scandir(folder), key=lambda entry: entry.name, reverse=True):
            found = entry.stat(follow_symlinks=False)
            yield b"%s %o %s" % (entry.path[len(root) :], found.st_mode, _bytes_of(entry, found))
            if entry.is_dir(follow_symlinks=False):
                waiting.append(entry.path)


def _bytes_of(entry: "os.DirEntry[bytes]", found: os.stat_result) -> bytes:
    if stat.S_ISREG(found.st_mode):
        return file_sha256(entry.path, moved=unwatched).encode()
    return os.readlink(entry.path) if stat.S_ISLNK(found.st_mode) else b""
