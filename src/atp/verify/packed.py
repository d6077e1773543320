"""Stored full bundles: four concatenated zstd frames (RFC 8878) with checksums, 64 entries of bundle bytes in each."""

import sys
from collections.abc import Iterator

from atp.errors import TamperedError
from atp.limits import ENTRY_BYTES_MAX, FRAME_ENTRIES, TILE_WIDTH

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

_FRAME_BYTES_MAX = FRAME_ENTRIES * (2 + ENTRY_BYTES_MAX)
_FRAMES = TILE_WIDTH // FRAME_ENTRIES
_CHECKSUM_BYTES = 4


def unpack_bundle(stored: bytes) -> Iterator[bytes]:
    """The plain bytes of exactly four frames, each of a size that it says and that is bounded; TamperedError if not.

    The checksums catch most damage before the hashes do. Each frame is unpacked when it is asked for.
    """
    at, view = 0, memoryview(stored)
    for _ in range(_FRAMES):
        try:
            end = _frame_end(view, at)
            plain = zstd.decompress(view[at:end])
        except zstd.ZstdError as error:
            raise TamperedError(f"it cannot be unpacked from byte {at} on: {error}") from None
        yield plain
        at = end
    if at != len(stored):
        raise TamperedError(f"it has {len(stored) - at} bytes after its four frames")


def salvage_frames(stored: bytes) -> bytes:
    """The plain bytes up to and including the first frame that is broken, as far as it yields any; never raises."""
    parts, at, view = list[bytes](), 0, memoryview(stored)
    while at < len(stored):
        try:
            end = _frame_end(view, at)
            # Without its checksum a frame is not finished, and what it holds so far is not refused.
            parts.append(zstd.ZstdDecompressor().decompress(view[at : end - _CHECKSUM_BYTES], _FRAME_BYTES_MAX))
            zstd.decompress(view[at:end])
        except (zstd.ZstdError, TamperedError):
            break
        at = end
    return b"".join(parts)


def _frame_end(view: memoryview, at: int) -> int:
    """Where the frame that begins at `at` ends; TamperedError when it does not say a bounded size of its content."""
    # The type stubs leave out that a frame need not say it.
    size: int | None = zstd.get_frame_info(view[at:]).decompressed_size
    if size is None or size > _FRAME_BYTES_MAX:
        raise TamperedError(f"its frame at byte {at} does not say a size up to {_FRAME_BYTES_MAX}")
    return at + zstd.get_frame_size(view[at:])
