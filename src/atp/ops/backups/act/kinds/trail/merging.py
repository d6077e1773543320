"""An increment over a copy of a trail: new objects beside the old ones, and everything else replaced.

An object never changes, so one that comes again has to be the same. All that is no object is in every increment, so
what the copy had of it goes first. Nothing of an increment is believed but names that a trail has.
"""

import os
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from atp.errors import RefusedError, TamperedError
from atp.limits import FOLLOWED_PLAIN_BYTES_MIN, FOLLOWED_PLAIN_RATIO_MAX
from atp.ops.backups.act.kinds.trail.increments import Increment, stored
from atp.ops.backups.act.parts import unwatched
from atp.ops.backups.act.workplace import remove_tree, writing
from atp.ops.backups.format.archive import ArchiveReader
from atp.ops.backups.format.checking import file_sha256
from atp.ops.backups.format.seal import Identity, unsealed
from atp.ops.backups.format.stream import Plain
from atp.ops.backups.format.unpacking import unpack
from atp.ports.repository import Repository

_OBJECT = re.compile(r"logs/[^/]+/tile/.+")
_OTHER = re.compile(
    r"order\.db|FORMAT|installation|stopped\.json|RESTORED(\.[0-9]+)?|evidence/.+|logs/[^/]+/(vkey|checkpoint|packs/.+)"
)


def is_object(path: str) -> bool:
    """Whether this is written once: a tile or a bundle."""
    return _OBJECT.fullmatch(path) is not None


def is_other(path: str) -> bool:
    """Whether this is something that a copy of a trail has besides, and that every increment brings anew."""
    return _OTHER.fullmatch(path) is not None


def plain_bytes_max(stored_bytes: int) -> int:
    """What comes out of so many stored bytes at most."""
    return FOLLOWED_PLAIN_BYTES_MIN + FOLLOWED_PLAIN_RATIO_MAX * stored_bytes


def bring_forward(
    repository: Repository,
    following: Iterable[Increment],
    dataset: str,
    identities: Sequence[Identity],
    data: Path,
) -> int:
    """Bring a copy forward by increments, in order; how many objects came with them.

    TamperedError when one is not what was stored, holds what no trail has, or another object than the copy has;
    MissingError when it is gone. Needs room for one increment beside the copy, and a walk through the copy.
    """
    objects, others = 0, list[Path]()
    with writing(data):
        _clear(data)
        for one in following:
            aside = _fetch(repository, one, dataset, identities, data)
            for path in others:
                path.unlink()
            names = _names(aside, one)
            objects += sum(map(is_object, names))
            others = [data / name for name in names if not is_object(name)]
            for name in names:
                _place(aside / name, data / name, one)
            remove_tree(aside)
        os.sync()
    return objects


def read_through(repository: Repository, one: Increment, dataset: str, identities: Sequence[Identity]) -> None:
    """Read an increment for its errors alone; without a key as it is stored. Bounded memory, no disk."""
    if not identities:
        for _ in stored(repository, one, dataset):
            pass
        return
    with _opened(repository, one, dataset, identities) as plain:
        for _ in ArchiveReader(plain).members():
            pass


def _fetch(repository: Repository, one: Increment, dataset: str, identities: Sequence[Identity], data: Path) -> Path:
    aside = data.with_name("increment")
    remove_tree(aside)
    aside.mkdir(mode=0o700)
    with _opened(repository, one, dataset, identities) as plain:
        unpack(plain, aside, moved=unwatched)
    return aside


@contextmanager
def _opened(repository: Repository, one: Increment, dataset: str, identities: Sequence[Identity]) -> Iterator[Plain]:
    """The archive of an increment. When it cannot be read, and its bytes are not those that were stored, that is told
    as the cause."""
    try:
        with unsealed(stored(repository, one, dataset), identities=identities) as plain:
            yield _Bounded(plain, plain_bytes_max(one.size_bytes))
    except (TamperedError, RefusedError):
        read_through(repository, one, dataset, ())
        raise


@dataclass(slots=True)
class _Bounded:
    """A plain stream that ends in a TamperedError when more than this comes out of it."""

    plain: Plain
    left: int

    def read(self, size: int, /) -> bytes:
        """See Plain."""
        return self._counted(self.plain.read(size))

    def readline(self, size: int, /) -> bytes:
        """See Plain."""
        return self._counted(self.plain.readline(size))

    def _counted(self, chunk: bytes) -> bytes:
        self.left -= len(chunk)
        if self.left < 0:
            raise TamperedError("could not read the increment: far more comes out of it than can have gone in")
        return chunk


def _clear(data: Path) -> None:
    """Remove all that is no object, and refuse links: nothing may lead out of the copy while it is written to."""
    for name in _files(data):
        if (data / name).is_symlink():
            raise TamperedError(f"could not bring the copy forward: {name!r} is a link, which no trail has")
        if not is_object(name):
            (data / name).unlink()


def _names(aside: Path, one: Increment) -> list[str]:
    """The files of an increment, each of a name and a kind that a trail has."""
    names = sorted(_files(aside))
    for name in names:
        is_plain = not (aside / name).is_symlink() and (aside / name).is_file()
        if not is_plain or not (is_object(name) or is_other(name)):
            raise TamperedError(f"could not use increment {one.words}: {name[:200]!r} is nothing that a trail has")
    return names


def _files(root: Path) -> Iterator[str]:
    """All that is no directory, links to directories included, by the path below the root."""
    for folder, folders, files in os.walk(root):
        links = [name for name in folders if os.path.islink(os.path.join(folder, name))]
        for name in (*files, *links):
            yield os.path.relpath(os.path.join(folder, name), root)


def _place(new: Path, place: Path, one: Increment) -> None:
    """Give a file its name in the copy; what is there already is the same, and stays."""
    if not place.exists():
        place.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        new.rename(place)
    elif file_sha256(new, moved=unwatched) != file_sha256(place, moved=unwatched):
        raise TamperedError(
            f"could not use increment {one.words}: its {place.name} is another one than that of the copy",
            hint="a newer backup, or --at before it",
        )
