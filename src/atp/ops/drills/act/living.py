"""What the living data is before and after a drill: read, never opened for writing."""

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from atp.ops.backups.format.checking import file_sha256
from atp.ops.backups.format.manifest import Kind


@dataclass(frozen=True, slots=True)
class Living:
    """The digest over its names, kinds, modes and bytes, and which file or directory it is (device and inode)."""

    sha256: str
    identity: tuple[int, int]


def look(kind: Kind, source: Path) -> Living | None:
    """The living data as it is; None when it is not there or cannot be read whole. Reads every byte.

    Of a database its journal counts too, since that holds commits; what readers share beside it does not.
    """
    try:
        found = source.stat()
        lines = _tree(os.fsencode(source)) if kind == "files" else _database(source)
        digest = sha256()
        for line in lines:
            digest.update(line + b"\n")
    except OSError:
        return None
    return Living(digest.hexdigest(), (found.st_dev, found.st_ino))


def _database(source: Path) -> Iterator[bytes]:
    for path in (source, source.with_name(f"{source.name}-wal"), source.with_name(f"{source.name}-journal")):
        if path.exists() and (path == source or path.stat().st_size):
            yield path.name.encode() + b" " + file_sha256(path, moved=_nothing).encode()


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
        return file_sha256(entry.path, moved=_nothing).encode()
    return os.readlink(entry.path) if stat.S_ISLNK(found.st_mode) else b""


def _nothing(_: int) -> None:
    """Nobody watches."""
