"""A trail on its way into a backup: copied while it is served, verified, and the copy packed as a directory is."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from atp.ops.backups.act.kinds.shape import Doing, Note
from atp.ops.backups.act.kinds.trail.capture import Captured, capture
from atp.ops.backups.act.parts import Moved
from atp.ops.backups.act.step import Data, Step
from atp.ops.backups.act.workplace import writing
from atp.ops.backups.evidence import Made
from atp.ops.backups.format.contents import Database, Names
from atp.ops.backups.format.manifest import Cluster
from atp.ops.backups.format.tree import Packed, pack
from atp.ports.clock import Clock


@dataclass(slots=True)
class TrailCapture:
    """See Capture. `copy` is where the copy is made; it says that it is one, of this `backup`."""

    source: Path
    copy: Path
    backup: str
    clock: Clock
    moved: Moved
    database: Database | None = None
    names: Names | None = None
    cluster: Cluster | None = None
    _captured: Captured | None = None

    @property
    def steps(self) -> Sequence[Step]:
        """See Capture."""
        return [Step("copy", f"copy {self.source} as it is served, without its keys, and verify the copy")]

    @property
    def doing(self) -> Doing:
        """See Capture."""
        return {"copy": self._copy}

    def stream(self, made: Made, note: Note) -> Iterator[bytes]:
        """See Capture."""
        assert self._captured is not None, "it was copied before"
        packed = Packed(warnings=made.warnings, has_links=False)
        for chunk in pack(self.copy, packed=packed, note=note):
            self.moved(len(chunk))
            yield chunk
        made.entries, made.total_bytes = packed.entries, packed.total_bytes

    @property
    def consistent_at(self) -> datetime:
        """See Capture."""
        assert self._captured is not None, "it was copied before"
        return self._captured.copied_at

    def _copy(self) -> Data:
        with writing(self.copy):
            self.copy.mkdir(mode=0o700)
        captured = capture(self.source, self.copy, backup=self.backup, now=self.clock.now, moved=self.moved)
        self._captured = captured
        return {"logs": len(captured.held.logs), "log_entries": captured.entries}
