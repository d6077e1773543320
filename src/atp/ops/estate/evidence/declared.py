"""The estate file itself in the operators' trail, once for each digest: whoever refers to the digest can be read.

Each `estate.declared`, of the resource whose id is the SHA-256 of the file, holds a part of its text. The ids of these
events are made of digest and part, so that a log takes each once.
"""

from collections.abc import Iterable
from datetime import datetime
from hashlib import sha256
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from atp.limits import ESTATE_PART_CHARS, ESTATE_PARTS_MAX
from atp.log.event import Event, Resource
from atp.ops.record.act import Person
from atp.ops.record.fact import fact_event

ESTATE_DECLARED = "estate.declared"
_Number = Annotated[int, Meta(ge=1, le=ESTATE_PARTS_MAX)]


class Part(msgspec.Struct, frozen=True):
    """`data` of `estate.declared`: part `part` of `parts`, from 1."""

    part: _Number
    parts: _Number
    text: str


def estate_events(file: bytes, *, by: Person, at: datetime) -> list[Event]:
    """What tells the text of an estate file, that was read well. Pure."""
    text, digest = file.decode(), sha256(file).hexdigest()
    pieces = [text[start : start + ESTATE_PART_CHARS] for start in range(0, len(text), ESTATE_PART_CHARS)]
    return [
        fact_event(
            ESTATE_DECLARED,
            Part(number, len(pieces), piece),
            of=Resource(digest, type="estate"),
            by=by,
            at=at,
            event_id=f"{ESTATE_DECLARED}.{digest}.{number}",
            outcome="success",
        )
        for number, piece in enumerate(pieces, 1)
    ]


def estate_text(told: Iterable[Any], *, digest: str) -> bytes | None:
    """The file of this digest, made of the data of events; None unless all of it is there, byte for byte. Pure."""
    texts = dict[int, str]()
    for data in told:
        try:
            part = msgspec.convert(data, Part)
        except msgspec.ValidationError:
            continue
        texts.setdefault(part.part, part.text)
    file = "".join(texts[number] for number in sorted(texts)).encode()
    return file if sha256(file).hexdigest() == digest else None
