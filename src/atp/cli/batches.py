"""Files of any known format -> batches of events that are ready to be sent, and of records to be parked."""

import os
import stat
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

import msgspec

from atp.errors import ForbiddenError, InvalidError, MissingError
from atp.formats import Formats, Occurrences, Rejected, convert, read_records
from atp.formats.lines import unpack
from atp.log.event import Event

BATCH_RECORDS = 500
BATCH_BYTES = 1024 * 1024
STDIN = "-"
_CHUNK_BYTES = 256 * 1024
_encode = msgspec.json.Encoder().encode


@dataclass(slots=True)
class Batch:
    """What is sent together: events as JSON texts that have ids, and records that are no events."""

    events: list[bytes] = field(default_factory=list)
    rejected: list[Rejected] = field(default_factory=list)
    bytes_total: int = 0

    @property
    def is_full(self) -> bool:
        """Whether the next record belongs to another batch."""
        return len(self.events) + len(self.rejected) >= BATCH_RECORDS or self.bytes_total >= BATCH_BYTES

    def add(self, item: bytes | Rejected) -> None:
        """Take one more."""
        if isinstance(item, Rejected):
            self.rejected.append(item)
            self.bytes_total += len(item.raw)
        else:
            self.events.append(item)
            self.bytes_total += len(item)


@dataclass(slots=True)
class Reading:
    """How far the files are read: bytes as they lie there, lines and records as they are inside."""

    bytes_total: int = 0
    lines: int = 0
    records: int = 0


def open_file(name: str) -> BinaryIO:
    """The file, or standard input for `-`. MissingError, InvalidError for a directory, ForbiddenError."""
    if name == STDIN:
        return sys.stdin.buffer
    path = Path(name)
    if path.is_dir():
        raise InvalidError(f"could not read {name}: it is a directory", hint=f"{path}/*")
    try:
        return path.open("rb")
    except FileNotFoundError:
        raise MissingError(f"could not read {name}: it does not exist", hint="check the path") from None
    except OSError as error:
        raise ForbiddenError(f"could not read {name}: {error.strerror}", hint="check its permissions") from None


def bytes_in(files: Iterable[BinaryIO]) -> int:
    """How many bytes lie in the files; 0 when one of them is a stream, which tells that to nobody."""
    try:
        found = [os.fstat(file.fileno()) for file in files]
    except OSError:
        return 0
    return sum(one.st_size for one in found) if all(stat.S_ISREG(one.st_mode) for one in found) else 0


def read_batches(file: BinaryIO, *, format_name: str, formats: Formats, reading: Reading) -> Iterator[Batch]:
    """The batches of one file, in order: at most BATCH_RECORDS and about BATCH_BYTES each.

    Every event has an id that depends on the file's content alone, so that a file which is read twice is recorded once.
    `reading` is kept up to date.
    """
    occurrences = Occurrences()
    batch = Batch()
    for record in read_records(_counted(_chunks(file, reading), reading), format=format_name, formats=formats):
        reading.records += 1
        found = convert(record, formats=formats, occurrences=occurrences)
        batch.add(found if isinstance(found, Rejected) else _with_id(found, occurrences))
        if batch.is_full:
            yield batch
            batch = Batch()
    if batch.events or batch.rejected:
        yield batch


def _with_id(event: Event, occurrences: Occurrences) -> bytes:
    text = _encode(event)
    return text if event.id is not None else _encode(msgspec.structs.replace(event, id=occurrences.next_id(text)))


def _chunks(file: BinaryIO, reading: Reading) -> Iterator[bytes]:
    while chunk := file.read(_CHUNK_BYTES):
        reading.bytes_total += len(chunk)
        yield chunk


def _counted(chunks: Iterable[bytes], reading: Reading) -> Iterator[bytes]:
    """The chunks, unpacked; their lines are counted, a last one without a line feed too."""
    last = b"\n"
    for chunk in unpack(chunks):
        if chunk:
            reading.lines += chunk.count(b"\n")
            last = chunk[-1:]
            yield chunk
    reading.lines += last != b"\n"
