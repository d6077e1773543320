"""A directory of one drill's own, and the removal of those that dead drills left behind.

PLACE/atp-drill-<random>/          0700, locked (flock) for as long as its process lives
PLACE/atp-drill-<random>/.drill    one line of JSON: whose it is; removed last

Only a directory with that name, that marker and no living process is ever removed.
"""

import fcntl
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import msgspec

from atp.durable import disk_move
from atp.errors import ForbiddenError, UnavailableError
from atp.ops.backups.act.workplace import remove_tree
from atp.ports.clock import Clock

_NAME = re.compile(r"atp-drill-[0-9a-f]{16}")
_MARKER = ".drill"
_MARKER_BYTES_MAX = 4_096
_RANDOM_BYTES = 8
_FORMAT = "atp.drill-scratch/1"


class _Mark(msgspec.Struct, frozen=True, kw_only=True):
    format: str
    act: str
    dataset: str


@dataclass(frozen=True, slots=True)
class Scratch:
    """An empty directory; `copy` is where the restored data goes, `contents` where the list of it goes."""

    folder: Path

    @property
    def copy(self) -> Path:
        """The restored data."""
        return self.folder / "copy"

    @property
    def contents(self) -> Path:
        """The inner manifest, in plain."""
        return self.folder / "contents"

    @property
    def raw(self) -> Path:
        """Where as many bytes are written once more, to know how fast the disk is."""
        return self.folder / "raw"

    def remove(self) -> None:
        """Remove all of it, the marker last, so that a death in between leaves what the next drill knows as ours.

        UnavailableError when something stays.
        """
        for path in self.folder.iterdir():
            if path.name != _MARKER:
                remove_tree(path)
        with suppress(FileNotFoundError):
            (self.folder / _MARKER).unlink()
        try:
            self.folder.rmdir()
        except OSError as error:
            raise UnavailableError(
                f"could not remove {self.folder}: {error.strerror}", hint="look what is in it, and remove it by hand"
            ) from None


@contextmanager
def scratch(place: Path, *, act: str, dataset: str, clock: Clock) -> Iterator[Scratch]:
    """A new directory below `place`, gone when the block ends, however it ends; what a kill leaves `sweep` removes.

    UnavailableError when it cannot be made, ForbiddenError when somebody else may write to it.
    """
    folder = place / f"atp-drill-{clock.random_bytes(_RANDOM_BYTES).hex()}"
    try:
        place.mkdir(mode=0o700, parents=True, exist_ok=True)
        folder.mkdir(mode=0o700)
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError as error:
        raise UnavailableError(
            f"could not make a scratch directory in {place}: {error.strerror}",
            hint=disk_move(error, place, otherwise="edit estate.yaml: datasets.NAME.drill.place"),
        ) from None
    made = Scratch(folder)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        _check_private(handle, folder)
        _mark(folder, _Mark(format=_FORMAT, act=act, dataset=dataset))
        yield made
    finally:
        with suppress(FileNotFoundError):
            made.remove()
        os.close(handle)


def sweep(place: Path) -> list[str]:
    """Remove what dead drills left in `place`; the ids of their acts. What is not surely ours and dead stays."""
    found = []
    for folder in sorted(place.iterdir()) if place.is_dir() else ():
        if _NAME.fullmatch(folder.name) and (act := _sweep_one(folder)) is not None:
            found.append(act)
    return found


def _sweep_one(folder: Path) -> str | None:
    """The act whose directory was removed; empty when it died before it could say so. None: it stays."""
    try:
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        _check_private(handle, folder)
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        act = _marked(folder)
        if act is None and any(folder.iterdir()):
            return None
        Scratch(folder).remove()
        return act or ""
    except (OSError, ForbiddenError, UnavailableError):
        return None
    finally:
        os.close(handle)


def _check_private(handle: int, folder: Path) -> None:
    found = os.fstat(handle)
    if found.st_uid != os.geteuid() or found.st_mode & 0o077:
        raise ForbiddenError(f"could not work in {folder}: it is not this user's alone", hint="another drill.place")


def _mark(folder: Path, mark: _Mark) -> None:
    marker = folder / _MARKER
    try:
        with open(marker, "xb") as file:
            file.write(msgspec.json.encode(mark))
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        hint = disk_move(error, folder, otherwise="edit estate.yaml: datasets.NAME.drill.place")
        raise UnavailableError(f"could not write {marker}: {error.strerror}", hint=hint) from None


def _marked(folder: Path) -> str | None:
    """The act that the marker names; None when there is none, or it is not ours."""
    try:
        handle = os.open(folder / _MARKER, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        with open(handle, "rb") as file:
            mark = msgspec.json.decode(file.read(_MARKER_BYTES_MAX), type=_Mark)
    except (OSError, msgspec.MsgspecError):
        return None
    return mark.act if mark.format == _FORMAT else None
