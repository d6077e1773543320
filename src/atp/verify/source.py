"""Where stored tiles and bundles come from; a source gives bytes of the right form and says nothing about their truth."""

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from atp.errors import MissingError, TamperedError, UnavailableError
from atp.limits import ENTRY_BYTES_MAX, FRAME_ENTRIES, TILE_WIDTH
from atp.merkle.entries import decode_entries, encode_entries
from atp.merkle.tiles import EntryBundle, Tile

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

BUNDLE_BYTES_MAX = TILE_WIDTH * (2 + ENTRY_BYTES_MAX)
NOTE_FILE_BYTES_MAX = 1_000_000
_FRAME_BYTES_MAX = FRAME_ENTRIES * (2 + ENTRY_BYTES_MAX)
_FRAMES = TILE_WIDTH // FRAME_ENTRIES


class Files(Protocol):
    """Reads files by name. MissingError when there is none, TamperedError when it cannot be one, UnavailableError."""

    def file(self, name: str, *, bytes_max: int) -> bytes:
        """A file, whole."""

    def lines(self, name: str) -> Iterator[bytes]:
        """The lines of a file, without their line feeds; nothing at all when there is no such file."""


class Source(Files, Protocol):
    """Reads one log, with the errors of `Files`; crosses process borders, so it holds no open file."""

    def tile(self, tile: Tile) -> bytes:
        """The hashes of a tile, exactly as many as its width says."""

    def bundle(self, bundle: EntryBundle) -> bytes:
        """The plain bytes of an entry bundle."""

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
        """From its own file, or as the beginning of the full bundle."""
        if self.is_packed:
            return unpack_bundle(self.file(self.bundle_path(bundle), bytes_max=2 * BUNDLE_BYTES_MAX))
        data = self._read_partial(bundle.path, EntryBundle(bundle.index).path, bytes_max=BUNDLE_BYTES_MAX)
        return cut_bundle(bundle, data)

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
        with path.open("rb") as file:
            data = file.read(bytes_max + 1)
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
        raise MissingError("it is missing") from None
    except OSError as error:
        raise _unreadable(path, error) from None
    if len(data) > bytes_max:
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
        raise TamperedError(f"its line {line[:40]!r} is too long, or cut off")
    return line[:-1]


def cut_tile(tile: Tile, data: bytes) -> bytes:
    """The first hashes of the full tile, or all of the partial one; TamperedError for any other length."""
    if len(data) == TILE_WIDTH * 32:
        return data[: tile.bytes_total]
    if len(data) != tile.bytes_total:
        raise TamperedError(f"it has {len(data)} bytes instead of {tile.bytes_total}")
    return data


def cut_bundle(bundle: EntryBundle, data: bytes) -> bytes:
    """The first entries of the full bundle, or the partial one as it is. TamperedError when it cannot be cut."""
    if bundle.width == TILE_WIDTH:
        return data
    entries = decode_entries(data)
    return encode_entries(entries[: bundle.width]) if len(entries) == TILE_WIDTH else data


def unpack_bundle(stored: bytes) -> bytes:
    """The plain bytes of a stored full bundle: exactly four zstd frames (RFC 8878), each of a known, bounded size.

    TamperedError when they are not that. The frames carry checksums, so that damage seldom reaches the hashes.
    """
    parts, at, view = list[bytes](), 0, memoryview(stored)
    try:
        for _ in range(_FRAMES):
            size = zstd.get_frame_info(view[at:]).decompressed_size
            if size is None or size > _FRAME_BYTES_MAX:
                raise TamperedError(f"its frame at byte {at} does not say a size up to {_FRAME_BYTES_MAX}")
            end = at + zstd.get_frame_size(view[at:])
            parts.append(zstd.decompress(view[at:end]))
            at = end
    except zstd.ZstdError as error:
        raise TamperedError(f"it cannot be unpacked from byte {at} on: {error}") from None
    if at != len(stored):
        raise TamperedError(f"it has {len(stored) - at} bytes after its four frames")
    return b"".join(parts)


def _unreadable(path: Path, error: OSError) -> UnavailableError:
    return UnavailableError(f"could not read {path}: {error.strerror}", hint="check its permissions and the disk")
