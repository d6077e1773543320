"""The estate as the server knows it: the declared file, read again when it changes, and what the trail proves of it."""

import os
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from hashlib import sha256
from pathlib import Path

import msgspec

from atp.app.ledger import Ask, Ledger, Placed
from atp.errors import AtpError, DeclaredError, Fault, ForbiddenError, MalformedError, MissingError
from atp.limits import (
    DECLARATION_BYTES_MAX,
    ESTATE_FAULTS_TOLD_MAX,
    ESTATE_LOOK_SECONDS,
    ESTATE_PARTS_MAX,
    EVIDENCE_FRESH_SECONDS,
    EVIDENCE_PAGES_MAX,
    REVIEWS_SHOWN_MAX,
)
from atp.log.event import Event, read_event
from atp.log.query import Question
from atp.log.reader import LogReader
from atp.observe import Lines
from atp.ops.drills.evidence.figures import read_done
from atp.ops.drills.evidence.history import Drill, Told
from atp.ops.drills.evidence.reviews import reviews_of
from atp.ops.estate.declare.parse import parse_estate
from atp.ops.estate.declare.values import Estate
from atp.ops.estate.evidence.copies import subjects
from atp.ops.estate.evidence.declared import ESTATE_DECLARED, estate_text
from atp.ops.estate.evidence.due import Due
from atp.ops.estate.evidence.finding import Colour
from atp.ops.estate.evidence.proofs import UNKNOWN, Evidence
from atp.ops.estate.evidence.signoff import Review
from atp.ops.estate.evidence.standing import Standing, standing_of
from atp.ports.clock import Clock

NEXT = "atp serve --estate estate.yaml"


@dataclass(frozen=True, slots=True)
class Declared:
    """The file as it was read last. `problem` says why what stands there now cannot be used; then `estate` is the
    last good one, and None when there never was one."""

    file: Path
    estate: Estate | None = None
    sha256: str = ""
    read_at: datetime | None = None
    problem: AtpError | None = None

    @property
    def faults(self) -> tuple[Fault, ...]:
        """Each place of the file that is wrong."""
        return self.problem.faults if isinstance(self.problem, DeclaredError) else ()


@dataclass(frozen=True, slots=True)
class Seen:
    """One look at the estate: what is declared, what is proven of it, how each dataset stands, when that was."""

    declared: Declared
    at: datetime
    evidence: Evidence = UNKNOWN
    standings: Mapping[str, Standing] = field(default_factory=dict)

    @property
    def estate(self) -> Estate:
        """What is declared. MissingError when no file could ever be read."""
        if self.declared.estate is None:
            raise MissingError(
                f"could not show the estate: {self.declared.file} was never read well",
                hint=f"atp estate check -f {self.declared.file}",
            )
        return self.declared.estate

    def standing(self, dataset: str) -> Standing:
        """How one dataset stands. MissingError when the file declares none of that name."""
        if dataset not in self.standings:
            raise MissingError(
                f"could not find the dataset {dataset[:80]!r}: the estate file has none", hint="atp estate show"
            )
        return self.standings[dataset]

    def due(self) -> list[Due]:
        """All that is due or overdue, the latest first: what was never done, then by when it should have been."""
        found = [one for standing in self.standings.values() for one in standing.due if one.state != "ok"]
        return sorted(found, key=lambda one: (one.state != "overdue", one.due_at is not None, one.due_at or self.at))

    def count(self, colour: Colour) -> int:
        """How many datasets are of this colour."""
        return sum(standing.colour == colour for standing in self.standings.values())


class DeclaredFile:
    """The estate file of a server. Thread-safe; looks at the file every `ESTATE_LOOK_SECONDS` at most."""

    def __init__(self, file: Path, *, clock: Clock, lines: Lines) -> None:
        self._clock = clock
        self._lines = lines
        self._lock = threading.Lock()
        self._stamp: tuple[int, ...] | None = None
        self._look_at = float("-inf")
        self._declared = Declared(file)

    def current(self) -> Declared:
        """What is declared now. A second for a file of the largest size when it has changed; else next to nothing."""
        with self._lock:
            now = self._clock.monotonic()
            if now >= self._look_at:
                self._look_at = now + ESTATE_LOOK_SECONDS
                self._look()
            return self._declared

    def _look(self) -> None:
        known, stamp = self._declared, _stamp_of(self._declared.file)
        if stamp == self._stamp:
            return
        self._stamp = stamp
        try:
            data = _read(known.file)
            estate = parse_estate(data, file=str(known.file))
        except AtpError as error:
            self._declared = replace(known, problem=error)
            self._tell(error)
            return
        self._declared = Declared(known.file, estate, sha256(data).hexdigest(), self._clock.now())
        self._lines.write("info", "estate_read", file=str(known.file), sha256=self._declared.sha256)

    def _tell(self, error: AtpError) -> None:
        faults = error.faults[:ESTATE_FAULTS_TOLD_MAX] if isinstance(error, DeclaredError) else ()
        self._lines.write("error", "estate_refused", reason=str(error), faults=[str(fault) for fault in faults])


