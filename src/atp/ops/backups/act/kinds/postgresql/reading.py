"""A segment as it lies in a repository: decrypted, bounded, and held against the digest in its name."""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import BinaryIO

from atp.errors import MissingError, TamperedError
from atp.limits import POSTGRESQL_HISTORY_BYTES_MAX, REPOSITORY_CHUNK_BYTES
from atp.ops.backups.act.kinds.postgresql.segments import Shipped
from atp.ops.backups.act.workplace import telling
from atp.ops.backups.format.manifest import Cluster
from atp.ops.backups.format.seal import Identity, unseal
from atp.ports.repository import Repository, Sink

_ZEROS = bytes(REPOSITORY_CHUNK_BYTES)


def bytes_max_of(one: Shipped, cluster: Cluster) -> int:
    """How much one can hold: whoever knows the recipients can make one that never ends."""
    return POSTGRESQL_HISTORY_BYTES_MAX if one.is_history else cluster.segment_bytes


def fetch_segment(
    repository: Repository, one: Shipped, identities: Sequence[Identity], into: Path, *, bytes_max: int
) -> None:
    """Decrypt one segment to a new file, which has its name only when all of it is right. UnavailableError when the
    disk refuses; else see `read_segment`."""
    coming = into.with_name(f"{into.name}.coming")
    with telling(f"write {into}", place=into.parent, otherwise="choose another place"):
        try:
            with open(os.open(coming, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600), "wb") as file:
                read_segment(repository, one, identities, bytes_max=bytes_max, into=_Sparse(file))
                # Of one that is not whole the receiver may have died making room, and the server wants all of it.
                file.truncate(bytes_max if one.is_partial else file.tell())
            coming.rename(into)
        finally:
            coming.unlink(missing_ok=True)


def read_segment(
    repository: Repository, one: Shipped, identities: Sequence[Identity], *, bytes_max: int, into: Sink
) -> None:
    """Read a segment; `into` gets it decrypted, without a key as it is stored. TamperedError, at the end at the latest,
    when it is not what was stored or more than one can hold, MissingError when it is gone. Bounded memory."""
    what, digest = f"could not read {one.segment} of the write-ahead log", sha256()

    def stored() -> Iterator[bytes]:
        for chunk in repository.read(one.name):
            digest.update(chunk)
            yield chunk

    try:
        if identities:
            unseal(stored(), identities=identities, into=_Bounded(into, bytes_max, f"{what}: it has more than"))
        else:
            for _ in stored():
                pass
    except MissingError:
        raise MissingError(f"{what}: it is gone", hint="an earlier --at, or another repository") from None
    except _TooLongError:
        raise
    except TamperedError:
        raise _not_stored(what) from None
    if digest.hexdigest() != one.sha256:
        raise _not_stored(what)


class Nowhere:
    """Takes what is read in order to be checked."""

    def write(self, data: bytes, /) -> None:
        """See Sink."""


@dataclass(slots=True)
class _Sparse:
    """Most of a segment that was closed early are zeros, and room that nobody wrote to holds them, too."""

    file: BinaryIO

    def write(self, data: bytes, /) -> None:
        """See Sink."""
        if data == _ZEROS[: len(data)]:
            self.file.seek(len(data), os.SEEK_CUR)
        else:
            self.file.write(data)


class _TooLongError(TamperedError):
    """Whose digest may be right."""


@dataclass(slots=True)
class _Bounded:
    """Passes on no more than so many bytes."""

    into: Sink
    bytes_max: int
    sentence: str
    _taken: int = 0

    def write(self, data: bytes, /) -> None:
        """See Sink."""
        if self._taken + len(data) > self.bytes_max:
            raise _TooLongError(
                f"{self.sentence} {self.bytes_max:,} bytes", hint="an earlier --at, and find out who wrote there"
            )
        self.into.write(data)
        self._taken += len(data)


def _not_stored(what: str) -> TamperedError:
    return TamperedError(
        f"{what}: its bytes are not those that were stored", hint="an earlier --at, or another repository"
    )
