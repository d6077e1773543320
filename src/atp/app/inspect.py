"""The index level of `verify`: the views and the id index hold what the log holds, nothing less and nothing more.

The log is read a second time, in plain Python and one event after the other; the views were built from whole frames at
once. Where both agree bit for bit, no event is hidden from queries and none is invented.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import islice

import numpy as np

from atp.app.pipeline import Stores
from atp.errors import AtpError, UnavailableError
from atp.limits import FRAME_ENTRIES
from atp.log.event import event_id, parse_instant, read_event
from atp.log.project.follow import frames_due
from atp.log.reader import Cache, LogReader
from atp.log.terms import field_term, fold, word_term
from atp.ports.read_models import Frame
from atp.verify.options import Options
from atp.verify.report import FINDINGS_MAX, Finding, LevelVerdict, LogReport, Report

_SUBSETS = range(1, 16)


@dataclass(frozen=True, slots=True)
class Difference:
    """Where a view or the id index differs from the log: the first entry that it is about, and how."""

    tenant: str
    index: int
    what: str


def inspect(
    tenant: str,
    *,
    reader: LogReader,
    stores: Stores,
    frames: range | None = None,
    progress: Callable[[int], None] = lambda done: None,
) -> Iterator[Difference]:
    """Every difference of one log's views and ids, lazily, or only of some frames. Costs about 30 µs an entry.

    A view that is dropped and followed again meanwhile is no difference.
    """
    followed = stores.models.followed(tenant)
    size = reader.size()
    if followed > size // FRAME_ENTRIES:
        yield Difference(tenant, size, f"the view holds {followed} frames, the log has {size // FRAME_ENTRIES}")
    for number in range(-(-size // FRAME_ENTRIES)) if frames is None else frames:
        entries = reader.frame(number)
        first = number * FRAME_ENTRIES
        if number < followed and not _is_viewed(tenant, number, entries, stores):
            yield Difference(tenant, first, f"the view differs from entries {first} to {first + len(entries) - 1}")
        yield from _missing_ids(tenant, first, entries, stores)
        progress(first + len(entries))


def check_views(report: Report, stores: Stores, options: Options) -> Report:
    """A verifier's report with the index level of each of its logs, by stores that are open."""
    return replace(report, logs=tuple(_check(log, stores, options) for log in report.logs))


def _check(log: LogReport, stores: Stores, options: Options) -> LogReport:
    reader = LogReader(log.name, event_store=stores.events, object_store=stores.objects, cache=Cache())
    try:
        size = reader.size()
        differences = inspect(
            log.name, reader=reader, stores=stores, progress=lambda done: options.progress(done, size)
        )
        found = list(islice(differences, FINDINGS_MAX))
    except UnavailableError:
        raise
    except AtpError as error:  # what the log itself holds cannot be read: the other levels name the place
        return log.with_level("index", LevelVerdict("not possible here", str(error)))
    verdict = LevelVerdict("failed", "see the findings") if found else _reach(log.name, reader, stores)
    return log.with_level("index", verdict, [Finding("index", "views", one.what, one.index) for one in found])


def _reach(tenant: str, reader: LogReader, stores: Stores) -> LevelVerdict:
    """Ok, or how far the view goes: what it does not hold is read from the log itself, so nothing is hidden."""
    held = stores.models.followed(tenant) * FRAME_ENTRIES
    full = frames_due(reader.size()) * FRAME_ENTRIES
    if held < full:
        return LevelVerdict("partly", f"the view lacks entries {held} to {full - 1}; serve follows them again")
    return LevelVerdict("ok", "views and ids are what the log holds")


def _is_viewed(tenant: str, number: int, entries: list[bytes], stores: Stores) -> bool:
    try:
        frame = read_frame(number, entries)
        if stores.models.matches(tenant, frame):
            return True
    except AtpError:  # an entry that is not of our format: the payload level names it
        return False
    return stores.models.followed(tenant) <= number or stores.models.matches(tenant, frame)


def read_frame(number: int, entries: list[bytes]) -> Frame:
    """What the view has to hold of a frame, by this reading."""
    terms: set[int] = set()
    times: list[int] = []
    for entry in entries:
        read, event = read_event(entry)
        terms.update(_word_term(word) for word in fold(bytes(read.event)).split())
        fields = (event.actor.id, event.action, event.resource.id if event.resource else None, event.outcome)
        terms.update(_conjunctions(fields))
        times.append(parse_instant(event.time or read.received_at))
    return Frame(number, np.array(sorted(terms), np.uint64), min(times), max(times))


@lru_cache(maxsize=1 << 17)
def _word_term(word: bytes) -> int:
    return word_term(word)


@lru_cache(maxsize=1 << 14)
def _conjunctions(fields: tuple[str | None, ...]) -> tuple[int, ...]:
    """The term of every combination of the fields that the event has."""
    terms = []
    for subset in _SUBSETS:
        chosen = [value if subset >> bit & 1 else None for bit, value in enumerate(fields)]
        wanted = [bit for bit in range(4) if subset >> bit & 1]
        if all(fields[bit] is not None for bit in wanted):
            terms.append(field_term((chosen[0], chosen[1], chosen[2], chosen[3])))
    return tuple(terms)


def _missing_ids(tenant: str, first: int, entries: list[bytes], stores: Stores) -> Iterator[Difference]:
    ids = [event_id(entry) for entry in entries]
    found = stores.events.find(tenant, [known for known in ids if known])
    for offset, known in enumerate(ids):
        if known and first + offset not in found.get(known, ()):
            yield Difference(tenant, first + offset, f"the id index does not know entry {first + offset}")