class Recovery:
    """What doors, health and the scheduler ask of the estate. Thread-safe; one look serves all for a second."""

    def __init__(
        self, file: Path | None, *, ask: Ask, reader: LogReader, identity: Path | None, clock: Clock, lines: Lines
    ) -> None:
        self._file = DeclaredFile(file, clock=clock, lines=lines) if file is not None else None
        self._ask = ask
        self._ledger = Ledger(ask, reader)
        self._reader = reader
        self._is_key_here = identity is not None
        self._clock = clock
        self._lock = threading.Lock()
        self._fresh_until = float("-inf")
        self._seen: Seen | None = None

    @property
    def is_declared(self) -> bool:
        """Whether the server was given an estate file, be it good or not."""
        return self._file is not None

    def look(self) -> Seen:
        """How the estate stands, a second old at most. MissingError when the server was given no estate file.

        Raises what the operators' log raises when it cannot be read.
        """
        if self._file is None:
            raise MissingError("could not show the estate: the server was started without one", hint=NEXT)
        with self._lock:
            if self._seen is None or self._clock.monotonic() >= self._fresh_until:
                self._seen = self._see(self._file.current())
                self._fresh_until = self._clock.monotonic() + EVIDENCE_FRESH_SECONDS
            return self._seen

    def drills(self, dataset: str | None) -> list[Placed]:
        """The drills of one dataset, or of all that are declared, newest first."""
        self.look()
        with self._lock:
            assert self._seen is not None, "it was just seen"
            names = self._seen.standings if dataset is None else [dataset]
            found = [placed for name in names for placed in self._ledger.drills(name)]
        return sorted(found, key=lambda placed: placed.index, reverse=True)

    def missing(self, dataset: str) -> list[int]:
        """The numbers of drills that nothing was told of."""
        with self._lock:
            return self._ledger.missing(dataset)

    def drill(self, placed: Placed) -> Drill | None:
        """All figures of a drill, read from its event; None when they are of no drill. One entry is read."""
        _, event = read_event(self._reader.entry(placed.index))
        try:
            done = read_done(_data(event))
        except MalformedError:
            return None
        return Drill(placed.id, placed.fact.at, placed.fact.actor, placed.fact.resource, done, placed.index)

    def find_drill(self, dataset: str, number: int) -> Drill:
        """One drill by its name. MissingError when none is told of."""
        for placed in self.drills(dataset):
            if placed.number == number and (drill := self.drill(placed)) is not None:
                return drill
        raise MissingError(f"could not find the drill {dataset[:80]}/{number}", hint=f"atp drill list {dataset[:80]}")

    def reviews(self, drills: Sequence[Drill]) -> dict[str, tuple[Review, ...]]:
        """What was found of these drills, by their ids. One entry is read for each review, of the newest
        `REVIEWS_SHOWN_MAX` of a drill."""
        with self._lock:
            placed = [one for name in {drill.dataset for drill in drills} for one in self._ledger.reviews(name)]
        wanted = {(drill.dataset, drill.done.number): REVIEWS_SHOWN_MAX for drill in drills}
        told = list[Told]()
        for one in placed:
            key = (one.fact.resource, one.number)
            if wanted.get(key, 0) > 0:
                wanted[key] -= 1
                told.append(self._told(one))
        return reviews_of(drills, told)

    def estate_text(self, digest: str) -> bytes | None:
        """The estate file of this digest, as the operators' log tells it; None when it does not. Costs a question."""
        question, told = Question(action=ESTATE_DECLARED, resource=digest, order="index", limit=ESTATE_PARTS_MAX), []
        for _ in range(EVIDENCE_PAGES_MAX):
            page = self._ask(question)
            told += [_data(read_event(entry)[1]) for _, entry in page.events]
            if page.next is None or len(told) >= ESTATE_PARTS_MAX:
                break
            question = replace(question, cursor=page.next)
        return estate_text(told, digest=digest)

    def _told(self, placed: Placed) -> Told:
        fact, data = placed.fact, _data(read_event(self._reader.entry(placed.index))[1])
        return Told(placed.id, fact.at, fact.actor, fact.resource, data if isinstance(data, dict) else {}, placed.index)

    def _see(self, declared: Declared) -> Seen:
        now, estate = self._clock.now(), declared.estate
        if estate is None:
            return Seen(declared, now)
        beside = [name for name, one in estate.datasets.items() if self._is_key_here and one.source.place is not None]
        evidence = replace(self._ledger.read(estate.datasets, now), keys_here=frozenset(beside))
        standings = {subject.name: standing_of(subject) for subject in subjects(estate, evidence, now)}
        return Seen(declared, now, evidence, standings)


def _stamp_of(file: Path) -> tuple[int, ...]:
    try:
        found = file.stat()
    except OSError as error:
        return (error.errno or 0,)
    return found.st_mtime_ns, found.st_size, found.st_ino


def _read(file: Path) -> bytes:
    try:
        with open(file, "rb", opener=_without_waiting) as opened:
            return opened.read(DECLARATION_BYTES_MAX + 1)
    except FileNotFoundError:
        hint = f"begin with: atp estate schema --example > {file}"
        raise MissingError(f"could not read the estate file {file}: it does not exist", hint=hint) from None
    except OSError as error:
        raise ForbiddenError(f"could not read the estate file {file}: {error.strerror}", hint="ls -l") from None


def _without_waiting(path: str, flags: int) -> int:
    """For a pipe nobody may write into: the server would wait for ever."""
    return os.open(path, flags | os.O_NONBLOCK)


def _data(event: Event) -> object:
    return msgspec.json.decode(event.data) if isinstance(event.data, msgspec.Raw) else None
