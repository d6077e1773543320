"""The two brakes of an operator: a freeze, in which nothing leaves or is erased, and maintenance, in which nothing
comes in.

A brake is what the newest event about it in the operators' own trail says, so it survives a restart, and who pulled it
and why stands there too. The trail itself goes on in maintenance.
"""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass, replace

import msgspec

from atp.app.pipeline import Stores
from atp.errors import ConflictError, UnavailableError
from atp.log.append import Outcome
from atp.log.event import Actor, Context, Event, Resource, read_event
from atp.log.query import Question, ask
from atp.log.reader import LogReader
from atp.tenants.access import PLATFORM
from atp.tenants.names import OPERATIONS

_RETRY_SECONDS = 10
_WAIT_SECONDS_MAX = 10.0


@dataclass(frozen=True, slots=True)
class Kind:
    """One brake: the action that pulls it and the one that releases it."""

    pull: str
    release: str


FREEZE = Kind("integrity.freeze", "integrity.unfreeze")
MAINTENANCE = Kind("maintenance.on", "maintenance.off")
KINDS = (FREEZE, MAINTENANCE)


class Pulled(msgspec.Struct, frozen=True):
    """A brake that is on: why, by whom, and since when."""

    reason: str
    person: str
    since: str


class Brakes:
    """What is braked now. Thread-safe; asking costs nothing."""

    def __init__(
        self,
        stores: Stores,
        *,
        reader_of: Callable[[str], LogReader],
        note: Callable[[Event], "Future[Outcome]"],
        now: Callable[[], str],
    ) -> None:
        self._stores = stores
        self._reader_of = reader_of
        self._note = note
        self._now = now
        self._pulled: dict[Kind, Pulled] = {}
        self._changing = threading.Lock()

    def load(self) -> None:
        """Read the state back from the trail, what was durable and not yet published included.

        Raises what reading that log raises.
        """
        for kind in KINDS:
            pulled_at, pulled = self._newest(kind.pull)
            released_at, _ = self._newest(kind.release)
            if pulled is not None and pulled_at > released_at:
                self._pulled[kind] = pulled

    def pulled(self, kind: Kind) -> Pulled | None:
        """Why a brake is on, None when it is off."""
        return self._pulled.get(kind)

    def pull(self, kind: Kind, *, reason: str, person: str, ip: str | None) -> None:
        """Put a brake on, or on for another reason: durably written down first, and in force when this returns."""
        with self._changing:
            at = self._tell(kind.pull, reason, person, ip)
            self._pulled[kind] = Pulled(reason, person, at)

    def release(self, kind: Kind, *, reason: str, person: str, ip: str | None) -> None:
        """Take a brake off, written down first. ConflictError when it is not on."""
        with self._changing:
            if kind not in self._pulled:
                raise ConflictError(f"could not do {kind.release}: there was no {kind.pull}", hint="nothing to do")
            self._tell(kind.release, reason, person, ip)
            del self._pulled[kind]

    def check_unfrozen(self, what: str) -> None:
        """ConflictError with the reason while the platform is frozen."""
        if frozen := self._pulled.get(FREEZE):
            raise ConflictError(
                f"could not {what}: the platform is frozen since {frozen.since}: {frozen.reason}",
                hint="atp integrity unfreeze, when that is settled",
            )

    def check_open(self, tenant: str) -> None:
        """UnavailableError with the reason while maintenance keeps events out of this log."""
        held = self._pulled.get(MAINTENANCE)
        if held and tenant != OPERATIONS:
            raise UnavailableError(
                f"could not record: maintenance since {held.since}: {held.reason}",
                hint="send it again later",
                retry_after_seconds=_RETRY_SECONDS,
            )

    def _tell(self, action: str, reason: str, person: str, ip: str | None) -> str:
        at = self._now()
        event = Event(
            actor=Actor(person),
            action=action,
            time=at,
            resource=Resource("platform", type="platform"),
            outcome="success",
            context=Context(ip=ip) if ip else None,
            data=msgspec.Raw(msgspec.json.encode({"reason": reason})),
        )
        try:
            self._note(event).result(_WAIT_SECONDS_MAX)
        except TimeoutError:
            raise UnavailableError(
                f"could not write {action!r} into the operators' trail in time", hint="see /health"
            ) from None
        return at

    def _newest(self, action: str) -> tuple[int, Pulled | None]:
        """The newest event of the platform with this action, and its index; -1 when there is none."""
        for index, entry in self._matching(action):
            read, event = read_event(entry)
            if read.by == PLATFORM and event.action == action and isinstance(event.data, msgspec.Raw):
                reason = msgspec.json.decode(event.data, type=dict[str, str])["reason"]
                return index, Pulled(reason, event.actor.id, event.time or read.received_at)
        return -1, None

    def _matching(self, action: str) -> Iterator[tuple[int, bytes]]:
        """Entries that may have this action, newest first."""
        reader = self._reader_of(OPERATIONS)
        published = reader.size()
        durable = reader.durable(published, self._stores.events.size(OPERATIONS))
        yield from reversed(list(enumerate(durable, published)))
        question: Question | None = Question(action=action)
        while question is not None:
            page = ask(question, tenant=OPERATIONS, reader=reader, read_models=self._stores.models)
            yield from page.events
            question = replace(question, cursor=page.next) if page.next else None
