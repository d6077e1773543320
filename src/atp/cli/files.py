"""Writing what a command was asked to write: whole or not at all."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from shutil import rmtree
from tempfile import TemporaryDirectory, mkstemp
from typing import BinaryIO

from atp.errors import ForbiddenError, MissingError, TamperedError
from atp.verify.source import read_file

_MODE = 0o644


@contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """A file that takes the place of `path` when the block ends well, and is gone when it does not.

    ForbiddenError when it cannot be written.
    """
    try:
        handle, name = mkstemp(dir=path.parent, prefix=".", suffix=".tmp")
        try:
            with os.fdopen(handle, "w+b") as file:
                yield file
                file.flush()
                os.fchmod(handle, _MODE)
                os.fsync(handle)
            os.replace(name, path)
        except BaseException:
            os.unlink(name)
            raise
    except OSError as error:
        raise ForbiddenError(f"could not write {path}: {error.strerror}", hint="choose another place") from None


def write_file(path: Path, data: bytes) -> None:
    """Replace a file, whole or not at all. ForbiddenError when it cannot be written."""
    with replacing(path) as file:
        file.write(data)


def make_directory(path: Path) -> None:
    """The directory is there when this returns. ForbiddenError when it cannot be made."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ForbiddenError(f"could not make {path}: {error.strerror}", hint="choose another place") from None


@contextmanager
def beside(path: Path) -> Iterator[Path]:
    """A directory on the same disk as `path`, gone when the block ends. ForbiddenError when it cannot be made."""
    make_directory(path.absolute().parent)
    try:
        folder = TemporaryDirectory(dir=path.absolute().parent, prefix=".", suffix=".tmp")
    except OSError as error:
        raise ForbiddenError(f"could not write {path}: {error.strerror}", hint="choose another place") from None
    with folder as name:
        yield Path(name)


def remove(path: Path) -> None:
    """Remove a file or a directory with all that is in it, if it is there. ForbiddenError when that is not allowed."""
    try:
        if path.is_dir() and not path.is_symlink():
            rmtree(path)
        else:
            path.unlink(missing_ok=True)
    except OSError as error:
        raise ForbiddenError(f"could not replace {path}: {error.strerror}", hint="choose another place") from None


def read_given(path: Path, bytes_max: int) -> bytes:
    """A file that a person named. MissingError, ForbiddenError when it is too long for what it should be."""
    try:
        return read_file(path, bytes_max=bytes_max)
    except MissingError:
        raise MissingError(f"could not read {path}: it does not exist", hint="check the path") from None
    except TamperedError as error:
        raise ForbiddenError(f"could not read {path}: {error}") from None
