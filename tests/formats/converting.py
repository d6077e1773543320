"""Bytes -> what becomes of each record, for the tests of this folder."""

import gzip
from collections.abc import Iterable, Iterator
from pathlib import Path

from atp.formats import Formats, Occurrences, Record, Rejected, convert, load_formats, read_records
from atp.log.event import Event

FORMATS = load_formats()


def read(content: bytes | Iterable[bytes], *, name: str = "auto", formats: Formats = FORMATS) -> list[Record]:
    """The records of some bytes."""
    return list(read_records([content] if isinstance(content, bytes) else content, format=name, formats=formats))


def outcomes(
    content: bytes | Iterable[bytes], *, name: str = "auto", formats: Formats = FORMATS
) -> list[Event | Rejected]:
    """What becomes of each record of one file."""
    occurrences = Occurrences()
    return [
        convert(record, formats=formats, occurrences=occurrences)
        for record in read(content, name=name, formats=formats)
    ]


def events(content: bytes | Iterable[bytes], *, name: str = "auto", formats: Formats = FORMATS) -> list[Event]:
    """The events of one file in which nothing is rejected."""
    made = outcomes(content, name=name, formats=formats)
    rejected = [one for one in made if isinstance(one, Rejected)]
    assert not rejected, rejected[0]
    return [one for one in made if isinstance(one, Event)]


def event(content: bytes, *, name: str = "auto", formats: Formats = FORMATS) -> Event:
    """The event of the one record."""
    (made,) = events(content, name=name, formats=formats)
    return made


def rejection(content: bytes, *, name: str = "auto", formats: Formats = FORMATS) -> Rejected:
    """The rejection of the one record."""
    (made,) = outcomes(content, name=name, formats=formats)
    assert isinstance(made, Rejected), made
    return made


def data_of(event: Event) -> bytes:
    """The bytes of an event's data."""
    assert not isinstance(event.data, type(Event(actor=event.actor, action="x").data)), "the event has data"
    return bytes(event.data)  # type: ignore[arg-type]


def chunks(file: Path, *, size: int = 1 << 18) -> Iterator[bytes]:
    """A file's bytes as they lie on disk, packed or not."""
    with file.open("rb") as source:
        while chunk := source.read(size):
            yield chunk


def lines(file: Path) -> list[bytes]:
    """The lines of a file that are not blank, unpacked; counted here without any help of the reader."""
    content = gzip.decompress(file.read_bytes()) if file.suffix == ".gz" else file.read_bytes()
    return [line for line in content.split(b"\n") if line.strip()]
