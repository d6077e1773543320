"""Objects as files under one root directory: written aside, synced, then linked to their name."""

import contextlib
import errno
import os
import secrets
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from atp.durable import disk_move, sync_directory, sync_file_system
from atp.errors import AtpError, MissingError, TamperedError, UnavailableError
from atp.ports.object_store import check_key

_MANY = 4  # files in one call that are worth a sync of the whole file system
_ASIDE = ".aside"  # unfinished files; no key can name it
_ASIDE_SECONDS_MAX = 3_600  # an older file there was left by a crash; a younger one may be another process at work
_HINTS = {
    errno.EACCES: "give this process's user the right to it",
    errno.EPERM: "give this process's user the right to it",
    errno.EMFILE: "raise the limit of open files (ulimit -n)",
}


class FilesystemObjectStore:
    """The ObjectStore port on a directory of one file system; the key is the path.

    A crash at any moment leaves whole objects, or none, under their names. What it leaves aside is removed when the
    store is opened an hour later. One object costs two syncs, many are synced by a pool of 8 threads.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._durable: set[Path] = set()  # directories whose own names are synced, so that only what is in them need be
        with _told("open", str(root), root):
            (root / _ASIDE).mkdir(parents=True, exist_ok=True)
            sync_directory(root.parent)
            _remove_leftovers(root / _ASIDE)

    def put(self, objects: Mapping[str, bytes]) -> None:
        """See ObjectStore. Each directory is synced once, and many files by one sync of their file system: that costs a
        tenth of as many syncs, and waits for whatever else is being written there."""
        for key in objects:
            check_key(key)
        faults = list[AtpError]()
        with _told("store", ", ".join([*objects][:2]), self._root), contextlib.ExitStack() as stack:
            asides = {key: stack.enter_context(self._aside(data)) for key, data in self._new(objects, faults)}
            _sync_files([*asides.values()], root=self._root)
            for key, aside in asides.items():
                _link(aside, self._path(key))
        self._sync_directories(objects)
        for fault in faults:
            raise fault

    def replace(self, key: str, data: bytes) -> None:
        """See ObjectStore."""
        check_key(key)
        with _told("replace", key, self._root), self._aside(data) as aside:
            _sync_files([aside], root=self._root)
            path = self._path(key)
            path.parent.mkdir(parents=True, exist_ok=True)
            os.replace(aside, path)
        self._sync_directories([key])

    def get(self, key: str) -> bytes:
        """See ObjectStore."""
        check_key(key)
        with _told("read", key, self._root):
            return self._path(key).read_bytes()

    def keys(self, prefix: str) -> Iterator[str]:
        """See ObjectStore. Lazy: an object that is stored meanwhile may be left out."""
        if prefix:
            check_key(prefix.removesuffix("/"))
        top = self._root / prefix.rpartition("/")[0]
        for directory, names, files in os.walk(top, onerror=_raise_unless_missing):
            if directory == str(self._root):
                names.remove(_ASIDE)
            below = Path(directory).relative_to(self._root)
            for name in files:
                key = (below / name).as_posix()
                if key.startswith(prefix):
                    yield key

    def _path(self, key: str) -> Path:
        return self._root / key

    def _new(self, objects: Mapping[str, bytes], faults: list[AtpError]) -> Iterator[tuple[str, bytes]]:
        """The objects that are not stored yet. One that is stored with other bytes is a fault; the rest goes on."""
        for key, data in objects.items():
            try:
                is_new = not _is_stored(self._path(key), data)
            except TamperedError as error:
                faults.append(error)
                continue
            if is_new:
                yield key, data

    @contextlib.contextmanager
    def _aside(self, data: bytes) -> Iterator[str]:
        """A file of `data` that nobody sees, not yet synced; it is gone afterwards unless it was renamed."""
        path = f"{self._root}/{_ASIDE}/{secrets.token_hex(8)}"
        try:
            _write(path, data)
            yield path
        finally:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(path)

    def _sync_directories(self, keys: Iterable[str]) -> None:
        for directory in {(self._root / key).parent for key in keys}:
            with _told("sync", str(directory), self._root):
                sync_directory(directory)
            self._sync_above(directory)

    def _sync_above(self, directory: Path) -> None:
        """All the way up, once: a directory may have been made by a call that crashed before it synced the parent."""
        new = []
        while directory != self._root and directory not in self._durable:
            new.append(directory)
            directory = directory.parent
        for directory in reversed(new):
            with _told("sync", str(directory.parent), self._root):
                sync_directory(directory.parent)
            self._durable.add(directory)


def _is_stored(path: Path, data: bytes) -> bool:
    """Whether the file exists with exactly these bytes. TamperedError when it holds others."""
    try:
        stored = path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return False
    if stored != data:
        raise TamperedError(
            f"could not store {path}: it exists with other bytes, {len(stored):,} instead of {len(data):,}",
            hint="keep both, run `atp verify` and find out who wrote there",
        )
    return True


def _link(aside: str, path: Path) -> None:
    """Give the file its name, which must be free: unlike a rename, a link never replaces."""
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.link(aside, path)
    except FileExistsError:
        _is_stored(path, Path(aside).read_bytes())


def _write(path: str, data: bytes) -> None:
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
    try:
        view = memoryview(data)
        while view:
            view = view[os.write(file, view) :]
    finally:
        os.close(file)


def _sync_files(paths: Sequence[str], *, root: Path) -> None:
    """Make the contents of files below `root` durable."""
    if len(paths) >= _MANY and sync_file_system(root):
        return
    for path in paths:
        with _opened(path) as file:
            os.fsync(file)


@contextlib.contextmanager
def _opened(path: str | Path) -> Iterator[int]:
    file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        yield file
    finally:
        os.close(file)


def _remove_leftovers(aside: Path) -> None:
    for entry in os.scandir(aside):
        with contextlib.suppress(FileNotFoundError):
            if time.time() - entry.stat().st_mtime > _ASIDE_SECONDS_MAX:
                os.unlink(entry.path)


def _raise_unless_missing(error: OSError) -> None:
    if not isinstance(error, FileNotFoundError | NotADirectoryError):
        raise UnavailableError(
            f"could not list {error.filename}: {error.strerror}", hint=_hint(error, Path(error.filename))
        ) from None


@contextlib.contextmanager
def _told(verb: str, thing: str, root: Path) -> Iterator[None]:
    """Turn the operating system's errors into the platform's."""
    try:
        yield
    except (FileNotFoundError, IsADirectoryError, NotADirectoryError) as error:
        if verb != "read":
            raise UnavailableError(f"could not {verb} {thing!r}: {error.strerror}", hint=_hint(error, root)) from None
        raise MissingError(f"could not read {thing!r}: there is no such object") from None
    except OSError as error:
        raise UnavailableError(f"could not {verb} {thing!r}: {error.strerror}", hint=_hint(error, root)) from None


def _hint(error: OSError, place: Path) -> str:
    return disk_move(error, place, otherwise=_HINTS.get(error.errno or 0, "check the file system, then repeat"))
