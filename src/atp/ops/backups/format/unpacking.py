"""A tar archive that nobody vouches for -> a new directory. Nothing is written, linked or followed outside of it.

Why no member escapes: the directory is new and ours, a member is made only inside a directory that this archive made
before (never a link), under a name of its own, and what exists is never opened again. So no path is ever followed
through anything that the archive brought but real directories.
"""

import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from atp.durable import disk_move
from atp.errors import TamperedError, UnavailableError
from atp.limits import REPOSITORY_CHUNK_BYTES
from atp.ops.backups.format.archive import ArchiveReader, Member
from atp.ops.backups.format.jobs import Jobs
from atp.ops.backups.format.stream import Plain

_HOLE_BYTES = 1 << 16
_ZEROS = bytes(64)
_SPECIAL = 0o6000  # set-user-id and set-group-id


@dataclass(slots=True)
class Unpacked:
    """What was made so far; directories get their modes and times last, since filling one changes them."""

    root: bytes
    is_root: bool
    jobs: Jobs
    members: int = 0
    directories: dict[bytes, Member] = field(default_factory=dict)


def unpack(stream: Plain, into: Path, *, moved: Callable[[int], object]) -> int:
    """Make what the archive says below `into`, an empty directory; how many members there were.

    `moved` gets the bytes of each chunk. TamperedError names what would escape or cannot be; UnavailableError when the
    disk refuses. Owners are set when this process is root; else set-user-id bits are taken off. Long runs of zeros
    become holes. Small files are made by a few threads, which is what keeps many of them from taking long; memory: a
    few dozen MiB.
    """
    with Jobs() as jobs:
        done = Unpacked(os.fsencode(into), is_root=os.geteuid() == 0, jobs=jobs)
        reader = ArchiveReader(stream)
        for member in reader.members():
            _check(member, done)
            with _told(member, done):
                _make(member, reader, done, moved)
            done.members += 1
        jobs.wait()
    for path, member in reversed(done.directories.items()):
        _furnish(_full(path, done), member, done)
    return done.members


@contextmanager
def _told(member: Member, done: Unpacked) -> Iterator[None]:
    try:
        yield
    except FileExistsError:
        raise TamperedError(f"could not restore {_show(member)}: the archive has it twice") from None
    except OSError as error:
        hint = disk_move(error, Path(os.fsdecode(done.root)), otherwise="choose another place")
        raise UnavailableError(f"could not restore {_show(member)}: {error.strerror}", hint=hint) from None


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
        if done.is_root:
            os.lchown(full, member.uid, member.gid)
        os.utime(full, ns=(member.mtime_ns, member.mtime_ns), follow_symlinks=False)
    elif member.kind == "hardlink":
        _link(full, member, done)
    elif member.kind == "fifo":
        os.mkfifo(full, 0o600)
        _furnish(full, member, done)
    elif member.size_bytes <= REPOSITORY_CHUNK_BYTES:
        chunks = list(reader.data())
        done.jobs.do(lambda: _make_file(full, member, chunks, done, moved), size_bytes=member.size_bytes)
    else:
        _make_file(full, member, reader.data(), done, moved)


def _link(full: bytes, member: Member, done: Unpacked) -> None:
    """Only to a file that this archive made: the target is checked as a name is."""
    done.jobs.wait()
    target = _full(member.target, done)
    parts = member.target.split(b"/")
    is_inside = not any(part in (b"", b".", b"..") for part in parts)
    parent = b"/".join(parts[:-1])
    if not is_inside or (parent and parent not in done.directories):
        raise TamperedError(f"could not restore {_show(member)}: its link leads out of the place")
    if os.path.islink(target) or not os.path.isfile(target):
        raise TamperedError(f"could not restore {_show(member)}: it is linked to what is no file of the archive")
    os.link(target, full, follow_symlinks=False)


def _make_file(
    full: bytes, member: Member, chunks: Iterable[bytes], done: Unpacked, moved: Callable[[int], object]
) -> None:
    with _told(member, done):
        file = os.open(full, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            has_hole = False
            for chunk in chunks:
                has_hole |= _write_chunk(file, chunk)
                moved(len(chunk))
            if has_hole:
                os.ftruncate(file, member.size_bytes)
            _furnish(file, member, done)
        finally:
            os.close(file)


def _write_chunk(file: int, chunk: bytes) -> bool:
    """Whether it left a hole."""
    if len(chunk) >= _HOLE_BYTES and chunk.startswith(_ZEROS) and not chunk.strip(b"\0"):
        os.lseek(file, len(chunk), os.SEEK_CUR)
        return True
    view = memoryview(chunk)
    while view:
        view = view[os.write(file, view) :]
    return False


def _furnish(place: bytes | int, member: Member, done: Unpacked) -> None:
    """Owner first (it clears special bits), then attributes, mode, and the time last."""
    try:
        if done.is_root:
            os.chown(place, member.uid, member.gid)
        for name, value in member.xattrs.items():
            os.setxattr(place, name, value)
        os.chmod(place, member.mode if done.is_root else member.mode & ~_SPECIAL)
        os.utime(place, ns=(member.mtime_ns, member.mtime_ns))
    except OSError as error:
        raise UnavailableError(
            f"could not restore the attributes of {_show(member)}: {error.strerror}",
            hint=disk_move(error, Path(os.fsdecode(done.root)), otherwise="restore to a file system that has them"),
        ) from None


def _full(path: bytes, done: Unpacked) -> bytes:
    return done.root if path == b"." else os.path.join(done.root, path)


def _show(member: Member) -> str:
    return repr(os.fsdecode(member.path))
