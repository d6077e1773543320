"""What a follower knows of what it shipped: a small file beside the segments that it receives.

The repository is not asked: others can write there, and a segment that they put there would never be shipped. Without
the file, or with an older one, some segments are shipped once more, and reach less far by their names than they do.
"""

from collections.abc import Mapping
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta

from atp.limits import FOLLOWED_FILE_BYTES_MAX

FORMAT: Final = "atp.received/1"
_NAME = "noted.json"


class Noted(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """`shipped`: by repository, of the files that are here those that it has. `marks`: by segment, without its
    timeline, until when everything that was committed is in it or before it."""

    format: Literal["atp.received/1"] = FORMAT
    shipped: Mapping[str, frozenset[str]] = {}
    marks: Mapping[str, Annotated[datetime, Meta(tz=True)]] = {}


def read_noted(room: Path) -> Noted:
    """What was noted; nothing when that is not there, or cannot be used."""
    try:
        with (room / _NAME).open("rb") as file:
            return msgspec.json.decode(file.read(FOLLOWED_FILE_BYTES_MAX), type=Noted)
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return Noted()


def write_noted(room: Path, noted: Noted) -> None:
    """A death leaves the old one, a power cut perhaps none. So does a disk that is full: what is shipped makes room."""
    new = (room / _NAME).with_suffix(".new")
    with suppress(OSError):
        new.write_bytes(msgspec.json.encode(noted))
        new.rename(room / _NAME)
