"""What a kind of dataset has to say: a Capture makes the stream of a backup, an Arrival makes a dataset of it again."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Protocol

from atp.ops.backups.act.step import Data, Step
from atp.ops.backups.evidence import Made
from atp.ops.backups.format.contents import ContentsReader, Database, Entry, Names
from atp.ops.backups.format.manifest import Cluster
from atp.ops.backups.format.stream import Plain
from atp.verify.remember import Memory

Doing = Mapping[str, Callable[[], Data | None]]
Note = Callable[[Entry], object]


@dataclass(frozen=True, slots=True)
class Occasion:
    """Who restores, when and why; and what is known elsewhere of a trail: `memory` is what this machine verified
    before, `known` are further signed checkpoints."""

    by: str
    began_at: datetime
    reason: str = ""
    memory: Memory | None = None
    known: Sequence[bytes] = ()


class Capture(Protocol):
    """One dataset on its way into one backup; for one run."""

    @property
    def steps(self) -> Sequence[Step]:
        """What has to be done before anything is stored."""

    @property
    def doing(self) -> Doing:
        """How, by the name of the step."""

    def stream(self, made: Made, note: Note) -> Iterator[bytes]:
        """The plain stream; `note` gets an entry for each member after its data, and `made` what is worth telling."""

    @property
    def consistent_at(self) -> datetime:
        """Everything that was committed by then is in the stream; known when the stream has ended."""

    @property
    def database(self) -> Database | None:
        """What a database held, where rows can be counted at rest."""

    @property
    def names(self) -> Names | None:
        """Of PostgreSQL: whom a restored copy is asked as."""

    @property
    def cluster(self) -> Cluster | None:
        """Of PostgreSQL: which write-ahead log the backup needs, and what follows it."""


class Arrival(Protocol):
    """One backup on its way back, decrypted but not trusted."""

    def receive(self, plain: Plain, data: Path) -> int:
        """Make what the stream says at `data`, which does not exist; how many members there were."""

    def check(self, data: Path, contents: ContentsReader) -> int:
        """Hold what was made against the list, from the disk; how many entries there are. TamperedError."""

    @property
    def reaches_to(self) -> datetime:
        """Everything that was committed by then is in what comes of it."""

    @property
    def steps(self) -> Sequence[Step]:
        """What has to be done after that, before it gets its name."""

    def doing(self, data: Path) -> Doing:
        """How, by the name of the step."""

    @property
    def told(self) -> Sequence[str]:
        """Sentences about what came back, for people; known when the steps are done."""


class Follower(Protocol):
    """Ships what a dataset writes between two backups."""

    def run(self, *, is_over: Callable[[], bool]) -> None:
        """Follow until `is_over`; what goes wrong meanwhile is told, and tried again."""
