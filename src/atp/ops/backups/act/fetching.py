"""Parts that stay on this machine until a restore has ended, so that one that was cut off fetches only the rest."""

from collections.abc import Iterator
from contextlib import AbstractContextManager
from hashlib import sha256
from pathlib import Path

from atp.ops.backups.act.parts import Source, unwatched
from atp.ops.backups.act.workplace import telling
from atp.ops.backups.format.checking import file_sha256
from atp.ops.backups.format.manifest import Manifest, Part
from atp.ops.backups.format.stream import chunks_of


class FetchedParts:
    """Reads the parts of a backup through a directory: FOLDER/BACKUP.PART, encrypted as they are stored.

    A part is used again when its digest fits, and fetched again when it does not. Costs the stored bytes on that disk,
    and a second reading of each. UnavailableError when the directory does not take them.
    """

    def __init__(self, source: Source, manifest: Manifest, folder: Path) -> None:
        self._source = source
        self._parts = {manifest.prefix + part.name: part for part in manifest.parts()}
        self._backup = manifest.backup
        self._folder = folder
        with _told(folder):
            folder.mkdir(mode=0o700, exist_ok=True)

    def read(self, name: str) -> Iterator[bytes]:
        """See Repository."""
        part = self._parts[name]
        path = self._path(part)
        with _told(path):
            is_here = path.is_file() and file_sha256(path, moved=unwatched) == part.sha256
        return _chunks(path) if is_here else self._fetched(name, path, part)

    def remove(self) -> None:
        """Remove what was fetched, and the directory when nothing else is in it."""
        with _told(self._folder):
            for part in self._parts.values():
                self._path(part).unlink(missing_ok=True)
            if not any(self._folder.iterdir()):
                self._folder.rmdir()

    def _path(self, part: Part) -> Path:
        return self._folder / f"{self._backup}.{part.name}"

    def _fetched(self, name: str, path: Path, part: Part) -> Iterator[bytes]:
        aside, digest = path.with_name(path.name + ".unfinished"), sha256()
        with _told(path), aside.open("wb") as file:
            for chunk in self._source.read(name):
                digest.update(chunk)
                file.write(chunk)
                yield chunk
        with _told(path):
            aside.replace(path) if digest.hexdigest() == part.sha256 else aside.unlink()


def _chunks(path: Path) -> Iterator[bytes]:
    with _told(path):
        yield from chunks_of(path)


def _told(path: Path) -> AbstractContextManager[None]:
    return telling(f"keep fetched parts in {path}", place=path, otherwise="restore without --parts")
