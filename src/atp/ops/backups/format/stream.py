"""A plain stream, whatever it comes out of."""

from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

from atp.limits import REPOSITORY_CHUNK_BYTES


class Plain(Protocol):
    """Bytes to be read once, from the beginning to the end."""

    def read(self, size: int, /) -> bytes:
        """At most `size` bytes; none at the end."""

    def readline(self, size: int, /) -> bytes:
        """At most `size` bytes, up to and with the next line feed."""


def chunks_of(path: Path) -> Iterator[bytes]:
    """The bytes of a file, a chunk at a time."""
    with path.open("rb") as file:
        while chunk := file.read(REPOSITORY_CHUNK_BYTES):
            yield chunk
