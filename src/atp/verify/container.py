"""The files of a bundle: a directory or a .zip, read as streams and within bounds."""

import errno
import os
import zipfile
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import IO, Protocol

from atp.errors import MissingError, TamperedError, UnavailableError
from atp.limits import ENTRY_BYTES_MAX
from atp.verify.source import FileSource, ended_line

_CHUNK_BYTES = 1 << 20
_BROKEN = (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, ValueError, OverflowError)
"""What `zipfile` raises for bytes that are no zip, or not one that it reads."""


Block = Callable[[], bytes]
"""Reads whole lines of a file, about 1 MiB of them; crosses process borders. The last one may not end with a line."""


class Container(Protocol):
    """The files of a bundle, as `Files` and with its errors."""

    def file(self, name: str, *, bytes_max: int) -> bytes:
        """A file, whole."""

    def lines(self, name: str) -> Iterator[bytes]:
        """The lines of a file, without their line feeds; nothing at all when there is no such file."""

    def names(self) -> list[str]:
        """Every file, sorted; one that is there twice is named twice."""

    def chunks(self, name: str) -> Iterator[bytes]:
        """A file in pieces of 1 MiB."""

    def blocks(self, name: str) -> Iterator[Block]:
        """A file of lines in blocks."""


@dataclass(frozen=True, slots=True)
class Folder:
    """A bundle in a directory."""

    directory: Path

    def names(self) -> list[str]:
        """Every file below it."""
        found = (path for path in self.directory.rglob("*") if not path.is_dir())
        return sorted(path.relative_to(self.directory).as_posix() for path in found)

    def file(self, name: str, *, bytes_max: int) -> bytes:
        """One file, whole."""
        return FileSource(self.directory).file(name, bytes_max=bytes_max)

    def lines(self, name: str) -> Iterator[bytes]:
        """One file, line by line."""
        return FileSource(self.directory).lines(name)

    def chunks(self, name: str) -> Iterator[bytes]:
        """One file, piece by piece."""
        try:
            with (self.directory / name).open("rb") as file:
                while chunk := file.read(_CHUNK_BYTES):
                    yield chunk
        except FileNotFoundError:
            raise MissingError("it is missing") from None
        except OSError as error:
            raise UnavailableError(f"could not read {self.directory / name}: {error.strerror}") from None

    def blocks(self, name: str) -> Iterator[Block]:
        """One file, of which only the ends of blocks are read here."""
        path = self.directory / name
        try:
            with path.open("rb") as file:
                size, at = os.fstat(file.fileno()).st_size, 0
                while at < size:
                    file.seek(at + _CHUNK_BYTES)
                    rest = file.readline(2 * ENTRY_BYTES_MAX)
                    end = min(size, at + _CHUNK_BYTES) + len(rest)
                    yield partial(_read_part, path, at, end - at)
                    at = end
        except FileNotFoundError:
            raise MissingError("it is missing") from None
        except OSError as error:
            raise UnavailableError(f"could not read {path}: {error.strerror}") from None


@dataclass(frozen=True, slots=True)
class Zip:
    """A bundle in an open .zip file; its own checksums are checked while it is read."""

    archive: zipfile.ZipFile

    def names(self) -> list[str]:
        """Every file in it."""
        return sorted(info.filename for info in self.archive.infolist() if not info.is_dir())

    def file(self, name: str, *, bytes_max: int) -> bytes:
        """One file, whole."""
        parts, total = list[bytes](), 0
        for chunk in self.chunks(name):
            parts.append(chunk)
            total += len(chunk)
            if total > bytes_max:
                raise TamperedError(f"it has more than {bytes_max} bytes")
        return b"".join(parts)

    def lines(self, name: str) -> Iterator[bytes]:
        """One file, line by line."""
        try:
            with self._open(name) as file:
                while line := file.readline(2 * ENTRY_BYTES_MAX):
                    yield ended_line(line)
        except KeyError:
            return
        except (*_BROKEN, OSError) as error:
            raise _failure(error) from None

    def chunks(self, name: str) -> Iterator[bytes]:
        """One file, piece by piece."""
        try:
            with self._open(name) as file:
                while chunk := file.read(_CHUNK_BYTES):
                    yield chunk
        except KeyError:
            raise MissingError("it is missing") from None
        except (*_BROKEN, OSError) as error:
            raise _failure(error) from None

    def blocks(self, name: str) -> Iterator[Block]:
        """One file, unpacked here."""
        rest = b""
        for chunk in self.chunks(name):
            read = rest + chunk
            end = read.rfind(b"\n") + 1 or len(read)
            yield partial(bytes, read[:end])
            rest = read[end:]
        if rest:
            yield partial(bytes, rest)

    def _open(self, name: str) -> IO[bytes]:
        if self.archive.getinfo(name).compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise TamperedError("it is neither stored nor deflated")
        return self.archive.open(name)


@contextmanager
def open_container(path: Path) -> Iterator[Container]:
    """The files of a directory or a .zip, for as long as the context lasts. TamperedError when it is no zip."""
    if path.is_dir():
        yield Folder(path)
        return
    try:
        archive = zipfile.ZipFile(path)
    except (*_BROKEN, OSError) as error:
        raise _failure(error) from None
    with archive:
        yield Zip(archive)


def _read_part(path: Path, at: int, count: int) -> bytes:
    try:
        with path.open("rb") as file:
            file.seek(at)
            return file.read(count)
    except OSError as error:
        raise UnavailableError(f"could not read {path}: {error.strerror}") from None


def repeated(names: list[str]) -> list[str]:
    """The names that stand there more than once: each reader might read another one."""
    return [name for name, count in Counter(names).items() if count > 1]


def _failure(error: Exception) -> TamperedError | UnavailableError:
    """What is wrong with the bytes of a .zip, places before its begin too; or the disk's fault."""
    if isinstance(error, OSError) and error.errno != errno.EINVAL:
        return UnavailableError(f"could not read the zip: {error.strerror}", hint="check its permissions and the disk")
    return TamperedError(f"it cannot be unpacked: {error}")
