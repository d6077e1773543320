"""Restoring a backup: decrypted and unpacked aside, checked against the inner manifest, and only then given its name.

Whatever fails before that last step leaves everything as it was. What a restore that died left aside, the next one to
the same place removes.
"""

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from atp.durable import sync_directory, sync_file_system
from atp.errors import ConflictError, InvalidError, RefusedError, TamperedError
from atp.ops.backups.act.kinds.shape import Arrival
from atp.ops.backups.act.listing import Listed
from atp.ops.backups.act.parts import Moved, Source, read_parts, unwatched
from atp.ops.backups.act.step import Data, Record, Step, carry_out
from atp.ops.backups.act.verifying import check_head, diagnosed
from atp.ops.backups.act.workplace import held, remove_tree, telling
from atp.ops.backups.format.contents import ContentsReader
from atp.ops.backups.format.manifest import Manifest
from atp.ops.backups.format.seal import Identity, unsealed

_DATA = "data"
_SIBLINGS = ("-wal", "-shm", "-journal")


@dataclass(frozen=True, slots=True)
class Target:
    """Where a restore goes, and what stands there now. `replaced`: what the caller named to be moved away."""

    place: Path
    standing: tuple[Path, ...]
    is_replaced: bool = False


@dataclass(slots=True)
class Restored:
    """What a restore gave; `kept_as`: where what stood there before is now, `told`: what its kind says of it."""

    backup: str
    place: str
    entries: int = 0
    total_bytes: int = 0
    kept_as: list[str] = field(default_factory=list)
    told: list[str] = field(default_factory=list)


def observe_target(place: Path, *, kind: str, replace: Path | None) -> Target:
    """What stands at a place. Of a database the files beside it count too: SQLite would apply an old journal to a new
    database. InvalidError when what is to be replaced is another place."""
    place = Path(os.path.abspath(place))
    if replace is not None and Path(os.path.abspath(replace)) != place:
        raise InvalidError(f"could not replace {replace}: the restore goes to {place}", hint="name the same twice")
    names = [place, *(place.with_name(place.name + end) for end in _SIBLINGS if kind == "sqlite")]
    is_free = place.is_dir() and not place.is_symlink() and kind != "sqlite" and not any(place.iterdir())
    standing = () if is_free else tuple(name for name in names if os.path.lexists(name))
    return Target(place, standing, replace is not None)


def check_whole(listed: Listed) -> Manifest:
    """The manifest of a backup of which all is there; TamperedError when it is not. Pure."""
    if listed.manifest is None or listed.faults:
        raise TamperedError(
            f"could not restore backup {listed.backup}: {listed.faults[0]}", hint="choose another: atp backup list"
        )
    return listed.manifest


def plan(manifest: Manifest, target: Target, arrival: Arrival) -> list[Step]:
    """The steps of a restore. Pure. ConflictError when something stands there that nobody named."""
    if target.standing and not target.is_replaced:
        raise ConflictError(
            f"could not restore to {target.place}: {target.standing[0]} exists",
            hint=f"name a new place, or --replace {target.place}",
        )
    steps = [
        Step("fetch", f"decrypt {manifest.stored_bytes:,} stored bytes aside, in {aside_of(target.place)}"),
        Step("check", "hold every restored byte against the inner manifest, while the disk takes them for good"),
        *arrival.steps,
    ]
    if target.standing:
        kept = ", ".join(str(_kept_as(path, manifest)) for path in target.standing)
        steps.append(Step("move", f"move what stands there to {kept}"))
    return [*steps, Step("place", f"give it its name, {target.place}")]


def aside_of(place: Path) -> Path:
    """Where a restore works: beside its place, so that a rename ends it."""
    return place.with_name(f".{place.name}.restoring")


