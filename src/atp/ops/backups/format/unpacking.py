"""A tar archive that nobody vouches for -> a new directory. Nothing is written, linked or followed outside of it.

Why no member escapes: the directory is new and ours, a member is made only inside a directory that this archive made
before (never a link), under a name of its own, and what exists is never opened again. So no path is ever followed
through anything that the archive brought but real directories.
"""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from atp.errors import TamperedError, UnavailableError
from atp.ops.backups.format.archive import ArchiveReader, Member
from atp.ops.backups.format.stream import Plain

_HOLE_BYTES = 1 << 16
_ZEROS = bytes(64)
_SPECIAL = 0o6000  # set-user-id and set-group-id


@dataclass(slots=True)
class Unpacked:
    """What was made so far; directories get their modes and times last, since filling one changes them."""

    root: bytes
    is_root: bool
    members: int = 0
    directories: dict[bytes, Member] = field(default_factory=dict)


def unpack(stream: Plain, into: Path, *, moved: Callable[[int], object]) -> int:
    """Make what the archive says below `into`, an empty directory; how many members there were.

    `moved` gets the bytes of each chunk. TamperedError names what would escape or cannot be; UnavailableError when the
    disk refuses. Owners are set when this process is root; else set-user-id bits are taken off. Long runs of zeros
    become holes.
    """
    done = Unpacked(os.fsencode(into), is_root=os.geteuid() == 0)
    reader = ArchiveReader(stream)
    for member in reader.members():
        _check(member, done)
        try:
            _make(member, reader, done, moved)
        except FileExistsError:
            raise TamperedError(f"could not restore {_show(member)}: the archive has it twice") from None
        except OSError as error:
            raise UnavailableError(
                f"could not restore {_show(member)}: {error.strerror}", hint="make room, or choose another place"
            ) from None
        done.members += 1
    for path, member in reversed(done.directories.items()):
        _furnish(_full(path, done), member, done)
    return done.members


def _check(member: Member, done: Unpacked) -> None:
    path = member.path
    if path == b".":
        if member.kind != "directory" or done.members:
            raise TamperedError("could not restore '.': the archive does not begin with its root")
        return
    parts = path.split(b"/")
    if b"\0" in path or any(part in (b"", b".", b"..") for part in parts):
        raise TamperedError(f"could not restore {_show(member)}: the name would lead out of the place")
    if b"/".join(parts[:-1]) not in done.directories and len(parts) > 1:
        raise TamperedError(f"could not restore {_show(member)}: the archive has no directory for it")
    if b"\0" in member.target or (member.kind in ("symlink", "hardlink") and not member.target):
        raise TamperedError(f"could not restore {_show(member)}: its link leads nowhere")


def _make(member: Member, reader: ArchiveReader, done: Unpacked, moved: Callable[[int], object]) -> None:
    full = _full(member.path, done)
    if member.kind == "directory":
        if member.path != b".":
            os.mkdir(full, 0o700)
        done.directories[member.path] = member
    elif member.kind == "symlink":
        os.symlink(member.target, full)
        _own(full, member, done)
        os.utime(full, ns=(member.mtime_ns, member.mtime_ns), follow_symlinks=False)
    elif member.kind == "hardlink":
        _link(full, member, done)
    elif member.kind == "fifo":
        os.mkfifo(full, 0o600)
        _furnish(full, member, done)
    else:
        _write(full, member, reader, moved)
        _furnish(full, member, done)


def _link(full: bytes, member: Member, done: Unpacked) -> None:
    """Only to a file that this archive made: the target is checked as a name is."""
    target = _full(member.target, done)
    parts = member.target.split(b"/")
    is_inside = not any(part in (b"", b".", b"..") for part in parts)
    parent = b"/".join(parts[:-1])
    if not is_inside or (parent and parent not in done.directories):
        raise TamperedError(f"could not restore {_show(member)}: its link leads out of the place")
    if os.path.islink(target) or not os.path.isfile(target):
        raise TamperedError(f"could not restore {_show(member)}: it is linked to what is no file of the archive")
    os.link(target, full, follow_symlinks=False)


def _write(full: bytes, member: Member, reader: ArchiveReader, moved: Callable[[int], object]) -> None:
    file = os.open(full, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        for chunk in reader.data():
            _write_chunk(file, chunk)
            moved(len(chunk))
        os.ftruncate(file, member.size_bytes)
    finally:
        os.close(file)


def _write_chunk(file: int, chunk: bytes) -> None:
    if len(chunk) >= _HOLE_BYTES and chunk.startswith(_ZEROS) and not chunk.strip(b"\0"):
        os.lseek(file, len(chunk), os.SEEK_CUR)
        return
    view = memoryview(chunk)
    while view:
        view = view[os.write(file, view) :]


def _furnish(full: bytes, member: Member, done: Unpacked) -> None:
    """Owner first (it clears special bits), then attributes, mode, and the time last."""
    try:
        _own(full, member, done)
        _set_xattrs(full, member.xattrs)
        os.chmod(full, member.mode if done.is_root else member.mode & ~_SPECIAL)
        os.utime(full, ns=(member.mtime_ns, member.mtime_ns))
    except OSError as error:
        raise UnavailableError(
            f"could not restore the attributes of {_show(member)}: {error.strerror}",
            hint="restore to a file system that has them",
        ) from None


def _own(full: bytes, member: Member, done: Unpacked) -> None:
    if done.is_root:
        os.chown(full, member.uid, member.gid, follow_symlinks=False)


def _set_xattrs(full: bytes, xattrs: Mapping[str, bytes]) -> None:
    for name, value in xattrs.items():
        os.setxattr(full, name, value)


def _full(path: bytes, done: Unpacked) -> bytes:
    return done.root if path == b"." else os.path.join(done.root, path)


def _show(member: Member) -> str:
    return repr(os.fsdecode(member.path))
