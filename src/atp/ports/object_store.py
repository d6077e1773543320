"""Immutable objects by key: tiles, bundles, checkpoints, exports. Not trusted: readers check what they get.

Keys are relative POSIX paths (`logs/acme/tile/0/000`); `check_key` says which.
"""

from collections.abc import Iterator, Mapping
from typing import Protocol

from atp.errors import MalformedError


def check_key(key: str) -> None:
    """MalformedError unless `key` is names of printable characters with single slashes between them, none of which
    begins with a dot: so no key leaves its root, and the store has names of its own."""
    if not key.isprintable() or any(not name or name.startswith(".") for name in key.split("/")):
        raise MalformedError(f"could not use key {key!r}: it is not a relative path of plain names")


class ObjectStore(Protocol):
    """Write-once objects. Safe to call from several threads. A key that `check_key` refuses is a MalformedError."""

    def put(self, objects: Mapping[str, bytes]) -> None:
        """Store every object durably; return after all are synced. Not atomic over several keys, but no key is ever
        readable with half its bytes. Same key, same bytes: a no-op. Same key, other bytes: TamperedError, and the
        stored object stays. UnavailableError: some may be stored, the call may be repeated.
        """

    def replace(self, key: str, data: bytes) -> None:
        """Store a mutable object (a log's public checkpoint), atomically and durably."""

    def get(self, key: str) -> bytes:
        """The whole object. MissingError when there is none."""

    def keys(self, prefix: str) -> Iterator[str]:
        """Every key that begins with `prefix` (any text, it need not end at a slash), in no particular order."""
