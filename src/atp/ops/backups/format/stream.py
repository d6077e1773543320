"""A plain stream, whatever it comes out of."""

from typing import Protocol


class Plain(Protocol):
    """Bytes to be read once, from the beginning to the end."""

    def read(self, size: int, /) -> bytes:
        """At most `size` bytes; none at the end."""

    def readline(self, size: int, /) -> bytes:
        """At most `size` bytes, up to and with the next line feed."""
