"""A directory and all that is below it -> a tar archive, a chunk at a time, and the entry of each member."""

import os
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path

from atp.errors import MissingError, UnavailableError
from atp.limits import REPOSITORY_CHUNK_BYTES
from atp.ops.backups.format.archive import END, header, padding
from atp.ops.backups.format.contents import Entry, EntryKind, path_text

_XATTRS = ("user.", "security.capability", "system.posix_acl_access", "system.posix_acl_default")
_GATHERED_BYTES = 1 << 18
_KINDS: dict[int, EntryKind] = {stat.S_IFDIR: "directory", stat.S_IFLNK: "symlink", stat.S_IFIFO: "fifo"}


@dataclass(slots=True)
class Packed:
    """What packing found besides: how much went in, and sentences about what did not. `has_links` False: no two names
    of the tree are one file, so that none needs to be remembered."""

    entries: int = 0
    total_bytes: int = 0
    warnings: list[str] = field(default_factory=list)
    inodes: dict[tuple[int, int], bytes] = field(default_factory=dict)
    has_links: bool = True


def pack(root: Path, *, packed: Packed, note: Callable[[Entry], object]) -> Iterator[bytes]:
    """The archive of everything at and below `root`, names sorted, in chunks; `note` gets each entry after its data.

    It is no snapshot: files that change while they are read are marked torn, files that vanish are warned of, as are
    sockets and devices, which are left out. UnavailableError for whatever is there and cannot be read. Memory: the
    names of one directory at each depth, and of each file with several links.
    """
    base = os.fsencode(root)
    if not os.path.isdir(base):
        raise MissingError(
            f"could not back up {root}: it is no directory", hint="check source.place in the estate file"
        )
    yield from _gathered(_pieces(base, packed, note))


def _pieces(base: bytes, packed: Packed, note: Callable[[Entry], object]) -> Iterator[bytes]:
    for path in _walk(base, packed):
        yield from _pack_one(base, path, packed, note)
    yield END


