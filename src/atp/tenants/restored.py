"""`DIR/RESTORED`: that a data directory is a copy, so that its logs may go on under new origins alone.

Every copy that is made for a backup carries it, by whatever tools it is put back; a restore adds what it knows. When
all logs have gone on, it is kept as `RESTORED.<generation>`.
"""

from pathlib import Path
from typing import Annotated

import msgspec

from atp.durable import replace_file, sync_directory
from atp.errors import MalformedError, UnavailableError
from atp.limits import GENERATION_MAX, RESTORED_BYTES_MAX

FILE = "RESTORED"
FORMAT = "atp.restored/1"

_Count = Annotated[int, msgspec.Meta(ge=0, le=(1 << 63) - 1)]
_Generation = Annotated[int, msgspec.Meta(ge=2, le=GENERATION_MAX)]


class CopiedLog(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True, frozen=True):
    """A log as it was copied: how many entries it has, and signed checkpoints of it that are known elsewhere."""

    size: _Count
    known: tuple[str, ...] = ()


class Restored(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True, frozen=True):
    """What is known of a copy. `generation` is the one that its logs go on as, `logs` are by tenant; instants are
    RFC 3339 UTC, and empty where nobody said."""

    format: str
    generation: _Generation
    logs: dict[str, CopiedLog] = {}
    backup: str = ""
    copied_at: str = ""
    restored_at: str = ""
    by: str = ""
    reason: str = ""


def read_restored(data: Path) -> Restored | None:
    """What the directory says of itself; None when it is no copy, or has gone on since. MalformedError,
    UnavailableError: then nobody may open it for writing."""
    path = data / FILE
    try:
        with path.open("rb") as file:
            text = file.read(RESTORED_BYTES_MAX + 1)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise UnavailableError(f"could not read {path}: {error.strerror}", hint="check its permissions") from None
    if len(text) > RESTORED_BYTES_MAX:
        raise _malformed(path, f"it has more than {RESTORED_BYTES_MAX:,} bytes")
    try:
        restored = msgspec.json.decode(text, type=Restored)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise _malformed(path, str(error)) from None
    if restored.format != FORMAT:
        raise _malformed(path, f"its format is {restored.format[:40]!r}, this program knows {FORMAT!r}")
    if _kept(data, restored).exists():
        raise _malformed(path, f"the logs have gone on as generation {restored.generation} before")
    return restored


def write_restored(data: Path, restored: Restored) -> None:
    """Say, durably, that the directory is a copy. MalformedError when it would be too long to be read back."""
    text = msgspec.json.format(msgspec.json.encode(restored), indent=1) + b"\n"
    path = data / FILE
    if len(text) > RESTORED_BYTES_MAX:
        raise _malformed(path, f"it would have more than {RESTORED_BYTES_MAX:,} bytes")
    try:
        replace_file(path, text, mode=0o644)
    except OSError as error:
        raise UnavailableError(f"could not write {path}: {error.strerror}", hint="free space, permissions") from None


def settle_restored(data: Path, restored: Restored) -> None:
    """Keep it under another name: all logs have gone on."""
    path = data / FILE
    try:
        path.rename(_kept(data, restored))
        sync_directory(data)
    except OSError as error:
        raise UnavailableError(
            f"could not rename {path}: {error.strerror}", hint="permissions of its directory"
        ) from None


def _kept(data: Path, restored: Restored) -> Path:
    return data / f"{FILE}.{restored.generation}"


def _malformed(path: Path, reason: str) -> MalformedError:
    return MalformedError(f"could not read {path}: {reason}", hint="restore the directory again; never remove it")
