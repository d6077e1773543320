"""Increments of a trail: their names, their order, and how they lie in a repository.

DATASET/log/SERIES/NUMBER_BEGINS_COVERS_SHA256

What a follower ships is one SERIES, whose NUMBERs count from 1 without a gap. COVERS: all that was committed by then is
in it and those before it; BEGINS: the COVERS of the one before it, so a copy that is at least as new as that needs
nothing older. The first of a series needs nothing at all: it holds every object, and begins at the beginning of time.
SHA256 is that of the stored bytes: tar, zstd, age, as everything is.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256

from atp.errors import MissingError, TamperedError
from atp.ops.backups.evidence import Recorded
from atp.ports.repository import Repository

_NAME = re.compile(
    r"(?P<series>[0-9]{8}T[0-9]{6}Z-[0-9a-f]{12})/(?P<number>[0-9]{8})"
    r"_(?P<begins>[0-9]{8}T[0-9]{12}Z)_(?P<covers>[0-9]{8}T[0-9]{12}Z)_(?P<sha256>[0-9a-f]{64})"
)
_TIME = "%Y%m%dT%H%M%S%fZ"
_EXACT = "%Y-%m-%dT%H:%M:%S.%fZ"  # as --at takes it
BEGINNING = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Increment:
    """One increment in a repository, or on its way there."""

    series: str
    number: int
    begins: datetime
    covers: datetime
    sha256: str
    size_bytes: int

    @property
    def words(self) -> str:
        """What a person calls it."""
        return f"{self.series}/{self.number:08}"

    def name(self, dataset: str) -> str:
        """Its name in a repository."""
        return f"{log_prefix(dataset)}{self.words}_{_text(self.begins)}_{_text(self.covers)}_{self.sha256}"


def log_prefix(dataset: str) -> str:
    """Where the increments of a dataset are."""
    return f"{dataset}/log/"


def list_increments(repository: Repository, dataset: str) -> list[Increment]:
    """Every increment of a dataset, in order. Costs a listing."""
    prefix = log_prefix(dataset)
    found = (_increment(kept.name.removeprefix(prefix), kept.size_bytes) for kept in repository.objects(prefix))
    return sorted((one for one in found if one), key=lambda one: (one.series, one.number, one.covers))


def usable(listed: Iterable[Increment], recorded: Recorded, dataset: str) -> list[Increment]:
    """Those that the trail knows; see `Recorded.usable`. Pure."""
    return recorded.usable(listed, name=lambda one: one.name(dataset), place=lambda one: one.words)


def needed(listed: Iterable[Increment], *, after: datetime, at: datetime | None) -> list[Increment]:
    """The increments that a copy of the moment `after` has to be given to reach as far as they can, or to `at`.

    Those of the newest series that has any. TamperedError when one is missing before the last: what lies behind a hole
    cannot be used, and the copy would end before it. Pure.
    """
    usable = [one for one in listed if one.covers > after and (at is None or one.covers <= at)]
    series = max((one.series for one in usable), default="")
    # A follower that died between two writes has shipped a number twice: the later one holds what the earlier one did.
    chosen = sorted({one.number: one for one in usable if one.series == series}.items())
    following = list[Increment]()
    for number, one in chosen:
        reached = following[-1].covers if following else after
        is_next = not following or number == following[-1].number + 1
        if not is_next or one.begins > reached:
            raise _hole(one, following[-1] if following else None)
        following.append(one)
    return following


def reaches_to(following: Sequence[Increment], otherwise: datetime) -> datetime:
    """Until when everything committed is in what was chosen. Pure."""
    return following[-1].covers if following else otherwise


def stored(repository: Repository, one: Increment, dataset: str) -> Iterator[bytes]:
    """The bytes of an increment as they are stored. TamperedError, at the end at the latest, when they are not those
    of its name; MissingError when it is gone."""
    digest, size = sha256(), 0
    try:
        for chunk in repository.read(one.name(dataset)):
            digest.update(chunk)
            size += len(chunk)
            if size > one.size_bytes:
                break
            yield chunk
    except MissingError:
        raise MissingError(f"could not read increment {one.words}: it is gone", hint=_otherwise(one)) from None
    if size != one.size_bytes or digest.hexdigest() != one.sha256:
        raise TamperedError(
            f"could not read increment {one.words}: its bytes are not those that were stored", hint=_otherwise(one)
        )


def _increment(name: str, size_bytes: int) -> Increment | None:
    """The increment of this name; None when it is none, whoever put it there."""
    match = _NAME.fullmatch(name)
    if match is None:
        return None
    try:
        begins, covers = _instant(match["begins"]), _instant(match["covers"])
    except ValueError:
        return None
    return Increment(match["series"], int(match["number"]), begins, covers, match["sha256"], size_bytes)


def _hole(behind: Increment, last: Increment | None) -> TamperedError:
    lost = last.number + 1 if last else max(behind.number - 1, 1)
    reaches = f"{last.covers:{_EXACT}}" if last else "the end of the backup itself"
    return TamperedError(
        f"could not follow the trail: increment {behind.series}/{lost:08} is missing and later ones are there;"
        f" it reaches to {reaches}",
        hint=f"--at {reaches}" if last else "use another backup, or --at its own time",
    )


def _otherwise(one: Increment) -> str:
    return f"--at {one.begins:{_EXACT}}, or another repository" if one.number > 1 else "another repository"


def _text(instant: datetime) -> str:
    return f"{instant.astimezone(UTC):{_TIME}}"


def _instant(text: str) -> datetime:
    return datetime.strptime(text, _TIME).replace(tzinfo=UTC)
