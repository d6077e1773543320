"""Which reviews are of which drill: those that name its number, and the very statement that was made of it."""

from collections.abc import Iterable

import msgspec

from atp.ops.drills.evidence.history import Drill, Told
from atp.ops.estate.evidence.signoff import Review, Reviewed


def reviews_of(drills: Iterable[Drill], told: Iterable[Told]) -> dict[str, tuple[Review, ...]]:
    """The reviews of each drill, by its id, oldest first. One that stands twice, as it was sent and once more from a
    spool, counts once. Pure."""
    looked_at = {
        (drill.dataset, drill.done.number, drill.done.statement.sha256): drill
        for drill in drills
        if drill.done.statement is not None
    }
    found = dict[str, dict[str, Review]]()
    for one in told:
        try:
            said = msgspec.convert(one.data, Reviewed)
        except msgspec.ValidationError:
            continue
        drill = looked_at.get((one.dataset, said.number, said.statement_sha256))
        if drill is not None:
            review = Review(one.at, one.by, said, is_own=one.by == drill.by, index=one.index)
            found.setdefault(drill.id, {}).setdefault(one.id, review)
    return {drill: tuple(sorted(of.values(), key=lambda review: review.at)) for drill, of in found.items()}
