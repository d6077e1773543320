"""A trail on its way back: a directory as any other, and then verified, and marked as what its logs go on from."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path

from atp.ops.backups.act.kinds.files import check_listed, receive_tree
from atp.ops.backups.act.kinds.shape import Doing, Occasion
from atp.ops.backups.act.kinds.trail.recover import Recovered, recover
from atp.ops.backups.act.step import Data, Step
from atp.ops.backups.format.contents import ContentsReader
from atp.ops.backups.format.stream import Plain


@dataclass(slots=True)
class TrailArrival:
    """See Arrival."""

    reaches_to: datetime
    backup: str
    occasion: Occasion
    _recovered: Recovered | None = None

    @property
    def steps(self) -> Sequence[Step]:
        """See Arrival."""
        what = "verify every log, hold it against each checkpoint known of it, and note what it goes on from"
        return [Step("recover", what)]

    def receive(self, plain: Plain, data: Path) -> int:
        """See Arrival."""
        return receive_tree(plain, data)

    def check(self, data: Path, contents: ContentsReader) -> int:
        """See Arrival."""
        return check_listed(data, contents)

    def doing(self, data: Path) -> Doing:
        """See Arrival."""
        return {"recover": partial(self._recover, data)}

    @property
    def told(self) -> Sequence[str]:
        """See Arrival."""
        if self._recovered is None:
            return ()
        goes_on = f"served, its logs go on as generation {self._recovered.generation}, which they say themselves"
        return (*(log.sentence for log in self._recovered.logs), goes_on)

    def _recover(self, data: Path) -> Data:
        recovered = recover(
            data,
            backup=self.backup,
            by=self.occasion.by,
            reason=self.occasion.reason,
            now=self.occasion.began_at,
            memory=self.occasion.memory,
            known=self.occasion.known,
        )
        self._recovered = recovered
        lossy = sum(log.lost_stop is not None for log in recovered.logs)
        return {"generation": recovered.generation, "logs": len(recovered.logs), "logs_with_known_loss": lossy}
