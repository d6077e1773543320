"""The two files of one tenant's view, read and written as whole records. Absent files are as empty ones."""

import os
import shutil
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from atp.adapters.signatures.bits import BLOCK, FRAMES, ROW, SLICE_BYTES, Records, block_of, whole
from atp.errors import ConflictError

_TAIL_BYTES = 16  # number and checksum, at the end of a record
_NUMBER_BYTES = 8


@dataclass(frozen=True, slots=True)
class Stamp:
    """Tells two states of a file apart."""

    inode: int = 0
    size: int = 0
    changed: int = 0


class SealedFile:
    """`sealed`, open for reading as long as one answer takes; None stands for what cannot be read."""

    def __init__(self, path: Path) -> None:
        try:
            self._descriptor: int | None = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            self._descriptor = None

    def close(self) -> None:
        """Give the descriptor back."""
        if self._descriptor is not None:
            os.close(self._descriptor)

    def frames_with(self, number: int, positions: list[int]) -> int:
        """Which frames of a block have all bits at `positions` set, as a number; what cannot be read has them.

        At most 1 µs a bit.
        """
        common = (1 << FRAMES) - 1
        for position in positions:
            held = self._read(SLICE_BYTES, number * BLOCK.itemsize + position * SLICE_BYTES)
            if held is not None:
                common &= int.from_bytes(held, "little")
            if not common:
                break
        return common

    def block(self, number: int) -> Records | None:
        """A whole block, checked. About 3 ms."""
        data = self._read(BLOCK.itemsize, number * BLOCK.itemsize)
        block = np.frombuffer(data or b"", BLOCK)
        return block if len(whole(block, number=number)) else None

    def count(self) -> int:
        """How many blocks from the first one on have their number."""
        number = 0
        while self._read(_NUMBER_BYTES, (number + 1) * BLOCK.itemsize - _TAIL_BYTES) == number.to_bytes(8, "little"):
            number += 1
        return number

    def _read(self, size: int, offset: int) -> bytes | None:
        if self._descriptor is None:
            return None
        try:
            data = os.pread(self._descriptor, size, offset)
        except OSError:  # a bad sector: as good as damaged
            return None
        return data if len(data) == size else None


class ViewFiles:
    """`open` and `sealed` in one directory. Failures of the disk are OSErrors."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._open, self._sealed = directory / "open", directory / "sealed"

    def stamps(self) -> tuple[Stamp, Stamp]:
        """The states of `open` and `sealed`."""
        return _stamp(self._open), _stamp(self._sealed)

    def sealed(self) -> SealedFile:
        """`sealed`, to be closed by the caller."""
        return SealedFile(self._sealed)

    def rows(self, start: int = 0) -> Records:
        """The rows of `open` from `start` on, unchecked, without one that was cut short."""
        try:
            with self._open.open("rb") as file:
                file.seek(start * ROW.itemsize)
                data = file.read()
        except FileNotFoundError:
            data = b""
        return np.frombuffer(data, ROW, count=len(data) // ROW.itemsize)

    def replace_rows(self, rows: Records) -> None:
        """Make `open` hold these rows and nothing else; without rows there is no file."""
        self._directory.mkdir(parents=True, exist_ok=True)
        if not len(rows):
            self._open.unlink(missing_ok=True)
            return
        aside = self._directory / "open.aside"
        aside.write_bytes(rows.tobytes())
        aside.replace(self._open)

    def append_rows(self, rows: Records) -> Stamp:
        """Add rows behind those in `open`; returns its state then. Not synced: what is lost is followed again."""
        self._directory.mkdir(parents=True, exist_ok=True)
        with self._open.open("ab", buffering=0) as file:
            file.write(rows.view(np.uint8).data)
            return _state(os.fstat(file.fileno()))

    def seal(self, rows: Records) -> None:
        """Turn the full `open`, which holds these rows, into its block. ConflictError when it is of another size."""
        if _stamp(self._open).size != rows.nbytes:
            raise ConflictError(f"could not seal {self._open}: another process changed it")
        self._write(block_of(rows).tobytes(), int(rows["number"][0]) // FRAMES * BLOCK.itemsize)
        self._open.unlink()

    def forget_block(self, number: int) -> None:
        """Let a damaged block no longer have its number: it and what stands behind it is not counted."""
        with suppress(FileNotFoundError):  # dropped meanwhile, to be followed again
            self._write(b"\xff" * _TAIL_BYTES, (number + 1) * BLOCK.itemsize - _TAIL_BYTES, may_create=False)

    def remove(self) -> None:
        """Remove both files."""
        with suppress(FileNotFoundError):
            shutil.rmtree(self._directory)

    def _write(self, data: bytes, offset: int, *, may_create: bool = True) -> None:
        descriptor = os.open(self._sealed, os.O_RDWR | (os.O_CREAT if may_create else 0) | os.O_CLOEXEC, 0o600)
        with open(descriptor, "r+b") as file:
            file.seek(offset)
            file.write(data)
            file.flush()
            os.fsync(file.fileno())


def _stamp(path: Path) -> Stamp:
    try:
        status = path.stat()
    except FileNotFoundError:
        return Stamp()
    return _state(status)


def _state(status: os.stat_result) -> Stamp:
    return Stamp(status.st_ino, status.st_size, status.st_mtime_ns)
