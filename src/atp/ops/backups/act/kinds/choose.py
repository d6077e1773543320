"""Which kind of dataset is captured and received by whom."""

from atp.ops.backups.act.kinds.files import FilesArrival, FilesCapture
from atp.ops.backups.act.kinds.shape import Arrival, Capture
from atp.ops.backups.act.kinds.sqlite import SqliteArrival, SqliteCapture
from atp.ops.backups.act.parts import Moved
from atp.ops.backups.act.workplace import Workplace
from atp.ops.backups.declare import Declared
from atp.ops.backups.format.manifest import Manifest
from atp.ports.clock import Clock

_COPY = "database"


def capture_of(declared: Declared, *, place: Workplace, clock: Clock, moved: Moved) -> Capture:
    """What makes the stream of a run. Pure: nothing is touched yet."""
    if declared.kind == "sqlite":
        return SqliteCapture(declared.path, place.folder / _COPY, clock, moved)
    return FilesCapture(declared.path, clock, moved)


def arrival_of(manifest: Manifest) -> Arrival:
    """What makes a dataset of a backup again. Pure."""
    return SqliteArrival() if manifest.kind == "sqlite" else FilesArrival()
