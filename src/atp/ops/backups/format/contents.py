"""The inner manifest: every file with its size, digest, mode and times; of a database its tables and their rows.

Lines of JSON: a head, a line for each entry in the order of the archive, and a tail that counts them. It is compressed
and encrypted as the data is, and a restore is checked against it.
"""

from collections.abc import Iterator
from datetime import datetime
from typing import Annotated, Final, Literal, TypeVar
from urllib.parse import unquote_to_bytes

import msgspec
from msgspec import Meta

from atp.errors import MalformedError
from atp.limits import BACKUP_LINE_BYTES_MAX
from atp.ops.backups.format.stream import Plain

FORMAT: Final = "atp.backup-contents/1"
EntryKind = Literal["file", "directory", "symlink", "hardlink", "fifo"]
Line = TypeVar("Line")


class Database(msgspec.Struct, frozen=True):
    """What a database held: the rows of each table, and the digest of its schema."""

    tables: dict[str, int]
    schema_sha256: str


class Names(msgspec.Struct, frozen=True, kw_only=True):
    """Of a PostgreSQL cluster: whom questions are asked as, and where."""

    superuser: str
    database: str


class Head(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What the list is about; `source` is where the data was."""

    format: Literal["atp.backup-contents/1"]
    backup: str
    dataset: str
    source: str
    consistent_at: Annotated[datetime, Meta(tz=True)]
    database: Database | None = None
    names: Names | None = None


class Entry(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One member. Paths are relative to the root, which is `.`; see `path_text`. `is_torn`: it changed while it was
    read, and is as it was found, not as it ever was."""

    path: str
    kind: EntryKind
    mode: int
    mtime_ns: int
    uid: int
    gid: int
    size_bytes: int = 0
    sha256: str = ""
    target: str = ""
    xattrs: dict[str, str] = {}
    is_torn: bool = False


class Tail(msgspec.Struct, frozen=True, kw_only=True):
    """How many entries there are, and the bytes of all files."""

    entries: int
    total_bytes: int


def path_text(path: bytes) -> str:
    """A path as text: UTF-8, with `%` and bytes that are none as `%XX`. Any path is one text, and back."""
    text = path.replace(b"%", b"%25").decode("utf-8", "surrogateescape")
    if text.isascii():
        return text
    return "".join(f"%{ord(char) - 0xDC00:02X}" if "\udc80" <= char <= "\udcff" else char for char in text)


def path_bytes(text: str) -> bytes:
    """The path that `path_text` wrote."""
    return unquote_to_bytes(text) if "%" in text else text.encode()


def encode_line(line: Head | Entry | Tail) -> bytes:
    """One line of the list."""
    return msgspec.json.encode(line) + b"\n"


class ContentsReader:
    """Reads a list once, in bounded memory. MalformedError when it is none, or is cut short."""

    def __init__(self, stream: Plain) -> None:
        self._stream = stream
        self.head = _decode(self._next(), Head)
        self.tail: Tail | None = None

    def entries(self) -> Iterator[Entry]:
        """Every entry; when the iteration ends, `tail` is known and right."""
        count, total_bytes = 0, 0
        while True:
            line = self._next()
            if line.startswith(b'{"entries":'):
                break
            entry = _decode(line, Entry)
            count += 1
            total_bytes += entry.size_bytes
            yield entry
        self.tail = _decode(line, Tail)
        if (self.tail.entries, self.tail.total_bytes) != (count, total_bytes):
            raise MalformedError(f"could not read the list of contents: it counts {count:,} entries wrong")

    def _next(self) -> bytes:
        line = self._stream.readline(BACKUP_LINE_BYTES_MAX)
        if not line.endswith(b"\n"):
            raise MalformedError("could not read the list of contents: it ends too early")
        return line


def _decode(line: bytes, kind: type[Line]) -> Line:
    try:
        return msgspec.json.decode(line, type=kind)
    except (msgspec.MsgspecError, RecursionError) as error:
        raise MalformedError(f"could not read the list of contents: {error}") from None
