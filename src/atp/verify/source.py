"""Where stored tiles and bundles come from: a source gives bytes of the right form and says nothing of their truth."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from atp.errors import MalformedError, MissingError, TamperedError, UnavailableError
from atp.limits import ENTRY_BYTES_MAX, TILE_WIDTH
from atp.merkle.entries import decode_entries, encode_entries
from atp.merkle.tiles import EntryBundle, Tile
from atp.verify.packed import salvage_frames, unpack_bundle

BUNDLE_BYTES_MAX = TILE_WIDTH * (2 + ENTRY_BYTES_MAX)
NOTE_FILE_BYTES_MAX = 1_000_000


class Files(Protocol):
    """Reads files by name. MissingError when there is none, TamperedError when it cannot be one, UnavailableError."""

    def file(self, name: str, *, bytes_max: int) -> bytes:
        """A file, whole."""

    def lines(self, name: str) -> Iterator[bytes]:
        """The lines of a file, without their line feeds; nothing at all when there is no such file."""


class Source(Protocol):
    """Reads one log, as `Files` and with its errors; crosses process borders, so it holds no open file."""

    def file(self, name: str, *, bytes_max: int) -> bytes:
        """A file, whole."""

    def lines(self, name: str) -> Iterator[bytes]:
        """The lines of a file, without their line feeds; nothing at all when there is no such file."""

    def tile(self, tile: Tile) -> bytes:
        """The hashes of a tile, exactly as many as its width says."""

    def bundle(self, bundle: EntryBundle) -> bytes:
        """The plain bytes of an entry bundle."""

    def parts(self, bundle: EntryBundle) -> Iterator[bytes]:
        """The same in parts that end between entries, each read when it is asked for."""

    def salvage(self, bundle: EntryBundle) -> bytes:
        """The beginning of a bundle that cannot be read whole, unchecked: for finding the first entry that is wrong."""

    def bundle_path(self, bundle: EntryBundle) -> str:
        """What to call a bundle in a finding."""


@dataclass(frozen=True, slots=True)
class FileSource:
    """A log in a directory. With `is_packed` its bundles are stored compressed, and only full tiles are stored."""

    directory: Path
    is_packed: bool = False

    def tile(self, tile: Tile) -> bytes:
        """From its own file, or as the beginning of the full tile: a log may drop a partial one once it is full."""
        data = self._read_partial(tile.path, Tile(tile.level, tile.index).path, bytes_max=TILE_WIDTH * 32)
        return cut_tile(tile, data)

    def bundle(self, bundle: EntryBundle) -> bytes:
        """All its parts."""
        return b"".join(self.parts(bundle))

    def parts(self, bundle: EntryBundle) -> Iterator[bytes]:
        """From its own file, frame by frame, or as the beginning of the full bundle."""
        if self.is_packed:
            yield from unpack_bundle(self.file(self.bundle_path(bundle), bytes_max=2 * BUNDLE_BYTES_MAX))
            return
        data = self._read_partial(bundle.path, EntryBundle(bundle.index).path, bytes_max=BUNDLE_BYTES_MAX)
        yield cut_bundle(bundle, data)

    def salvage(self, bundle: EntryBundle) -> bytes:
        """What its frames hold up to the first one that is broken."""
        if not self.is_packed:
            return b""
        return salvage_frames(self.file(self.bundle_path(bundle), bytes_max=2 * BUNDLE_BYTES_MAX))

    def bundle_path(self, bundle: EntryBundle) -> str:
        """Its path, with the suffix of the packed form."""
        return f"{bundle.path}.zst" if self.is_packed else bundle.path

    def file(self, name: str, *, bytes_max: int) -> bytes:
        """One file, whole."""
        return read_file(self.directory / name, bytes_max=bytes_max)

    def lines(self, name: str) -> Iterator[bytes]:
        """One file, line by line."""
        return read_lines(self.directory / name)

    def _read_partial(self, path: str, full_path: str, *, bytes_max: int) -> bytes:
        try:
            return self.file(path, bytes_max=bytes_max)
        except MissingError:
            if path == full_path:
                raise
            return self.file(full_path, bytes_max=bytes_max)


def read_file(path: Path, *, bytes_max: int) -> bytes:
    """A file of at most so many bytes. MissingError, TamperedError (too long), UnavailableError (not readable)."""
    try:
        with path.open("rb", buffering=0) as file:
            size = os.fstat(file.fileno()).st_size
            # Reading up to the bound would make room for all of it, however small the file is.
            data = file.read(size) if size <= bytes_max else b""
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
        raise MissingError("it is missing") from None
    except OSError as error:
        raise _unreadable(path, error) from None
    if size > bytes_max:
        raise TamperedError(f"it has more than {bytes_max} bytes")
    return data


def read_lines(path: Path, *, line_bytes_max: int = 2 * ENTRY_BYTES_MAX) -> Iterator[bytes]:
    """The lines of a file, nothing when it is not there. TamperedError for a line that is too long or not ended."""
    try:
        with path.open("rb") as file:
            while line := file.readline(line_bytes_max):
                yield ended_line(line)
    except FileNotFoundError:
        return
    except OSError as error:
        raise _unreadable(path, error) from None


def ended_line(line: bytes) -> bytes:
    """The line without its line feed; TamperedError when it has none: too long, or cut off."""
    if not line.endswith(b"\n"):
        raise TamperedError(unended(line))
    return line[:-1]


def unended(line: bytes) -> str:
    """What is wrong with a line that has no line feed."""
    return f"its line {line[:40]!r} is too long, or cut off"


def cut_tile(tile: Tile, data: bytes) -> bytes:
    """The first hashes of the full tile, or all of the partial one; TamperedError for any other length."""
    if len(data) == TILE_WIDTH * 32:
        return data[: tile.bytes_total]
    if len(data) != tile.bytes_total:
        raise TamperedError(f"it has {len(data)} bytes instead of {tile.bytes_total}")
    return data


def cut_bundle(bundle: EntryBundle, data: bytes) -> bytes:
    """The first entries of the full bundle, or the partial one as it is, and so is one that is cut off."""
    if bundle.width == TILE_WIDTH:
        return data
    try:
        entries = decode_entries(data)
    except MalformedError:
        return data  # who reads entry after entry finds where
    return encode_entries(entries[: bundle.width]) if len(entries) == TILE_WIDTH else data


def _unreadable(path: Path, error: OSError) -> UnavailableError:
    return UnavailableError(f"could not read {path}: {error.strerror}", hint="check its permissions and the disk")
