"""Members of a tar archive in the PAX format (POSIX.1-2001), written as any tar reads them; read back with suspicion.

Names that are no UTF-8 are marked `hdrcharset=BINARY`, times keep their nanoseconds, owners are numbers, extended
attributes stand as `SCHILY.xattr.*`. Nothing else of tar's many dialects is written, and nothing else is read.
"""

import os
import re
import tarfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from atp.errors import TamperedError
from atp.limits import BACKUP_NAME_BYTES_MAX, BACKUP_PAX_BYTES_MAX, REPOSITORY_CHUNK_BYTES
from atp.ops.backups.format.contents import Entry, EntryKind, path_bytes
from atp.ops.backups.format.stream import Plain

BLOCK = 512
END = bytes(2 * BLOCK)
_XATTR = "SCHILY.xattr."
_TYPES: Mapping[EntryKind, bytes] = {
    "file": tarfile.REGTYPE,
    "directory": tarfile.DIRTYPE,
    "symlink": tarfile.SYMTYPE,
    "hardlink": tarfile.LNKTYPE,
    "fifo": tarfile.FIFOTYPE,
}
_KINDS = {tar: kind for kind, tar in _TYPES.items()}
_MTIME = re.compile(r"(-?)([0-9]{1,18})(?:\.([0-9]{1,9})[0-9]*)?")
_SECOND_NS = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Member:
    """One member as the archive claims it is; nothing of it has been checked but its form."""

    path: bytes
    kind: EntryKind
    mode: int
    mtime_ns: int
    uid: int
    gid: int
    size_bytes: int
    target: bytes
    xattrs: Mapping[str, bytes]


def header(entry: Entry, xattrs: Mapping[str, bytes]) -> bytes:
    """The blocks before an entry's data."""
    info = tarfile.TarInfo(os.fsdecode(path_bytes(entry.path)))
    info.type = _TYPES[entry.kind]
    info.mode, info.uid, info.gid, info.size = entry.mode, entry.uid, entry.gid, entry.size_bytes
    info.linkname = os.fsdecode(path_bytes(entry.target))
    seconds, fraction = divmod(entry.mtime_ns, _SECOND_NS)
    info.mtime = seconds
    extended = {_XATTR + name: os.fsdecode(value) for name, value in xattrs.items()}
    if fraction or seconds < 0:
        extended["mtime"] = _mtime_text(entry.mtime_ns)
    info.pax_headers = extended
    return info.tobuf(tarfile.PAX_FORMAT, "utf-8", "surrogateescape")


def padding(size_bytes: int) -> bytes:
    """What fills up the last block of an entry's data."""
    return bytes(-size_bytes % BLOCK)


class ArchiveReader:
    """Reads an archive once, in bounded memory. TamperedError when it is not as `header` writes it."""

    def __init__(self, stream: Plain) -> None:
        self._stream = stream
        self._left = 0
        self._padding = 0

    def members(self) -> Iterator[Member]:
        """Every member in order; `data` gives the bytes of the one that was yielded last."""
        extended: dict[str, str] = {}
        while True:
            self._skip()
            block = self._exactly(BLOCK)
            if not block.strip(b"\0"):
                self._check_end()
                return
            info = _info(block)
            if info.type == tarfile.XHDTYPE:
                if extended:
                    raise TamperedError("could not read the archive: one extended header follows another")
                extended = self._extended(info.size)
                continue
            member = _member(info, extended)
            extended = {}
            self._left, self._padding = member.size_bytes, -member.size_bytes % BLOCK
            yield member

    def data(self) -> Iterator[bytes]:
        """The bytes of the member in chunks."""
        while self._left:
            chunk = self._exactly(min(self._left, REPOSITORY_CHUNK_BYTES))
            self._left -= len(chunk)
            yield chunk

    def _skip(self) -> None:
        for _ in self.data():
            pass
        self._exactly(self._padding)
        self._padding = 0

    def _extended(self, size_bytes: int) -> dict[str, str]:
        if not 0 < size_bytes <= BACKUP_PAX_BYTES_MAX:
            raise TamperedError(f"could not read the archive: an extended header has {size_bytes:,} bytes")
        data = self._exactly(size_bytes)
        self._exactly(-size_bytes % BLOCK)
        return dict(_records(data))

    def _check_end(self) -> None:
        """Two blocks of zeros, and nothing behind them."""
        if self._exactly(BLOCK).strip(b"\0") or self._stream.read(1):
            raise TamperedError("could not read the archive: something stands behind its end")

    def _exactly(self, size: int) -> bytes:
        chunks, left = [], size
        while left:
            chunk = self._stream.read(left)
            if not chunk:
                raise TamperedError("could not read the archive: it ends in the middle of a member")
            chunks.append(chunk)
            left -= len(chunk)
        return chunks[0] if len(chunks) == 1 else b"".join(chunks)


