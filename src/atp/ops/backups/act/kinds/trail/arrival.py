"""A trail on its way back: a directory as any other, brought forward by the increments that follow it, and then
verified, and marked as what its logs go on from."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path

from atp.ops.backups.act.kinds.files import check_listed, receive_tree
from atp.ops.backups.act.kinds.shape import Doing, Occasion
from atp.ops.backups.act.kinds.trail.increments import Increment, list_increments, needed, reaches_to, usable
from atp.ops.backups.act.kinds.trail.merging import bring_forward, read_through
from atp.ops.backups.act.kinds.trail.recover import Recovered, recover
from atp.ops.backups.act.step import Data, Step
from atp.ops.backups.evidence import UNASKED, Recorded
from atp.ops.backups.format.contents import ContentsReader
from atp.ops.backups.format.manifest import Manifest
from atp.ops.backups.format.seal import Identity
from atp.ops.backups.format.stream import Plain
from atp.ports.repository import Repository


@dataclass(slots=True)
class TrailArrival:
    """See Arrival. `at`: with the newest increment that holds nothing later; None: as far as they reach."""

    repository: Repository
    manifest: Manifest
    identities: Sequence[Identity]
    occasion: Occasion
    at: datetime | None = None
    recorded: Recorded = UNASKED
    _following: tuple[Increment, ...] = ()
    _recovered: Recovered | None = None

    def prepare(self) -> None:
        """Find the increments that follow, before anything is fetched. TamperedError when one is missing before the
        moment."""
        dataset = self.manifest.dataset
        listed = usable(list_increments(self.repository, dataset), self.recorded, dataset)
        self._following = tuple(needed(listed, after=self.manifest.consistent_at, at=self.at))

    @property
    def reaches_to(self) -> datetime:
        """See Arrival."""
        return reaches_to(self._following, self.manifest.consistent_at)

    @property
    def steps(self) -> Sequence[Step]:
        """See Arrival."""
        what = "verify every log, hold it against each checkpoint known of it, and note what it goes on from"
        stored = sum(one.size_bytes for one in self._following)
        forward = Step("log", f"bring it forward by {len(self._following):,} increments, {stored:,} stored bytes")
        return [*([forward] if self._following else []), Step("recover", what)]

    def receive(self, plain: Plain, data: Path) -> int:
        """See Arrival."""
        return receive_tree(plain, data)

    def check(self, data: Path, contents: ContentsReader) -> int:
        """See Arrival."""
        return check_listed(data, contents)

    def doing(self, data: Path) -> Doing:
        """See Arrival."""
        return {"log": partial(self._bring_forward, data), "recover": partial(self._recover, data)}

    @property
    def told(self) -> Sequence[str]:
        """See Arrival."""
        if self._recovered is None:
            return ()
        goes_on = f"served, its logs go on as generation {self._recovered.generation}, which they say themselves"
        return (*(log.sentence for log in self._recovered.logs), goes_on)

    def _bring_forward(self, data: Path) -> Data:
        objects = bring_forward(self.repository, self._following, self.manifest.dataset, self.identities, data)
        return {"increments": len(self._following), "objects": objects}

    def _recover(self, data: Path) -> Data:
        recovered = recover(
            data,
            backup=self.manifest.backup,
            by=self.occasion.by,
            reason=self.occasion.reason,
            now=self.occasion.began_at,
            memory=self.occasion.memory,
            known=self.occasion.known,
        )
        self._recovered = recovered
        lossy = sum(log.lost_stop is not None for log in recovered.logs)
        return {"generation": recovered.generation, "logs": len(recovered.logs), "logs_with_known_loss": lossy}


def check_increments(
    repository: Repository, manifest: Manifest, identities: Sequence[Identity], recorded: Recorded
) -> int | None:
    """Read every increment that follows a backup, with keys decrypted too; how many, None when nothing follows it.
    TamperedError or MissingError names the first that is not there, or not what was stored. Bounded memory, no disk."""
    listed = usable(list_increments(repository, manifest.dataset), recorded, manifest.dataset)
    following = needed(listed, after=manifest.consistent_at, at=None)
    for one in following:
        read_through(repository, one, manifest.dataset, identities)
    return len(following) or None