@dataclass(slots=True)
class Restore:
    """One restore: the steps of `plan` as methods. `moved` gets bytes."""

    repository: Source
    manifest: Manifest
    target: Target
    arrival: Arrival
    identities: Sequence[Identity]
    moved: Moved
    restored: Restored
    _members: int = 0

    def carry_out(self, steps: Sequence[Step], *, record: Record) -> Restored:
        """Do the steps. UnauthorizedError: the key does not fit; TamperedError: it is not what was backed up;
        MissingError: a part is gone; UnavailableError: the repository or the disk."""
        doing: dict[str, Callable[[], Data | None]] = {
            "fetch": self._fetch,
            "check": self._check,
            **self.arrival.doing(self._data),
            "move": self._move,
            "place": self._place,
        }
        with _told(self._aside.parent), held(self._aside, what=f"restore to {self.target.place}: another is at it"):
            for left in self._aside.iterdir():
                remove_tree(left)
            carry_out(steps, doing, record=record)
            remove_tree(self._aside)
        self.restored.told += self.arrival.told
        if self.manifest.gone_by:
            since = f"{self.arrival.reaches_to:%Y-%m-%d %H:%M:%SZ}"
            self.restored.told.append(f"destroy again every key that was destroyed since {since}: it came back")
        return self.restored

    @property
    def _aside(self) -> Path:
        return aside_of(self.target.place)

    @property
    def _data(self) -> Path:
        return self._aside / _DATA

    def _fetch(self) -> Data:
        stored = read_parts(self.repository, self.manifest, self.manifest.data, moved=self.moved)
        with self._diagnosed(), _told(self._data), unsealed(stored, identities=self.identities) as plain:
            self._members = self.arrival.receive(plain, self._data)
        return {"members": self._members}

    def _check(self) -> Data:
        stored = read_parts(self.repository, self.manifest, self.manifest.contents, moved=unwatched)
        sealed = unsealed(stored, identities=self.identities)
        with self._diagnosed(), _told(self._data), _syncing(self._aside), sealed as lines:
            contents = ContentsReader(lines)
            check_head(contents, self.manifest)
            count = self.arrival.check(self._data, contents)
            assert contents.tail is not None
        if count != self._members:
            raise TamperedError(f"could not accept the restore: {self._members:,} members, and {count:,} are listed")
        self.restored.entries, self.restored.total_bytes = count, contents.tail.total_bytes
        return {"entries": count, "total_bytes": contents.tail.total_bytes}

    def _move(self) -> Data:
        for path in self.target.standing:
            kept = _kept_as(path, self.manifest)
            if os.path.lexists(kept):
                raise ConflictError(f"could not move {path} away: {kept} exists", hint="move it elsewhere first")
        for path in self.target.standing:
            path.rename(_kept_as(path, self.manifest))
            self.restored.kept_as.append(str(_kept_as(path, self.manifest)))
        return {"kept_as": self.restored.kept_as}

    def _place(self) -> Data:
        with _told(self.target.place):
            if self.manifest.kind == "sqlite" and os.path.lexists(self.target.place):
                raise ConflictError(f"could not restore to {self.target.place}: something came there meanwhile")
            for left in self._aside.iterdir():
                if left != self._data:
                    remove_tree(left)  # a death after the rename leaves nothing in plain beside it
            os.rename(self._data, self.target.place)
            sync_directory(self.target.place.parent)
        return {"place": str(self.target.place)}

    @contextmanager
    def _diagnosed(self) -> Iterator[None]:
        try:
            yield
        except (TamperedError, RefusedError) as error:
            raise diagnosed(self.repository, self.manifest, error) from None


@contextmanager
def _syncing(place: Path) -> Iterator[None]:
    """Make durable what was written there meanwhile: the disk is busy with that, and nobody else is."""
    with ThreadPoolExecutor(1, thread_name_prefix="sync") as pool:
        synced = pool.submit(_sync, place)
        yield
        synced.result()


def _sync(place: Path) -> None:
    if not sync_file_system(place):
        os.sync()


def _kept_as(path: Path, manifest: Manifest) -> Path:
    return path.with_name(f"{path.name}.before-{manifest.backup}")


def _told(place: Path) -> AbstractContextManager[None]:
    return telling(f"restore to {place}", place=place, otherwise="choose another place")
