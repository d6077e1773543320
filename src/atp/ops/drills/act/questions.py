"""What a drill asks of a restored copy, and what comes back: the words between it and the process behind the fence."""

from pathlib import Path

import msgspec

from atp.ops.backups.format.manifest import Kind
from atp.ops.drills.evidence.figures import Answer
from atp.ops.estate.declare.values import Check
from atp.ops.estate.evidence.proofs import Aware, Seconds


class Question(msgspec.Struct, frozen=True, kw_only=True):
    """All of it. `contents` is the inner manifest; `port` listens on the loopback outside of the fence."""

    kind: Kind
    copy: str
    contents: str
    checks: tuple[Check, ...]
    port: int

    @property
    def place(self) -> Path:
        """The restored copy."""
        return Path(self.copy)


class Found(msgspec.Struct, frozen=True, kw_only=True):
    """What came of it. Seconds count back from the end, so that they can be laid on the asker's clock; what was never
    reached is None. `beats` are heartbeats in the copy, oldest first; `reached`: the port answered."""

    answers: tuple[Answer, ...]
    opened_before_end: Seconds | None
    whole_before_end: Seconds | None
    answered_before_end: Seconds | None
    beats: tuple[tuple[str, Aware], ...]
    namespace: str
    reached: bool


def name_of(check: Check) -> str:
    """A check by its question, short enough for a list."""
    if check.rows is not None:
        return f"rows of {check.rows.table}"
    if check.sql is not None:
        return check.sql if len(check.sql) <= 80 else f"{check.sql[:79]}…"
    return "digests" if check.digests else "verify"
