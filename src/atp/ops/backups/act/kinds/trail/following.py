"""Following a trail: what it wrote since the last look is copied, sealed, and stored as the next increment.

An increment is a copy as a backup is, without the objects that the series holds already, and unverified: a restore, and
so a drill, verifies what comes of all of them. Each repository has a series of its own, so that none waits for another.
Repeatable: a death between the repository and the note of it ships the same objects once more.
"""

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

from atp.errors import AtpError, TooLargeError
from atp.ops.backups.act.kinds.shipping import Shipping
from atp.ops.backups.act.kinds.trail.capture import Captured, copy_trail
from atp.ops.backups.act.kinds.trail.increments import BEGINNING, Increment, log_prefix
from atp.ops.backups.act.kinds.trail.logs import ORDER, Held, others_of, state_of, trim_order
from atp.ops.backups.act.kinds.trail.merging import plain_bytes_max
from atp.ops.backups.act.kinds.trail.shipped import Shipped, logs_of, read_shipped, write_shipped
from atp.ops.backups.act.kinds.trail.telling import only_told
from atp.ops.backups.act.parts import unwatched
from atp.ops.backups.act.workplace import Workplace, remove_tree, workplace, writing
from atp.ops.backups.format.checking import file_sha256
from atp.ops.backups.format.seal import parse_recipients, seal
from atp.ops.backups.format.stream import chunks_of
from atp.ops.backups.format.tree import Packed, pack
from atp.ports.repository import Repository

_LOOK_SECONDS = 0.2
_RANDOM_BYTES = 6
_MOMENT = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class _Ready:
    """An increment that is sealed and written down, and what is known once the repository has it."""

    increment: Increment
    noted: Shipped
    sealed: Path


@dataclass(frozen=True, slots=True)
class _Looked:
    """What was copied last, and the state of all logs but the operators' just before."""

    held: Held
    others: str


