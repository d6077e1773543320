"""Checkpoints known elsewhere: each minute all that are new go into the operators' log, so that whoever watches that
one log watches every log.

Which are new is a fold over the operators' log itself: nothing is noted twice, and a crash loses none. `noted.json`
only remembers how far that fold got; when it is gone, the log is read again.
"""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future

import msgspec

from atp.app.pipeline import Stores
from atp.errors import MissingError, UnavailableError
from atp.limits import NOTED_ENTRY_BYTES_MAX, NOTED_SECONDS, NOTED_STEP_ENTRIES
from atp.log.append import Outcome
from atp.log.event import Actor, Event, read_event
from atp.log.reader import LogReader, read_checkpoint
from atp.merkle.encodings import format_base64
from atp.ports.clock import Clock
from atp.ports.event_store import Log
from atp.tenants.access import PLATFORM
from atp.tenants.names import OPERATIONS

NOTED = "checkpoints.noted"
STATE_KEY = "noted.json"
_MARK = b'"action":"checkpoints.noted"'
_WAIT_SECONDS_MAX = 10.0

Record = Callable[[Sequence[Event]], "Future[Outcome]"]
"""Writes events of the platform into the operators' log, all or none."""


class Noted(msgspec.Struct, frozen=True):
    """One checkpoint as the operators' log tells it; `root` is base64."""

    origin: str
    size: int
    root: str


class State(msgspec.Struct):
    """The fold: the operators' log was read below `through`, and this is the newest noted size of each origin."""

    through: int = 0
    sizes: dict[str, int] = msgspec.field(default_factory=dict)


class _Notes(msgspec.Struct):
    checkpoints: list[Noted]


class Noting:
    """Notes new checkpoints, a bounded step at a time; for one thread."""

    def __init__(
        self,
        stores: Stores,
        *,
        logs: Callable[[], Sequence[Log]],
        reader: LogReader,
        record: Record,
        now: Callable[[], str],
        clock: Clock,
    ) -> None:
        self._stores = stores
        self._logs = logs
        self._reader = reader
        self._record = record
        self._now = now
        self._clock = clock
        self._state: State | None = None
        self._kept = 0
        self._seen: dict[str, bytes] = {}
        self._due_at = clock.monotonic() + NOTED_SECONDS

    def note_once(self) -> int:
        """Read on, or note what is new when a minute is over; how many checkpoints were noted.

        A step reads `NOTED_STEP_ENTRIES` entries at most (30 ms), or compares the checkpoint of every log with the one
        that was seen before (1 µs a log, and 20 µs for one that is new). What fails is due again after another minute.
        """
        if all(log.tenant != OPERATIONS for log in self._logs()):
            return 0
        state = self._state = self._state or self._load()
        if not self._read_on(state) or self._clock.monotonic() < self._due_at:
            return 0
        self._due_at = self._clock.monotonic() + NOTED_SECONDS
        self._keep(state)
        return self._note(self._new(state))

    def _new(self, state: State) -> list[Noted]:
        """The checkpoints that are newer than what was noted; none when only the operators' log itself has one."""
        found = [noted for log in self._logs() if (noted := self._newer(log, state)) is not None]
        own = next((log.origin for log in self._logs() if log.tenant == OPERATIONS), "")
        return [] if all(noted.origin == own for noted in found) else found

    def _newer(self, log: Log, state: State) -> Noted | None:
        note = self._stores.events.checkpoint(log.tenant)
        if note is None or self._seen.get(log.origin) == note:
            return None
        checkpoint = read_checkpoint(note)
        if checkpoint.size <= state.sizes.get(log.origin, 0):
            self._seen[log.origin] = note
            return None
        return Noted(log.origin, checkpoint.size, format_base64(checkpoint.root))

    def _note(self, new: Sequence[Noted]) -> int:
        """Write them down in as few entries as hold them. UnavailableError when that is not durable in time."""
        if new:
            events = [self._event(part) for part in _parts(new)]
            try:
                self._record(events).result(_WAIT_SECONDS_MAX)
            except TimeoutError:
                raise UnavailableError("could not note the checkpoints in time", hint="see /health") from None
        return len(new)

    def _event(self, checkpoints: Sequence[msgspec.Raw]) -> Event:
        data = msgspec.Raw(b'{"checkpoints":[%b]}' % b",".join(map(bytes, checkpoints)))
        return Event(actor=Actor(PLATFORM), action=NOTED, time=self._now(), data=data)

    def _read_on(self, state: State) -> bool:
        """Fold the next entries of the operators' log; whether that were all that stood there at the beginning."""
        size = self._stores.events.size(OPERATIONS)
        entries = self._reader.durable(state.through, state.through + NOTED_STEP_ENTRIES)
        for entry in entries:
            for noted in _noted_in(entry):
                state.sizes[noted.origin] = max(noted.size, state.sizes.get(noted.origin, 0))
        state.through += len(entries)
        return state.through >= size

    def _load(self) -> State:
        """Where an earlier life of the process stopped reading; the beginning, when that cannot be said."""
        try:
            state = msgspec.json.decode(self._stores.objects.get(STATE_KEY), type=State)
        except (MissingError, msgspec.MsgspecError):
            return State()
        if not 0 <= state.through <= self._stores.events.size(OPERATIONS):
            return State()
        self._kept = state.through
        return state

    def _keep(self, state: State) -> None:
        """Remember where reading stopped, when it would take a step or more to get there again."""
        if state.through - self._kept >= NOTED_STEP_ENTRIES:
            self._stores.objects.replace(STATE_KEY, msgspec.json.encode(state))
            self._kept = state.through


def _parts(new: Sequence[Noted]) -> Iterator[list[msgspec.Raw]]:
    """The checkpoints in lists that each fit into an entry."""
    part, size = list[msgspec.Raw](), 0
    for noted in new:
        encoded = msgspec.json.encode(noted)
        if part and size + len(encoded) > NOTED_ENTRY_BYTES_MAX:
            yield part
            part, size = [], 0
        part.append(msgspec.Raw(encoded))
        size += len(encoded) + 1
    if part:
        yield part


def _noted_in(entry: bytes) -> list[Noted]:
    """The checkpoints that an entry notes: one that the platform itself wrote."""
    if _MARK not in entry:
        return []
    read, event = read_event(entry)
    if read.by != PLATFORM or event.action != NOTED or not isinstance(event.data, msgspec.Raw):
        return []
    try:
        return msgspec.json.decode(event.data, type=_Notes).checkpoints
    except msgspec.MsgspecError:
        return []
