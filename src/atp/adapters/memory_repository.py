"""The strictest Repository, in memory, for tests: what others bear is a ValueError here."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from atp.errors import ConflictError, ForbiddenError, MissingError
from atp.limits import REPOSITORY_CHUNK_BYTES
from atp.ports.clock import Clock
from atp.ports.object_store import check_key
from atp.ports.repository import Attempt, Kept, Lock, attempted, check_longer, check_over, whole_second

_CANARY = "canary/0"


@dataclass(slots=True)
class _Object:
    data: bytes
    keep_until: datetime | None


class MemoryRepository:
    """The Repository port on a dictionary; nothing outlives the process."""

    lock: Lock = "compliance"

    def __init__(self, clock: Clock, *, locks_for: timedelta | None = None) -> None:
        """`locks_for`: how long every object is kept for which nobody asks that."""
        self._clock = clock
        self._locks_for = locks_for
        self._objects: dict[str, _Object] = {}
        self._unfinished: set[str] = set()

    @contextmanager
    def store(self, name: str, *, keep_until: datetime | None = None) -> Iterator["_Gathered"]:
        """See Repository."""
        check_key(name)
        if keep_until is not None:
            _check_strict(keep_until)
        elif self._locks_for is not None:
            keep_until = whole_second(self._clock.now() + self._locks_for)
        sink = _Gathered([])
        self._unfinished.add(name)
        yield sink  # what a block that raises leaves behind is unfinished, as after a crash
        self._unfinished.discard(name)
        if name in self._objects:
            raise ConflictError(f"could not store {name!r}: the name is taken")
        self._objects[name] = _Object(b"".join(sink.chunks), keep_until)

    def read(self, name: str) -> Iterator[bytes]:
        """See Repository."""
        data = self._find(name).data
        for start in range(0, len(data), REPOSITORY_CHUNK_BYTES):
            yield data[start : start + REPOSITORY_CHUNK_BYTES]

    def objects(self, prefix: str) -> Iterator[Kept]:
        """See Repository."""
        found = [Kept(name, len(one.data)) for name, one in self._objects.items() if name.startswith(prefix)]
        yield from reversed(found)

    def keep_until(self, name: str) -> datetime | None:
        """See Repository."""
        return self._find(name).keep_until

    def extend(self, name: str, keep_until: datetime) -> None:
        """See Repository."""
        _check_strict(keep_until)
        kept = self._find(name)
        check_longer(name, kept=kept.keep_until, asked=keep_until)
        kept.keep_until = keep_until

    def delete(self, name: str) -> None:
        """See Repository."""
        check_key(name)
        if name in self._objects:
            check_over(name, kept=self._objects[name].keep_until, now=self._clock.now())
            del self._objects[name]

    def locks_unasked(self) -> str:
        """See Repository."""
        return f"for {self._locks_for}" if self._locks_for is not None else ""

    def unfinished(self, prefix: str) -> Iterator[str]:
        """See Repository."""
        yield from sorted(name for name in self._unfinished if name.startswith(prefix))

    def forget(self, name: str) -> None:
        """See Repository."""
        check_key(name)
        self._unfinished.discard(name)

    def challenge(self, kept: Sequence[str] = ()) -> list[Attempt]:
        """See Repository."""
        now = whole_second(self._clock.now())
        self._objects[_CANARY] = _Object(b"canary\n", now + timedelta(minutes=1))
        acts = {"remove an object": lambda: self.delete(_CANARY), "move its day": lambda: self.extend(_CANARY, now)}
        try:
            return [_try(tried, act) for tried, act in acts.items()]
        finally:
            self._objects.pop(_CANARY, None)

    def close(self) -> None:
        """See Repository."""

    def _find(self, name: str) -> _Object:
        check_key(name)
        if name not in self._objects:
            raise MissingError(f"could not read {name!r}: there is no such object")
        return self._objects[name]


@dataclass(frozen=True, slots=True)
class _Gathered:
    chunks: list[bytes]

    def write(self, data: bytes, /) -> None:
        """Take a copy."""
        self.chunks.append(bytes(data))


def _try(tried: str, act: Callable[[], object]) -> Attempt:
    try:
        act()
    except ForbiddenError as error:
        return attempted(tried, str(error))
    return attempted(tried, "done", broken=f"it was possible to {tried}")


def _check_strict(keep_until: datetime) -> None:
    if keep_until.tzinfo is not UTC or keep_until.microsecond:
        raise ValueError(f"{keep_until} is no whole second of UTC")
