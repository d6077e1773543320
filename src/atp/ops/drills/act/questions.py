"""What a drill asks of a restored copy, and what comes back: the words between it and the process behind the fence."""

from pathlib import Path

import msgspec

from atp.ops.backups.format.manifest import Kind
from atp.ops.drills.evidence.figures import Answer
from atp.ops.estate.declare.values import Check
from atp.ops.estate.evidence.proofs import Aware, Seconds


class Outside(msgspec.Struct, frozen=True):
    """A directory outside of the fence, by its device and inode: what has its name inside may be another one."""

    path: str
    device: int
    inode: int


class Question(msgspec.Struct, frozen=True, kw_only=True):
    """All of it. `contents` is the inner manifest.

    What has to be out of reach, `HOST:PORT` or the path of a socket: `canaries` listen on this machine for this drill
    alone, `addresses` are those of production. Nothing may be written to the directories `outside`.
    """

    kind: Kind
    copy: str
    contents: str
    checks: tuple[Check, ...]
    canaries: tuple[str, ...]
    addresses: tuple[str, ...] = ()
    outside: tuple[Outside, ...] = ()

    @property
    def place(self) -> Path:
        """The restored copy."""
        return Path(self.copy)


class Tried(msgspec.Struct, frozen=True):
    """What came of trying to get out: the network namespace that it was tried from, the addresses that answered, the
    directories before which nothing but permissions stands."""

    namespace: str
    reached: tuple[str, ...]
    wrote: tuple[str, ...]


class Found(msgspec.Struct, frozen=True, kw_only=True):
    """What came of it. Seconds count back from the end, so that they can be laid on the asker's clock; what was never
    reached is None. `beats` are heartbeats in the copy, oldest first; `argv` are programs that were run for it."""

    answers: tuple[Answer, ...]
    opened_before_end: Seconds | None
    whole_before_end: Seconds | None
    answered_before_end: Seconds | None
    beats: tuple[tuple[str, Aware], ...]
    tried: Tried
    argv: tuple[tuple[str, ...], ...] = ()


def name_of(check: Check) -> str:
    """A check by its question, short enough for a list."""
    if check.rows is not None:
        return f"rows of {check.rows.table}"
    if check.sql is not None:
        return check.sql if len(check.sql) <= 80 else f"{check.sql[:79]}…"
    return "digests" if check.digests else "verify"
