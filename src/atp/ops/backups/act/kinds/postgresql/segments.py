"""Segments of the write-ahead log: their names, their order, and how they lie in a repository.

DATASET/wal/SYSTEM/…                those of one cluster, by its identifier
SEGMENT_COVERS_SHA256               a whole segment; COVERS: all that was committed by then is in it and those before it
SEGMENT_COVERS_SHA256_partial       what was received of a segment when the server was gone; the larger one holds more
TIMELINE.history_COVERS_SHA256      how a timeline began

SHA256 is that of the stored bytes: zstd inside of age, as everything is.
https://www.postgresql.org/docs/current/continuous-archiving.html
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from atp.errors import MissingError, TamperedError
from atp.ops.backups.evidence import Recorded
from atp.ops.backups.format.manifest import Cluster
from atp.ports.repository import Repository

_NAME = re.compile(r"([0-9A-F]{24}|[0-9A-F]{8}\.history)_([0-9]{8}T[0-9]{12}Z)_([0-9a-f]{64})(_partial)?")
_TIME = "%Y%m%dT%H%M%S%fZ"
_SECOND = "%Y-%m-%dT%H:%M:%SZ"
_LOGS_BYTES = 1 << 32


@dataclass(frozen=True, slots=True)
class Shipped:
    """One segment (or history) in a repository."""

    name: str
    segment: str
    is_partial: bool
    covers_until: datetime
    sha256: str
    size_bytes: int

    @property
    def is_history(self) -> bool:
        """Whether it tells of a timeline, and holds no log."""
        return self.segment.endswith(".history")


def wal_prefix(dataset: str, system: str) -> str:
    """Where the segments of a cluster are."""
    return f"{dataset}/wal/{system}/"


def shipped_name(prefix: str, segment: str, *, is_partial: bool, covers_until: datetime, sha256: str) -> str:
    """The name of a segment in a repository."""
    partial = "_partial" if is_partial else ""
    return f"{prefix}{segment}_{covers_until.astimezone(UTC):{_TIME}}_{sha256}{partial}"


def list_shipped(repository: Repository, prefix: str) -> list[Shipped]:
    """Every segment below a `wal_prefix`, in the order of the log. Costs a listing."""
    found = list[Shipped]()
    for kept in repository.objects(prefix):
        match = _NAME.fullmatch(kept.name.removeprefix(prefix))
        covers = _instant(match[2]) if match is not None else None
        if match is not None and covers is not None:
            found.append(Shipped(kept.name, match[1], bool(match[4]), covers, match[3], kept.size_bytes))
    return sorted(found, key=lambda one: (one.segment, not one.is_partial, one.covers_until))


def _instant(text: str) -> datetime | None:
    """None for a name that we never gave: whoever may write there can make one."""
    try:
        return datetime.strptime(text, _TIME).replace(tzinfo=UTC)
    except ValueError:
        return None


def usable(shipped: Iterable[Shipped], recorded: Recorded) -> list[Shipped]:
    """Those that the trail knows; see `Recorded.usable`. Pure."""
    return recorded.usable(shipped, name=lambda one: one.name, place=lambda one: (one.segment, one.is_partial))


def needed(shipped: Iterable[Shipped], cluster: Cluster, *, at: datetime | None) -> list[Shipped]:
    """The segments after a backup that reach as far as they can, or to `at`, and the histories of their timelines.

    Of timelines the newest counts, and for a moment the oldest that reaches it: what was lived through by then is on
    it, and a recovery to another moment, that went on since, has not unmade it.

    TamperedError when one in the middle is missing: what lies behind a hole is lost, and nothing would say so.
    MissingError when they do not reach to `at`. Pure.
    """
    listed = list(shipped)
    first = number_of(cluster.ends_in, cluster.segment_bytes) + 1
    timelines = _timelines((one for one in listed if not one.is_history), cluster)
    if at is not None:
        timelines = _reaching(timelines, at)
    chosen = _best_of_each(timelines)
    following, numbers = list[Shipped](), sorted(number for number in chosen if number >= first)
    for expected, number in enumerate(numbers, start=first):
        if number != expected or (following and following[-1].is_partial):
            raise _hole(numbers, following, chosen[number], cluster, first=first)
        following.append(chosen[number])
        if at is not None and chosen[number].covers_until >= at:
            break
    if at is not None and following and following[-1].covers_until < at:
        raise MissingError(
            f"could not restore to {at:{_SECOND}}: the write-ahead log reaches to"
            f" {following[-1].covers_until:{_SECOND}}",
            hint="an earlier --at, or none: as far as it reaches",
        )
    newest = max((one.segment[:8] for one in following), default="")
    histories = {one.segment: one for one in listed if one.is_history and one.segment[:8] <= newest}
    return [*histories.values(), *following]


def _hole(
    numbers: Sequence[int], following: Sequence[Shipped], behind: Shipped, cluster: Cluster, *, first: int
) -> TamperedError:
    lost = first + len(following) - bool(following and following[-1].is_partial)
    count = numbers[-1] - first + 1 - len(numbers)
    reaches = f"{following[-1].covers_until:{_SECOND}}" if following else ""
    return TamperedError(
        f"could not follow the write-ahead log: {name_of(lost, behind, cluster)} is missing and later ones are there"
        f" ({max(count, 1)} missing in all); it reaches to {reaches or 'the end of the backup itself'}",
        hint=f"--at {reaches}" if following else "use another backup",
    )


def number_of(segment: str, segment_bytes: int) -> int:
    """The number of a segment, whatever its timeline."""
    return int(segment[8:16], 16) * (_LOGS_BYTES // segment_bytes) + int(segment[16:], 16)


def name_of(number: int, beside: Shipped, cluster: Cluster) -> str:
    """The name of a segment on the timeline of another."""
    high, low = divmod(number, _LOGS_BYTES // cluster.segment_bytes)
    return f"{beside.segment[:8]}{high:08X}{low:08X}"


def _timelines(shipped: Iterable[Shipped], cluster: Cluster) -> dict[str, dict[int, Shipped]]:
    """What was shipped of the timeline of a backup, and of newer ones that can have come of it: those that begin before
    the backup ends branched off an earlier one. Of each number the best."""
    found: dict[str, dict[int, Shipped]] = {}
    own, ends = cluster.ends_in[:8], number_of(cluster.ends_in, cluster.segment_bytes)
    for one in shipped:
        of_timeline = found.setdefault(one.segment[:8], {})
        number = number_of(one.segment, cluster.segment_bytes)
        best = of_timeline.get(number)
        if best is None or _worth(one) > _worth(best):
            of_timeline[number] = one
    return {name: found[name] for name in sorted(found) if name == own or (name > own and min(found[name]) >= ends)}


def _reaching(timelines: Mapping[str, dict[int, Shipped]], at: datetime) -> dict[str, dict[int, Shipped]]:
    """Timelines up to the oldest that reaches a moment; all, when none does."""
    taken: dict[str, dict[int, Shipped]] = {}
    for name, of_timeline in timelines.items():
        taken[name] = of_timeline
        if any(one.covers_until >= at for one in of_timeline.values()):
            break
    return taken


def _best_of_each(timelines: Mapping[str, dict[int, Shipped]]) -> dict[int, Shipped]:
    """By number: where a newer timeline begins older ones end."""
    found: dict[int, Shipped] = {}
    for _, of_timeline in sorted(timelines.items(), reverse=True):
        ceiling = min(found, default=None)
        found |= {number: one for number, one in of_timeline.items() if ceiling is None or number < ceiling}
    return found


def _worth(one: Shipped) -> tuple[bool, datetime, int]:
    return not one.is_partial, one.covers_until, one.size_bytes


def reaches_to(following: Sequence[Shipped], otherwise: datetime) -> datetime:
    """Until when everything committed is in what was chosen. Pure."""
    return max([otherwise, *(one.covers_until for one in following if not one.is_history)])
