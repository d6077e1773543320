"""What the operators' log tells of the datasets of an estate: read once, then kept up to date, in bounded memory."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from atp.limits import (
    EVIDENCE_DRILLS_MAX,
    EVIDENCE_FACT_BYTES_MAX,
    EVIDENCE_FACTS_MAX,
    EVIDENCE_PAGES_MAX,
    PAGE_EVENTS_MAX,
)
from atp.log.event import Entry, Event, parse_instant, read_entry, read_event
from atp.log.query import Page, Question
from atp.log.reader import LogReader
from atp.ops.estate.evidence.proofs import (
    ACTIONS,
    BACKUP_DONE,
    BACKUP_LISTED,
    BACKUP_VERIFIED,
    DRILL_DONE,
    Evidence,
    Fact,
    fold,
)
from atp.ops.estate.evidence.signoff import DRILL_REVIEWED, Reviewed

Ask = Callable[[Question], Page]
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_KEPT = {
    BACKUP_DONE: ("verdict", "backup", "repository", "point_at", "encrypted"),
    BACKUP_VERIFIED: ("verdict", "backup", "repository", "read_back", "isolated", "immutable"),
    BACKUP_LISTED: ("verdict", "repository", "copies", "oldest_at", "locked_until"),
    DRILL_DONE: (
        *("verdict", "scenario", "rpo_seconds", "rto_seconds", "failed"),
        *("host", "key_beside", "number", "sent_as"),
    ),
    DRILL_REVIEWED: ("number", "statement_sha256", "sent_as"),
}
"""What is kept of the data of each action; the rest is read from the log when somebody looks at a drill."""
_DECIDES = {
    BACKUP_DONE: ("repository", "verdict"),
    BACKUP_VERIFIED: ("repository", "verdict", "read_back", "isolated", "immutable"),
    BACKUP_LISTED: ("repository",),
}
"""Facts that agree in these say the same: the newest of them is kept, of copies the one that reaches furthest."""


@dataclass(frozen=True, slots=True)
class Placed:
    """A fact, and the event that tells it: its index and its id."""

    index: int
    id: str
    fact: Fact

    @property
    def number(self) -> int:
        """The number of a drill among those of its dataset; 0 when it says none."""
        number = self.fact.data.get("number")
        return number if isinstance(number, int) else 0


@dataclass(slots=True)
class _Told:
    """All that is kept of one dataset."""

    facts: dict[tuple[object, ...], Fact] = field(default_factory=dict)
    drills: dict[str, Placed] = field(default_factory=dict)
    reviews: dict[str, Placed] = field(default_factory=dict)
    are_all_drills: bool = True

    def add(self, placed: Placed) -> None:
        """Keep what this says, unless it is known better."""
        fact = placed.fact
        if fact.action == DRILL_DONE:
            self._add_drill(placed)
            return
        if fact.action == DRILL_REVIEWED:
            _keep_newest(self.reviews, placed)
            return
        key = _key(fact)
        known = self.facts.get(key)
        if known is None and len(self.facts) >= EVIDENCE_FACTS_MAX:
            return  # more repositories than anybody has: somebody makes them up
        if known is None or _reach(fact) >= _reach(known):
            self.facts[key] = fact

    def _add_drill(self, placed: Placed) -> None:
        if _keep_newest(self.drills, placed):
            self.are_all_drills = False

    def all(self) -> Iterator[Fact]:
        """Every fact that says how the dataset stands: a review does not."""
        yield from self.facts.values()
        yield from (placed.fact for placed in self.drills.values())


def _keep_newest(kept: dict[str, Placed], placed: Placed) -> bool:
    """Keep one more, and of all the newest; whether one was let go. An event that stands twice, as it was sent and once
    more from a spool, counts once."""
    kept.setdefault(placed.id, placed)
    if len(kept) <= EVIDENCE_DRILLS_MAX:
        return False
    del kept[min(kept.values(), key=lambda one: one.index).id]
    return True


class Ledger:
    """The facts of some datasets, as far as the log is published. For one thread at a time.

    At first it asks `EVIDENCE_PAGES_MAX` pages for each action of each dataset; then what is new, a question for each.
    """

    def __init__(self, ask: Ask, reader: LogReader) -> None:
        self._ask = ask
        self._reader = reader
        self._size = 0
        self._told: dict[str, _Told] = {}
        self._unreadable = 0
        self._is_cut = False
        self._evidence: Evidence | None = None

    def read(self, datasets: Iterable[str], now: datetime) -> Evidence:
        """The evidence of these datasets, as of `now`. Costs a look at the size of the log when nothing is new."""
        wanted, size = set(datasets), self._reader.size()
        if wanted != self._told.keys():
            self._told = {name: self._told[name] for name in wanted & self._told.keys()}
            self._evidence = None
        if self._told and self._size < size:
            self._is_cut = False
            self._add(self._new())
            if self._is_cut:  # one dataset told so much that others were not reached
                for name in self._told:
                    self._add(self._old(name))
        for name in wanted - self._told.keys():
            self._told[name] = _Told()
            self._add(self._old(name))
        self._size = size
        if self._evidence is None:
            facts = [fact for told in self._told.values() for fact in told.all()]
            found = fold(facts, now=now)
            self._evidence = replace(found, unreadable=found.unreadable + self._unreadable)
        return replace(self._evidence, read_at=now)

    def drills(self, dataset: str) -> list[Placed]:
        """The newest drills of a dataset, `EVIDENCE_DRILLS_MAX` at most, newest first."""
        told = self._told.get(dataset) or _Told()
        return sorted(told.drills.values(), key=lambda one: one.index, reverse=True)

    def reviews(self, dataset: str) -> list[Placed]:
        """The newest reviews of a dataset's drills, `EVIDENCE_DRILLS_MAX` at most, newest first."""
        told = self._told.get(dataset) or _Told()
        return sorted(told.reviews.values(), key=lambda one: one.index, reverse=True)

    def missing(self, dataset: str) -> list[int]:
        """The numbers of drills that were begun and never told, or taken away, as far back as drills are kept."""
        told = self._told.get(dataset) or _Told()
        numbers = {placed.number for placed in told.drills.values()} - {0}
        least = 1 if told.are_all_drills else min(numbers, default=1)
        most = max(numbers, default=0)
        if most - least > 10 * EVIDENCE_DRILLS_MAX:  # nobody drilled so often: a number that was made up
            return []
        return sorted(set(range(least, most)) - numbers)

    def _add(self, entries: Iterable[tuple[int, bytes]]) -> None:
        for index, entry in entries:
            read, event = read_event(entry)
            told = self._told.get(event.resource.id) if event.resource else None
            if told is None:
                continue
            placed = _placed(index, read, event)
            if placed is None:
                self._unreadable += 1
            else:
                told.add(placed)
            self._evidence = None

    def _new(self) -> Iterator[tuple[int, bytes]]:
        """What was published since the last look. `received_at` never goes back, so it narrows the questions."""
        since = parse_instant(read_entry(self._reader.entry(self._size)).received_at)
        for action in ACTIONS:
            question = Question(action=action, received_since=since, limit=PAGE_EVENTS_MAX)
            yield from (one for one in self._pages(question) if one[0] >= self._size)

    def _old(self, dataset: str) -> Iterator[tuple[int, bytes]]:
        for action in ACTIONS:
            yield from self._pages(Question(action=action, resource=dataset, limit=PAGE_EVENTS_MAX))

    def _pages(self, question: Question) -> Iterator[tuple[int, bytes]]:
        for _ in range(EVIDENCE_PAGES_MAX):
            page = self._ask(question)
            yield from page.events
            if page.next is None:
                return
            question = replace(question, cursor=page.next)
        self._is_cut = True


