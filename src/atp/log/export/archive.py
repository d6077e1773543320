"""Writes a bundle as a .zip, member by member as a stream; equal bundles have equal bytes."""

import json
import zipfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, BinaryIO

from atp.errors import TooLargeError
from atp.limits import EXPORT_ENTRIES_MAX

_FIRST_MOMENT = (1980, 1, 1, 0, 0, 0)  # the earliest that a .zip can say
_MODE = 0o644 << 16


@dataclass(frozen=True, slots=True)
class Sealed:
    """What a finished bundle holds: `count` entries that were asked for, within [first, stop) of a log of `size`."""

    first: int
    stop: int
    count: int
    size: int


class Archive:
    """An open bundle. Close it, or the file is no .zip."""

    def __init__(self, place: BinaryIO) -> None:
        self._zip = zipfile.ZipFile(place, "w", allowZip64=True)

    def add(self, name: str, parts: Iterable[bytes]) -> None:
        """Write one member; its parts are asked for one after another."""
        member = zipfile.ZipInfo(name, _FIRST_MOMENT)
        member.compress_type = zipfile.ZIP_DEFLATED
        member.external_attr = _MODE
        with self._zip.open(member, "w", force_zip64=True) as file:
            for part in parts:
                file.write(part)

    def finish(self, manifest: dict[str, Any], *, note: bytes, vkeys: Sequence[str]) -> None:
        """Write what every bundle has, and close it."""
        self.add("checkpoint", [note])
        self.add("vkey", (f"{vkey}\n".encode() for vkey in vkeys))
        self.add("bundle.json", [json.dumps(manifest, ensure_ascii=False, indent=1).encode() + b"\n"])
        self._zip.close()


def check_count(count: int, tenant: str) -> None:
    """TooLargeError for more entries than one bundle may hold."""
    if count > EXPORT_ENTRIES_MAX:
        raise TooLargeError(
            f"could not export from {tenant}: more than {EXPORT_ENTRIES_MAX:,} entries in one bundle",
            hint="ask for less at a time, or export --whole",
        )
