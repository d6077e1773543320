"""A place for backups: objects that are stored once, kept until a day, and found again when somebody hides them.

Names are keys of an ObjectStore (`check_key`). Two questions decide what a repository is worth, and it answers both:
what holds an object until its day (`lock`), and what came of trying to break that (`challenge`).
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Literal, Protocol

from atp.errors import ForbiddenError
from atp.limits import LOCK_ANSWER_CHARS_MAX

Lock = Literal["compliance", "local", "none"]
PROMISES: Mapping[Lock, str] = {
    "compliance": "immutable: nobody can change or remove an object before its day",
    "local": "tamper-resistant (local): root of that machine can still remove an object before its day",
    "none": "unprotected: whoever may write there can remove an object at any time",
}


class Sink(Protocol):
    """Takes the bytes of one object."""

    def write(self, data: bytes, /) -> object:
        """Take all of `data`. UnavailableError when the place does not."""


@dataclass(frozen=True, slots=True)
class Kept:
    """An object as a listing shows it. `hidden_by` says what stands over it, when something does: it is read all the
    same, and somebody tried to make it disappear."""

    name: str
    size_bytes: int
    hidden_by: str = ""


@dataclass(frozen=True, slots=True)
class Attempt:
    """What was tried on the lock of a repository and what the store answered, in its words; `broken` is a sentence
    about what came of it, empty when it was refused."""

    tried: str
    answer: str
    broken: str = ""


class Repository(Protocol):
    """Objects of any size, in bounded memory. UnavailableError from every method: the place is gone, full or broken.

    Safe to call from several threads, but a sink is for one.
    """

    @property
    def lock(self) -> Lock:
        """What holds an object until its day; never more than the place really does."""

    def store(self, name: str, *, keep_until: datetime | None = None) -> AbstractContextManager[Sink]:
        """Take an object: durable, and kept from its first moment on, when the block ends well; nothing has its name
        when the block raises or the process dies. ConflictError at the end of the block when the name is taken.
        """

    def read(self, name: str) -> Iterator[bytes]:
        """The object's bytes in chunks of at most 1 MiB. MissingError, at the first chunk, when there is none.

        Of what was ever stored under a name the first counts: whatever came later is not ours.
        """

    def objects(self, prefix: str) -> Iterator[Kept]:
        """Every object whose name begins with `prefix`, in no particular order, those that are hidden too."""

    def keep_until(self, name: str) -> datetime | None:
        """The day until which the object is kept; None when it never was. MissingError when there is none."""

    def extend(self, name: str, keep_until: datetime) -> None:
        """Keep it until then (`whole_second`). ForbiddenError when that is earlier than its day; MissingError."""

    def delete(self, name: str) -> None:
        """Remove it and whatever stands over it; none is no error. ForbiddenError before its day: nothing is gone."""

    def locks_unasked(self) -> str:
        """How the place locks every new object though nobody asks for it, in words; empty when it does not."""

    def unfinished(self, prefix: str) -> Iterator[str]:
        """Names below `prefix` that somebody began to store, and has not finished or never will."""

    def forget(self, name: str) -> None:
        """Give up what is unfinished under a name."""

    def challenge(self, kept: Sequence[str] = ()) -> list[Attempt]:
        """Store a small object that is kept for a moment, try to remove, change and release it with all that this
        process may do, and say what the store answered to each attempt; and which of the `kept` objects somebody has
        released before their day, where that shows. None of them `broken`: the lock held. Costs a few requests.
        """

    def close(self) -> None:
        """It is not used afterwards."""


def attempted(tried: str, answer: str, *, broken: str = "") -> Attempt:
    """An attempt with the answer on one line, no longer than `limits.LOCK_ANSWER_CHARS_MAX`: a stranger wrote it."""
    return Attempt(tried, " ".join(answer.split())[:LOCK_ANSWER_CHARS_MAX], broken)


def whole_second(instant: datetime) -> datetime:
    """The instant, in UTC, rounded up to a second: what every keeper can note."""
    instant = instant.astimezone(UTC)
    return instant.replace(microsecond=0) + timedelta(seconds=instant.microsecond > 0)


def check_longer(name: str, *, kept: datetime | None, asked: datetime) -> None:
    """ForbiddenError when an object would be kept for a shorter time than it is."""
    if kept is not None and asked < kept:
        raise ForbiddenError(
            f"could not keep {name!r} until {asked:%Y-%m-%d %H:%M:%SZ}: it is kept until {kept:%Y-%m-%d %H:%M:%SZ}"
        )


def check_over(name: str, *, kept: datetime | None, now: datetime) -> None:
    """ForbiddenError while an object's day is not over."""
    if kept is not None and now < kept:
        raise ForbiddenError(f"could not delete {name!r}: it is kept until {kept:%Y-%m-%d %H:%M:%SZ}")
