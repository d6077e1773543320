"""A directory and all that is below it: packed as it is found, and held against its list file by file."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from atp.ops.backups.act.kinds.shape import Doing, Note
from atp.ops.backups.act.parts import Moved, unwatched
from atp.ops.backups.act.step import Step
from atp.ops.backups.evidence import Made
from atp.ops.backups.format.checking import check_tree
from atp.ops.backups.format.contents import ContentsReader, Database, Names
from atp.ops.backups.format.manifest import Cluster
from atp.ops.backups.format.stream import Plain
from atp.ops.backups.format.tree import Packed, pack
from atp.ops.backups.format.unpacking import unpack
from atp.ports.clock import Clock


@dataclass(slots=True)
class FilesCapture:
    """See Capture. It is no snapshot: the moment is that at which reading began."""

    source: Path
    clock: Clock
    moved: Moved
    steps: Sequence[Step] = ()
    doing: Doing = field(default_factory=dict)
    database: Database | None = None
    names: Names | None = None
    cluster: Cluster | None = None
    _began_at: datetime | None = None

    def stream(self, made: Made, note: Note) -> Iterator[bytes]:
        """See Capture."""
        self._began_at = self.clock.now()
        packed = Packed(warnings=made.warnings)
        for chunk in pack(self.source, packed=packed, note=note):
            self.moved(len(chunk))
            yield chunk
        made.entries, made.total_bytes = packed.entries, packed.total_bytes

    @property
    def consistent_at(self) -> datetime:
        """See Capture."""
        assert self._began_at is not None, "the stream has ended"
        return self._began_at


@dataclass(slots=True)
class FilesArrival:
    """See Arrival."""

    reaches_to: datetime
    steps: Sequence[Step] = ()
    told: Sequence[str] = ()

    def receive(self, plain: Plain, data: Path) -> int:
        """See Arrival."""
        return receive_tree(plain, data)

    def check(self, data: Path, contents: ContentsReader) -> int:
        """See Arrival."""
        return check_listed(data, contents)

    def doing(self, data: Path) -> Doing:
        """See Arrival."""
        return {}


def receive_tree(plain: Plain, data: Path) -> int:
    """Make the directory that an archive says; how many members there were."""
    data.mkdir(mode=0o700)
    return unpack(plain, data, moved=unwatched)


def check_listed(data: Path, contents: ContentsReader) -> int:
    """Hold a directory against a list; how many entries there are. TamperedError."""
    return check_tree(data, contents.entries(), moved=unwatched)
