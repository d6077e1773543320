"""What to verify, against what, and with how many processes."""

from collections.abc import Callable
from dataclasses import dataclass

from atp.merkle.keys import VerifierKey
from atp.verify.remember import Memory
from atp.verify.report import Level

Progress = Callable[[int, int], None]
"""Told how many entries of a log are done, and how many it has."""


def no_progress(done: int, total: int) -> None:
    """Tells nobody."""


@dataclass(frozen=True, slots=True)
class Options:
    """How to verify a place; the default is all that it allows, under the keys found in it, in this process.

    `trusted` are the keys of `--vkey`, `against` the note of `--against`, `known` further notes that a log may have
    to begin with, `memory` where checkpoints are remembered, `tenant` the only log to look at, `entry` the bytes that
    a single proof is about, `api_key` what a server asks for.
    """

    level: Level | None = None
    trusted: tuple[VerifierKey, ...] = ()
    against: bytes | None = None
    memory: Memory | None = None
    jobs: int = 1
    progress: Progress = no_progress
    tenant: str | None = None
    entry: bytes | None = None
    api_key: str | None = None
    known: tuple[bytes, ...] = ()

    @property
    def with_payload(self) -> bool:
        """Whether entries are hashed, and their heads and ends read."""
        return self.level != "structure"

    @property
    def with_events(self) -> bool:
        """Whether entries are parsed, which costs five times what their hashes do; the index level costs more."""
        return self.level in (None, "index")
