"""What was restored, held against the inner manifest: by what lies on the disk, not by what was meant to."""

import os
import stat
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from hashlib import sha256
from itertools import islice
from pathlib import Path

from atp.errors import TamperedError
from atp.limits import REPOSITORY_CHUNK_BYTES
from atp.ops.backups.format.contents import Entry, path_bytes, path_text
from atp.ops.backups.format.jobs import Jobs

_FORMATS = {"file": stat.S_IFREG, "directory": stat.S_IFDIR, "symlink": stat.S_IFLNK, "fifo": stat.S_IFIFO}
_SPECIAL = 0o6000
_ENTRIES = 16  # that one thread looks at before it asks for more


def check_tree(root: Path, entries: Iterable[Entry], *, moved: Callable[[int], object]) -> int:
    """How many entries are on the disk exactly as listed: kind, bytes, mode, times, links, owners (of root's restores).

    TamperedError names one that is not. Reads every byte again, with a few threads.
    """
    base, is_root, count = os.fsencode(root), os.geteuid() == 0, 0

    def check(some: Sequence[Entry]) -> None:
        for entry in some:
            if fault := _fault(base, entry, is_root=is_root, moved=moved):
                raise TamperedError(f"could not accept the restored {entry.path!r}: {fault}")

    with Jobs() as jobs:
        left = iter(entries)
        while some := tuple(islice(left, _ENTRIES)):
            count += len(some)
            jobs.do(partial(check, some))
        jobs.wait()
    return count


def file_sha256(path: Path | bytes, *, moved: Callable[[int], object]) -> str:
    """The digest of a file's bytes, as many as there are when it is opened."""
    digest, file = sha256(), os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        left = os.fstat(file).st_size
        while left and (chunk := os.read(file, min(left, REPOSITORY_CHUNK_BYTES))):
            digest.update(chunk)
            moved(len(chunk))
            left -= len(chunk)
    finally:
        os.close(file)
    return digest.hexdigest()


def _fault(base: bytes, entry: Entry, *, is_root: bool, moved: Callable[[int], object]) -> str:
    full = os.path.join(base, path_bytes(entry.path))
    try:
        found = os.lstat(full)
    except FileNotFoundError:
        return "it is not there"
    if entry.kind == "hardlink":
        is_same = os.path.samefile(full, os.path.join(base, path_bytes(entry.target)))
        return "" if is_same else "it is not the file that it was linked to"
    if stat.S_IFMT(found.st_mode) != _FORMATS[entry.kind]:
        return f"it is no {entry.kind}"
    if entry.kind == "symlink" and path_text(os.readlink(full)) != entry.target:
        return "it leads elsewhere"
    if entry.kind == "file":
        if found.st_size != entry.size_bytes:
            return f"it has {found.st_size:,} bytes instead of {entry.size_bytes:,}"
        if file_sha256(full, moved=moved) != entry.sha256:
            return "its bytes are not those that were backed up"
    return _attribute_fault(full, found, entry, is_root=is_root)


def _attribute_fault(full: bytes, found: os.stat_result, entry: Entry, *, is_root: bool) -> str:
    mode = entry.mode if is_root else entry.mode & ~_SPECIAL
    if entry.kind != "symlink" and stat.S_IMODE(found.st_mode) != mode:
        return f"its mode is {stat.S_IMODE(found.st_mode):o} instead of {mode:o}"
    if found.st_mtime_ns != entry.mtime_ns:
        return "its time is another one"
    if is_root and (found.st_uid, found.st_gid) != (entry.uid, entry.gid):
        return "its owner is another one"
    for name, value in entry.xattrs.items():
        if path_text(os.getxattr(full, path_bytes(name))) != value:
            return f"its attribute {name} is another one"
    return ""
