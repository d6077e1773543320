"""A data directory that is being served -> a copy of one moment that verifies, without asking the server.

The order is copied first: all that its checkpoints cover, and that it does not hold itself, lies in objects by then.
Those are written once, so they are the same whenever they are copied, and cost a link where the file system has links.
Views and ids are left out, they are made again; keys are left out, a copy must not be able to sign.
"""

import os
import shutil
import sqlite3
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from types import MappingProxyType

from atp.durable import disk_move
from atp.errors import MissingError, RefusedError, TamperedError, UnavailableError
from atp.limits import TILE_WIDTH
from atp.log.event import format_instant
from atp.log.reader import bundle_key, log_key
from atp.merkle.tiles import TILE_HEIGHT, Tile
from atp.ops.backups.act.kinds.trail.logs import INSTALLATION, ORDER, Held, HeldLog, read_held
from atp.ops.backups.format.database import copy_database
from atp.tenants.restored import FORMAT, CopiedLog, Restored, read_restored, write_restored
from atp.verify.directory import check_data_directory
from atp.verify.options import Options
from atp.verify.workers import cores

_VERSION = "2"
_SMALL = ("FORMAT", INSTALLATION, "stopped.json")
_FOLDERS = ("evidence",)

Moved = Callable[[int], object]


@dataclass(frozen=True, slots=True)
class Captured:
    """What was copied: the logs, and when they were so."""

    held: Held
    copied_at: datetime

    @property
    def entries(self) -> int:
        """How many entries all logs have."""
        return sum(log.size for log in self.held.logs)


def capture(
    data: Path, into: Path, *, backup: str, now: Callable[[], datetime], moved: Moved = lambda _: None
) -> Captured:
    """Copy a data directory into an empty one, and verify the copy down to its payloads.

    It says of itself that it is a copy (`RESTORED`), so whoever serves it, restored by whatever means, forks no log.
    RefusedError for a directory of another format, MissingError when it is none, TamperedError when the copy does not
    verify: then the original does not either. Costs a copy of the order, a link or a copy of each object, and one
    reading of all.
    """
    captured = copy_trail(data, into, backup=backup, now=now, moved=moved)
    _check_copy(into)
    return captured


def copy_trail(
    data: Path,
    into: Path,
    *,
    backup: str,
    now: Callable[[], datetime],
    moved: Moved = lambda _: None,
    beyond: Mapping[str, int] = MappingProxyType({}),
) -> Captured:
    """The same unverified, and without the objects that the first `beyond` entries of a log have, by tenant."""
    _check_source(data)
    keys, instants = _vkeys(data), list[datetime]()
    copy_database(data / ORDER, into / ORDER, began=lambda: instants.append(now()), moved=moved)
    _settle_journal(into / ORDER)
    for name in [*_SMALL, *(path.name for path in data.glob("RESTORED.*"))]:
        _copy_if_there(data / name, into / name)
    for name in _FOLDERS:
        _copy_tree(data / name, into / name, moved)
    held = read_held(into)
    for log in held.logs:
        _copy_log(data, into, log, keys, moved, beyond=beyond.get(log.tenant, 0))
    write_restored(into, _mark(data, held, backup, instants[0]))
    return Captured(held, instants[0])


def _check_source(data: Path) -> None:
    what, hint = f"could not back up {data}", "check source.place"
    if not data.is_dir():
        raise MissingError(f"{what}: there is no such directory", hint=hint)
    try:
        version = (data / "FORMAT").read_bytes()[:20].decode("ascii", "replace").strip()
    except FileNotFoundError:
        raise MissingError(f"{what}: it is no data directory: it has no FORMAT", hint=hint) from None
    except OSError as error:
        raise UnavailableError(
            f"{what}: its FORMAT: {error.strerror}", hint="run it as a user who may read it"
        ) from None
    if version != _VERSION:
        is_newer = version.isdigit() and int(version) > int(_VERSION)
        raise RefusedError(
            f"{what}: its format is {version!r}, this program copies {_VERSION}",
            hint="use the newer program that wrote it" if is_newer else "serve it once, which brings it forward",
        )