def _info(block: bytes) -> tarfile.TarInfo:
    try:
        return tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
    except tarfile.HeaderError as error:
        raise TamperedError(f"could not read the archive: {error}") from None


def _member(info: tarfile.TarInfo, extended: Mapping[str, str]) -> Member:
    path = os.fsencode(extended.get("path", info.name))
    kind = _KINDS.get(info.type)
    if kind is None:
        raise TamperedError(f"could not restore {path[:200]!r}: it is of type {info.type!r}, a device node perhaps")
    target = os.fsencode(extended.get("linkpath", info.linkname))
    size_bytes = _number(extended.get("size"), info.size)
    if len(path) > BACKUP_NAME_BYTES_MAX or size_bytes < 0 or (size_bytes and kind != "file"):
        raise TamperedError(f"could not restore {path[:200]!r}: its name or size cannot be")
    return Member(
        path=path.rstrip(b"/") if kind == "directory" else path,
        kind=kind,
        mode=info.mode & 0o7777,
        mtime_ns=_mtime_ns(extended["mtime"]) if "mtime" in extended else int(info.mtime) * _SECOND_NS,
        uid=_number(extended.get("uid"), info.uid),
        gid=_number(extended.get("gid"), info.gid),
        size_bytes=size_bytes,
        target=target,
        xattrs={
            name.removeprefix(_XATTR): os.fsencode(value) for name, value in extended.items() if name.startswith(_XATTR)
        },
    )


def _records(data: bytes) -> Iterator[tuple[str, str]]:
    """`LENGTH KEYWORD=VALUE\\n` records; the length counts all of it."""
    at = 0
    while at < len(data):
        space = data.find(b" ", at, at + 12)
        digits = data[at:space] if space > 0 else b""
        end = at + int(digits) if digits.isdigit() else 0
        keyword, equals, value = data[space + 1 : end - 1].partition(b"=")
        if not equals or end > len(data) or data[end - 1 : end] != b"\n":
            raise TamperedError("could not read the archive: an extended header is none")
        yield keyword.decode("utf-8", "surrogateescape"), value.decode("utf-8", "surrogateescape")
        at = end


def _number(text: str | None, otherwise: int) -> int:
    if text is None:
        return otherwise
    if not re.fullmatch(r"[0-9]{1,19}", text):
        raise TamperedError("could not read the archive: a number in an extended header is none")
    return int(text)


def _mtime_text(mtime_ns: int) -> str:
    seconds, fraction = divmod(abs(mtime_ns), _SECOND_NS)
    return f"{'-' * (mtime_ns < 0)}{seconds}.{fraction:09}"


def _mtime_ns(text: str) -> int:
    found = _MTIME.fullmatch(text)
    if found is None:
        raise TamperedError("could not read the archive: a time in an extended header is none")
    sign, seconds, fraction = found.groups()
    size = int(seconds) * _SECOND_NS + int((fraction or "").ljust(9, "0"))
    return -size if sign else size
