"""What a kind of dataset has to say in a drill: Production is the living one, a Copy is what was restored of it."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

from atp.ops.backups.format.contents import ContentsReader

Row = tuple[object, ...]


@dataclass(frozen=True, slots=True)
class Living:
    """What the living data is at one moment: a digest over what can be seen of it, and which one it is, in a form that
    changes when another takes its place."""

    sha256: str
    identity: str


class Production(Protocol):
    """The living dataset. Nothing is ever written to it but heartbeats."""

    def look(self) -> Living | None:
        """What it is now; None when it is not there, or cannot be read whole."""

    def beat(self, name: str, at: datetime) -> None:
        """Write a heartbeat, durably. MissingError when there is no dataset, UnavailableError when it does not take
        it."""

    @property
    def addresses(self) -> Sequence[str]:
        """Where it listens, `HOST:PORT` or the path of a socket: what no copy of it may reach."""


class Copy(Protocol):
    """A restored copy behind the fence; used by one thread, closed at the end. Whatever it is asked may raise what its
    kind raises when it is broken: AtpError, OSError, ValueError, sqlite3.Error."""

    def open(self) -> str:
        """Open it as its service would; a sentence about what is there."""

    def whole(self, contents: ContentsReader) -> str:
        """Hold it against the inner manifest; a sentence. TamperedError when it is not what was backed up."""

    def beats(self) -> Iterator[tuple[str, datetime]]:
        """The heartbeats in it, oldest first; none when it has none."""

    def count(self, table: str, *, within: timedelta) -> int:
        """The rows of a table; see `select`."""

    def select(self, sql: str, *, rows_max: int, within: timedelta) -> Sequence[Row]:
        """What a query gives, at most so many rows; it cannot change anything. UnavailableError when it takes longer
        than `within`, or its answer is too large."""

    def verify(self) -> str:
        """Verify the trail in it, as `atp verify` does; a sentence. TamperedError when it is not sound."""

    def close(self) -> None:
        """Let go of it."""
