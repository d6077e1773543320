"""Where a follower of any kind ships to, whom it seals for, how soon, and to whom it says what came of it.

No evidence, no act: an object is sealed, recorded under its name, which holds its digest, then stored; and only then
may the copy here go. A record without an object is harmless: a follower died in between. What is sealed again after a
death has another name, and another record.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from atp.errors import ConflictError
from atp.ports.clock import Clock
from atp.ports.repository import Repository, whole_second


@dataclass(slots=True)
class Shipping:
    """One dataset's. `room` is a private directory that outlives this process; `within`: how long a change may wait
    before it is in the repositories. `record` writes the names of at most `limits.SHIPPED_NAMES_MAX` objects down,
    durably, or raises, and then they must not be stored. `shipped` gets the newest object that is in every repository,
    and until when all is there; `trouble` a sentence."""

    dataset: str
    repositories: Mapping[str, Repository]
    recipients: Sequence[str]
    retention: timedelta | None
    room: Path
    clock: Clock
    within: timedelta
    record: Callable[[Sequence[str]], object]
    shipped: Callable[[str, datetime], object]
    trouble: Callable[[str], object]
    _told: str = ""

    def store(self, repository: Repository, name: str, chunks: Iterable[bytes]) -> None:
        """Store an object that is recorded, kept for the retention. One of this name is the same: its digest is a part
        of the name."""
        keep_until = whole_second(self.clock.now() + self.retention) if self.retention else None
        with suppress(ConflictError), repository.store(name, keep_until=keep_until) as sink:
            for chunk in chunks:
                sink.write(chunk)

    def tell(self, trouble: str) -> None:
        """Each trouble once, until it is over."""
        if trouble != self._told:
            self._told = trouble
            self.trouble(trouble)

    def is_well(self) -> None:
        """What was told is over."""
        self._told = ""
