"""Which kind of dataset is looked at and asked by whom."""

from atp.ops.drills.act.kinds.files import FilesCopy, FilesProduction
from atp.ops.drills.act.kinds.shape import Copy, Production
from atp.ops.drills.act.kinds.sqlite import SqliteCopy, SqliteProduction
from atp.ops.drills.act.questions import Question
from atp.ops.drills.declare import Declared


def production_of(declared: Declared) -> Production:
    """The living dataset. Pure."""
    return SqliteProduction(declared.path) if declared.kind == "sqlite" else FilesProduction(declared.path)


def copy_of(question: Question) -> Copy:
    """What was restored. Pure."""
    return SqliteCopy(question.place) if question.kind == "sqlite" else FilesCopy(question.place)