def _vkeys(data: Path) -> Mapping[str, bytes]:
    """The public keys of each log as they are before the order is copied: its checkpoints verify under them."""
    found = dict[str, bytes]()
    for path in (data / "logs").glob("*/vkey"):
        found[path.parent.name] = path.read_bytes()
    return found


def _settle_journal(order: Path) -> None:
    """Let the copy be a file by itself: nobody writes to it here."""
    try:
        with closing(sqlite3.connect(order)) as connection:
            connection.execute("PRAGMA journal_mode = DELETE")
    except sqlite3.Error as error:
        hint = disk_move(error, order, otherwise="repeat")
        raise UnavailableError(f"could not settle the copy of {ORDER}: {error}", hint=hint) from None


def _copy_log(data: Path, into: Path, log: HeldLog, keys: Mapping[str, bytes], moved: Moved, *, beyond: int) -> None:
    """The full tiles and bundles that the checkpoint covers, and no other: later ones belong to later checkpoints."""
    folder = into / log_key(log.tenant, "")
    folder.mkdir(parents=True, exist_ok=True)
    if (vkey := keys.get(log.tenant)) is not None:
        (folder / "vkey").write_bytes(vkey)
    else:
        _copy_if_there(data / log_key(log.tenant, "vkey"), folder / "vkey")
    if log.note is not None:
        (folder / "checkpoint").write_bytes(log.note)
    for key in object_keys(log.tenant, stop=log.published, first=beyond):
        moved(_copy_object(data / key, into / key))
    _copy_tree(data / log_key(log.tenant, "packs"), folder / "packs", moved)


def object_keys(tenant: str, *, stop: int, first: int = 0) -> Iterator[str]:
    """The keys of the objects that a log of `stop` entries has, and one of `first` entries has not."""
    for number in range(first // TILE_WIDTH, stop // TILE_WIDTH):
        yield bundle_key(tenant, number)
    level, begin, end = 0, first // TILE_WIDTH, stop // TILE_WIDTH
    while end:
        for number in range(begin, end):
            yield log_key(tenant, Tile(level, number).path)
        level, begin, end = level + 1, begin >> TILE_HEIGHT, end >> TILE_HEIGHT


def _copy_object(path: Path, into: Path) -> int:
    """Link a file that never changes, or copy it where that is not possible; its size."""
    try:
        into.parent.mkdir(parents=True, exist_ok=True)
        try:
            os.link(path, into)
        except FileNotFoundError:
            raise TamperedError(f"could not copy {path}: it is missing", hint="run atp verify on the source") from None
        except OSError:
            shutil.copyfile(path, into)
        return into.stat().st_size
    except OSError as error:
        raise _uncopied(path, into, error) from None


def _copy_if_there(path: Path, into: Path) -> None:
    try:
        shutil.copyfile(path, into)
    except FileNotFoundError:
        return
    except OSError as error:
        raise _uncopied(path, into, error) from None


def _uncopied(path: Path, into: Path, error: OSError) -> UnavailableError:
    hint = disk_move(error, into, otherwise="check the permissions of both")
    return UnavailableError(f"could not copy {path} to {into}: {error.strerror}", hint=hint)


def _copy_tree(folder: Path, into: Path, moved: Moved) -> None:
    """All files below a folder, none of which is written to under its name."""
    for path in sorted(folder.rglob("*")):
        if path.is_file() and not path.is_symlink():
            (into / path.relative_to(folder)).parent.mkdir(parents=True, exist_ok=True)
            _copy_if_there(path, into / path.relative_to(folder))
            moved(path.stat().st_size)


def _mark(data: Path, held: Held, backup: str, copied_at: datetime) -> Restored:
    """What the copy says of itself. Its generation is behind that of its source, and of what that may go on as."""
    pending = read_restored(data)
    newest = max(held.generation, pending.generation if pending else 0)
    return Restored(
        format=FORMAT,
        generation=newest + 1,
        logs={log.tenant: CopiedLog(log.size) for log in held.logs},
        backup=backup,
        copied_at=format_instant(int(copied_at.timestamp() * 1_000_000)),
    )


def _check_copy(into: Path) -> None:
    report = check_data_directory(into, Options(level="payload", jobs=cores()))
    if report.is_tampered:
        raise TamperedError(
            f"could not back up the trail: its copy does not verify: {report.first_sentence}",
            hint="run atp verify on the source",
        )