def _placed(index: int, read: Entry, event: Event) -> Placed | None:
    """What an event says, as far as it matters here; None when it cannot be read."""
    data = event.data
    if not isinstance(data, msgspec.Raw) or event.resource is None:
        return None
    try:
        told = msgspec.json.decode(data)
        if event.action == DRILL_REVIEWED:
            msgspec.convert(told, Reviewed)
    except (msgspec.MsgspecError, RecursionError):
        return None
    if not isinstance(told, dict):
        return None
    kept: dict[str, Any] = {name: told[name] for name in _KEPT[event.action] if name in told}
    if len(msgspec.json.encode(kept)) > EVIDENCE_FACT_BYTES_MAX:
        return None
    received_at = parse_instant(read.received_at)
    # A sender that tells late is believed, one that tells of the future is not.
    at = _EPOCH + timedelta(microseconds=min(received_at, _sent_at(event) or received_at))
    who = event.actor.id if read.by in ("", event.actor.id) else f"{event.actor.id} (sent by {read.by})"
    return Placed(
        index, str(kept.get("sent_as") or event.id or index), Fact(at, event.action, event.resource.id, kept, who)
    )


def _sent_at(event: Event) -> int | None:
    try:
        return parse_instant(event.time) if event.time else None
    except ValueError:
        return None


def _key(fact: Fact) -> tuple[object, ...]:
    return fact.action, *(msgspec.json.encode(fact.data.get(name)) for name in _DECIDES[fact.action])


def _reach(fact: Fact) -> tuple[datetime, datetime]:
    """Of two facts that say the same the one with the larger reach counts: as `fold` takes the newest copy."""
    if fact.action == BACKUP_DONE and fact.data.get("verdict") == "pass":
        try:
            return min(datetime.fromisoformat(fact.data["point_at"]), fact.at), fact.at
        except (KeyError, TypeError, ValueError):
            pass
    return fact.at, fact.at