def _gathered(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """Small pieces together: what comes after costs by the chunk. Large ones are not copied for that."""
    gathered, size = list[bytes](), 0
    for piece in pieces:
        is_large = len(piece) >= _GATHERED_BYTES
        if not is_large:
            gathered.append(piece)
            size += len(piece)
        if is_large or size >= _GATHERED_BYTES:
            yield b"".join(gathered)
            gathered, size = [], 0
        if is_large:
            yield piece
    yield b"".join(gathered)


def _walk(base: bytes, packed: Packed) -> Iterator[bytes]:
    """Paths below `base`, itself first, each directory before what is in it."""
    yield b"."
    stack = [iter(_names(base, b"", packed))]
    while stack:
        path, is_directory = next(stack[-1], (b"", False))
        if not path:
            stack.pop()
            continue
        yield path
        if is_directory:
            stack.append(iter(_names(base, path, packed)))


def _names(base: bytes, path: bytes, packed: Packed) -> list[tuple[bytes, bool]]:
    """Each path in a directory, and whether it is one itself."""
    full = os.path.join(base, path)
    try:
        with os.scandir(full) as found:
            return sorted((os.path.join(path, one.name), one.is_dir(follow_symlinks=False)) for one in found)
    except FileNotFoundError:
        packed.warnings.append(f"{_show(path)} vanished while it was read")
        return []
    except OSError as error:
        raise _unreadable(full, error) from None


def _pack_one(base: bytes, path: bytes, packed: Packed, note: Callable[[Entry], object]) -> Iterator[bytes]:
    full = os.path.join(base, path)
    try:
        found = os.lstat(full)
        format_of = stat.S_IFMT(found.st_mode)
        if format_of == stat.S_IFREG:
            yield from _pack_file(full, path, found, packed, note)
        elif format_of in _KINDS:
            target = os.readlink(full) if format_of == stat.S_IFLNK else b""
            entry = _entry(path, found, _KINDS[format_of], target=target)
            xattrs = _xattrs(full) if format_of == stat.S_IFDIR else {}
            yield from _noted(entry, xattrs, packed, note)
        else:
            packed.warnings.append(f"{_show(path)} is a socket or a device, and was left out")
    except FileNotFoundError:
        packed.warnings.append(f"{_show(path)} vanished while it was read")
    except OSError as error:
        raise _unreadable(full, error) from None


def _pack_file(
    full: bytes, path: bytes, found: os.stat_result, packed: Packed, note: Callable[[Entry], object]
) -> Iterator[bytes]:
    first = packed.inodes.get((found.st_dev, found.st_ino)) if found.st_nlink > 1 else None
    if first is not None:
        yield from _noted(_entry(path, found, "hardlink", target=first), {}, packed, note)
        return
    file = os.open(full, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    try:
        before = os.fstat(file)
        if not stat.S_ISREG(before.st_mode):
            packed.warnings.append(f"{_show(path)} became something else while it was read, and was left out")
            return
        xattrs = _xattrs(file)
        entry = _entry(path, before, "file", size_bytes=before.st_size)
        yield header(entry, xattrs)
        digest, left = sha256(), before.st_size
        while left:
            chunk = os.read(file, min(left, REPOSITORY_CHUNK_BYTES))
            if not chunk:
                chunk = bytes(min(left, REPOSITORY_CHUNK_BYTES))  # it was cut: the archive promised its size
            digest.update(chunk)
            left -= len(chunk)
            yield chunk
        yield padding(before.st_size)
        is_torn = _state(os.fstat(file)) != _state(before)
    finally:
        os.close(file)
    if is_torn:
        packed.warnings.append(f"{_show(path)} changed while it was read")
    if before.st_nlink > 1 and packed.has_links:
        packed.inodes[before.st_dev, before.st_ino] = path
    _count(entry, packed)
    note(_described(entry, xattrs, sha256=digest.hexdigest(), is_torn=is_torn))


def _noted(entry: Entry, xattrs: dict[str, bytes], packed: Packed, note: Callable[[Entry], object]) -> Iterator[bytes]:
    yield header(entry, xattrs)
    _count(entry, packed)
    note(_described(entry, xattrs))


def _count(entry: Entry, packed: Packed) -> None:
    packed.entries += 1
    packed.total_bytes += entry.size_bytes


def _entry(path: bytes, found: os.stat_result, kind: EntryKind, *, size_bytes: int = 0, target: bytes = b"") -> Entry:
    return Entry(
        path=path_text(path),
        kind=kind,
        mode=stat.S_IMODE(found.st_mode),
        mtime_ns=found.st_mtime_ns,
        uid=found.st_uid,
        gid=found.st_gid,
        size_bytes=size_bytes,
        target=path_text(target),
    )


def _described(entry: Entry, xattrs: dict[str, bytes], *, sha256: str = "", is_torn: bool = False) -> Entry:
    return Entry(
        path=entry.path,
        kind=entry.kind,
        mode=entry.mode,
        mtime_ns=entry.mtime_ns,
        uid=entry.uid,
        gid=entry.gid,
        size_bytes=entry.size_bytes,
        target=entry.target,
        sha256=sha256,
        is_torn=is_torn,
        xattrs={path_text(os.fsencode(name)): path_text(value) for name, value in xattrs.items()},
    )


def _state(found: os.stat_result) -> tuple[int, int, int]:
    return found.st_size, found.st_mtime_ns, found.st_ctime_ns


def _xattrs(file: int | bytes) -> dict[str, bytes]:
    """Extended attributes that a restore brings back; none where the file system has none."""
    try:
        names = [name for name in os.listxattr(file) if name.startswith(_XATTRS)]
        return {name: os.getxattr(file, name) for name in names}
    except OSError:
        return {}


def _unreadable(full: bytes, error: OSError) -> UnavailableError:
    return UnavailableError(
        f"could not back up {_show(full)}: {error.strerror}", hint="run it as a user who may read all of it"
    )


def _show(path: bytes) -> str:
    return repr(os.fsdecode(path))[1:-1]