@dataclass(slots=True)
class TrailFollowing:
    """See Follower. A look at half of the time that a change may wait leaves the other half for storing."""

    source: Path
    shipping: Shipping
    _known: dict[str, Shipped | None] = field(default_factory=dict)
    _ready: dict[str, _Ready] = field(default_factory=dict)
    _copied: dict[str, _Looked] = field(default_factory=dict)

    def run(self, *, is_over: Callable[[], bool]) -> None:
        """See Follower. ConflictError while another follows."""
        with writing(self.shipping.room):
            self.shipping.room.mkdir(mode=0o700, parents=True, exist_ok=True)
        with workplace(self.shipping.dataset, below=self.shipping.room) as place:
            self._begin()
            while not is_over():
                began = time.monotonic()
                self.follow_once(place)
                while not is_over() and time.monotonic() - began < self.shipping.within.total_seconds() / 2:
                    time.sleep(_LOOK_SECONDS)
            self.follow_once(place)

    def follow_once(self, place: Workplace) -> None:
        """Ship what is new to each repository; what goes wrong is told, and tried again the next time."""
        reached, is_whole = list[tuple[datetime, str]](), True
        for name, repository in self.shipping.repositories.items():
            try:
                reached.append(self._ship(name, repository, place))
            except AtpError as error:
                self.shipping.tell(str(error))
                is_whole = False
        if is_whole:
            self.shipping.is_well()
            covers, words = min(reached)
            self.shipping.shipped(words, covers)

    def _begin(self) -> None:
        for name, repository in self.shipping.repositories.items():
            self._known[name] = read_shipped(self._note(name))
            if self._known[name] is None:
                self.shipping.trouble(
                    f"nothing is known here of what {name} has: a new series begins, which holds all objects"
                )
            for left in [*repository.unfinished(log_prefix(self.shipping.dataset))]:
                repository.forget(left)

    def _ship(self, name: str, repository: Repository, place: Workplace) -> tuple[datetime, str]:
        """Until when everything is in the repository now, and the newest increment there. What was written down and did
        not come there is stored first, as it is: it needs no other record."""
        if name in self._ready:
            self._store(name, repository)
        known, looked_at, state = self._known[name], self.shipping.clock.now(), state_of(self.source / ORDER)
        if known is not None and (known.state == state or self._only_told(name)):
            return looked_at, f"{known.series}/{known.number:08}"
        self._make(name, place, state)
        return self._store(name, repository)

    def _only_told(self, name: str) -> bool:
        """Whether nothing but what we tell ourselves was written: each increment would be the reason for another."""
        last, order = self._copied.get(name), self.source / ORDER
        return (
            last is not None
            and others_of(order) == last.others
            and only_told(order, beyond=last.held, dataset=self.shipping.dataset)
        )

    def _make(self, name: str, place: Workplace, state: str) -> None:
        """Copy, seal and write down the next increment of a repository."""
        copy, sealed = place.folder / "copy", place.folder / f"sealed-{name}"
        for left in (copy, sealed):
            remove_tree(left)
        others = others_of(self.source / ORDER)
        captured, known = self._copy(copy, self._known[name])
        digest, size_bytes = self._seal(copy, sealed)
        increment = self._next(captured, known, digest, size_bytes)
        noted = Shipped(
            series=increment.series,
            number=increment.number,
            covers=increment.covers,
            state=state,
            logs=logs_of(captured.held),
        )
        self.shipping.record([increment.name(self.shipping.dataset)])
        self._ready[name] = _Ready(increment, noted, sealed)
        self._copied[name] = _Looked(captured.held, others)

    def _store(self, name: str, repository: Repository) -> tuple[datetime, str]:
        ready = self._ready[name]
        self.shipping.store(repository, ready.increment.name(self.shipping.dataset), chunks_of(ready.sealed))
        write_shipped(self._note(name), ready.noted)
        self._known[name] = ready.noted
        del self._ready[name]
        remove_tree(ready.sealed)
        return ready.increment.covers, ready.increment.words

    def _copy(self, copy: Path, known: Shipped | None) -> tuple[Captured, Shipped | None]:
        """What is beyond what is known; all of it, when these are not the logs that are known."""
        captured = self._copy_beyond(copy, known.published if known else {})
        if known is None or known.is_before(captured.held):
            return captured, known
        self.shipping.trouble(f"{self.source} does not go on from what was shipped of it: a new series begins")
        remove_tree(copy)
        return self._copy_beyond(copy, {}), None

    def _copy_beyond(self, copy: Path, beyond: Mapping[str, int]) -> Captured:
        with writing(copy):
            copy.mkdir(mode=0o700)
        captured = copy_trail(self.source, copy, backup="", now=self.shipping.clock.now, beyond=beyond)
        trim_order(copy / ORDER, captured.held.logs)
        return captured

    def _next(self, captured: Captured, known: Shipped | None, digest: str, size_bytes: int) -> Increment:
        """The next of the series that is known, or the first of a new one; a clock that was set back does not count."""
        if known is None:
            series = (
                f"{self.shipping.clock.now():%Y%m%dT%H%M%SZ}-{self.shipping.clock.random_bytes(_RANDOM_BYTES).hex()}"
            )
            return Increment(series, 1, BEGINNING, captured.copied_at, digest, size_bytes)
        covers = max(captured.copied_at, known.covers + _MOMENT)
        return Increment(known.series, known.number + 1, known.covers, covers, digest, size_bytes)

    def _seal(self, copy: Path, sealed: Path) -> tuple[str, int]:
        """Pack a copy and seal it to a file; its digest and size. TooLargeError: nobody would unpack it again."""
        plain_bytes = [0]

        def packed() -> Iterator[bytes]:
            for chunk in pack(copy, packed=Packed(has_links=False), note=unwatched):
                plain_bytes[0] += len(chunk)
                yield chunk

        with writing(sealed), sealed.open("xb") as file:
            seal(packed(), recipients=parse_recipients(self.shipping.recipients), into=file)
        digest, size_bytes = file_sha256(sealed, moved=unwatched), sealed.stat().st_size
        if plain_bytes[0] > plain_bytes_max(size_bytes):
            raise TooLargeError(
                f"could not ship the increment: {plain_bytes[0]:,} bytes became {size_bytes:,}, and no restore would"
                " believe that"
            )
        return digest, size_bytes

    def _note(self, repository: str) -> Path:
        return self.shipping.room / f"{repository}.json"
