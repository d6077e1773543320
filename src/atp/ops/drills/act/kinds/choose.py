"""Which kind of dataset is looked at and asked by whom."""

from pathlib import Path

from atp.ops.backups.act.kinds.choose import ReadAddress, connection_of
from atp.ops.backups.format.manifest import Kind
from atp.ops.drills.act.kinds.files import FilesCopy, FilesProduction
from atp.ops.drills.act.kinds.postgresql import PostgresqlCopy, PostgresqlProduction, make_ready_cluster
from atp.ops.drills.act.kinds.shape import Copy, Production
from atp.ops.drills.act.kinds.sqlite import SqliteCopy, SqliteProduction
from atp.ops.drills.act.kinds.trail import Connect, TrailCopy, TrailProduction
from atp.ops.drills.act.questions import Question
from atp.ops.drills.declare import Declared


def production_of(declared: Declared, *, read: ReadAddress | None = None, connect: Connect | None = None) -> Production:
    """The living dataset; `read` gives the address that a reference means, `connect` a client of the server of a trail,
    which only its heartbeats need."""
    if declared.kind == "postgresql":
        return PostgresqlProduction(connection_of(declared.address, read))
    if declared.kind == "trail":
        return TrailProduction(declared.path, declared.dataset, connect)
    return SqliteProduction(declared.path) if declared.kind == "sqlite" else FilesProduction(declared.path)


def make_ready(kind: Kind, place: Path) -> int | None:
    """Make a restored copy ready for whoever asks it; the user id that it has to be asked as, None: as it is."""
    return make_ready_cluster(place) if kind == "postgresql" else None


def copy_of(question: Question) -> Copy:
    """What was restored. Pure."""
    if question.kind == "postgresql":
        return PostgresqlCopy(question.place, Path(question.contents))
    if question.kind == "trail":
        return TrailCopy(question.place)
    return SqliteCopy(question.place) if question.kind == "sqlite" else FilesCopy(question.place)
