"""Where the events of an act go: to the server, and to this machine's spool whenever the server does not take them."""

from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Protocol, TypeVar

import msgspec

from atp.client import Client, ServerBugError, tenant_path
from atp.errors import (
    AtpError,
    ConflictError,
    ForbiddenError,
    MalformedError,
    MissingError,
    RefusedError,
    TamperedError,
    UnavailableError,
)
from atp.limits import ACTS_EVENTS_MAX, SERVER_REST_SECONDS
from atp.log.event import Event
from atp.ops.record.act import Act, Person, Told, begins, fold_all, is_of, is_unbegun, read_mark
from atp.ops.record.deliver import deliver, see_log
from atp.ops.record.spool import read_record
from atp.ops.record.waiting import Spool
from atp.ports.clock import Clock
from atp.tenants.names import OPERATIONS
from atp.verify.remember import Memory

_AWAY = (UnavailableError, ServerBugError, TamperedError)
"""A log that contradicts what was seen of it is as good as none: what happens meanwhile is kept on this machine."""
_PLACE = ("index", "received_at", "by", "sealed")
"""Members of an answered event that are not its sender's."""
_PAGE_EVENTS = 1_000
PUBLISH_SECONDS = 2.0
"""That an event may take to be found by whoever asks for the act next; usually it is a twentieth of a second."""


T = TypeVar("T")


class Sink(Protocol):
    """Takes the events of acts, each durable when `write` returns."""

    def write(self, event: Event, *, expect: Mapping[str, int], is_outcome: bool) -> None:
        """Take one event. UnavailableError when it is written down nowhere.

        `expect` maps a resource to the index of its newest entry: ConflictError when it has a newer one. What is an
        outcome has happened already, so it is kept even where its author may no longer write.
        """


class ServerThenSpool:
    """The Sink of a command: the server behind `client` (None: there is none), else `spool`. For one thread.

    What waits in the spool is delivered before anything is sent, so the order of one machine is that of its events. A
    server that did not answer is left alone for a while. `user` is who acts when no server knows it; `tell` gets
    sentences for people. An event may take `publish_seconds` to be found by whoever asks next; None: that is not waited
    for.
    """

    def __init__(
        self,
        client: Client | None,
        spool: Spool,
        *,
        memory: Memory,
        clock: Clock,
        user: str,
        tell: Callable[[str], object],
        rest_seconds: float = SERVER_REST_SECONDS,
        publish_seconds: float | None = PUBLISH_SECONDS,
    ) -> None:
        self._client = client
        self._spool = spool
        self._memory = memory
        self._clock = clock
        self._user = user
        self._tell = tell
        self._rest_seconds = rest_seconds
        self._publish_seconds = publish_seconds
        self._rests_until = float("-inf")
        self._has_met = False

    def person(self) -> Person:
        """Who acts: the holder of the key, or the user of this machine when no server can say.

        UnauthorizedError for a key that the server does not know.
        """
        if self._client is not None and self._is_due():
            try:
                return Person(_decoded(self._client.get("/v1/caller").body, _Caller).person, is_bound=True)
            except (*_AWAY, MalformedError) as error:
                self._leave(error)
        return Person(self._user, is_bound=False)

    def write(self, event: Event, *, expect: Mapping[str, int], is_outcome: bool) -> None:
        """See Sink."""
        reason = self._try_server(event, expect, is_outcome=is_outcome)
        if reason is None:
            return
        if expect:
            raise UnavailableError(
                f"could not begin {event.action}: only the server knows whether {', '.join(expect)} is as expected, "
                f"and {reason}",
                hint="try again when it answers",
            )
        self._write_here(event, reason)

    def told(self, act: str) -> list[Told]:
        """Every event of an act that is published, and then what waits on this machine; only that, which is said, when
        the server does not answer.

        Costs a query, and reading the spool.
        """
        found = list[Told]()
        try:
            found = self._asked(self._client, act) if self._client else []
        except _AWAY as error:
            self._tell(f"warning: what the server knows of {act} is left out: {error}")
        here = [told_line(line) for line in self._spool.waiting()]
        return [one for one in (*found, *here) if is_of(act, one.event)]

    def recent(self, count: int) -> list[Act]:
        """The acts that were begun last, newest first, as far as they got; what waits on this machine is among them.

        Reads the operators' log backwards, `limits.ACTS_EVENTS_MAX` events at most, until it knows the beginning of as
        many. An act whose beginning lies before that is left out.
        """
        newest = [told_line(line) for line in self._spool.waiting()][::-1]
        try:
            newest += self._backwards(self._client, count) if self._client else []
        except _AWAY as error:
            self._tell(f"warning: what the server knows of acts is left out: {error}")
        begun = [act for act in fold_all(reversed(newest)).values() if not any(map(is_unbegun, act.remarks))]
        return sorted(begun, key=lambda act: act.id, reverse=True)[:count]

    def _backwards(self, client: Client, count: int) -> list[Told]:
        found, begun, cursor = list[Told](), 0, None
        for _ in range(ACTS_EVENTS_MAX // _PAGE_EVENTS):
            query = {"order": "-index", "limit": _PAGE_EVENTS, "cursor": cursor}
            page = _decoded(client.get(tenant_path(OPERATIONS, "events"), query).body, _Page)
            found += (rows := [_told(row) for row in page.events])
            begun += sum(mark is not None and begins(mark) for mark, _ in (read_mark(one.event) for one in rows))
            cursor = page.next
            if cursor is None or begun >= count:
                break
        return found

    def _asked(self, client: Client, act: str) -> list[Told]:
        found, cursor = list[Told](), None
        while True:
            query = {"text": act, "order": "index", "limit": _PAGE_EVENTS, "cursor": cursor}
            page = _decoded(client.get(tenant_path(OPERATIONS, "events"), query).body, _Page)
            found += [_told(row) for row in page.events]
            cursor = page.next
            if cursor is None:
                return found

    def _try_server(self, event: Event, expect: Mapping[str, int], *, is_outcome: bool) -> str | None:
        """None when the server took the event; else why it did not, where that is no reason to refuse the act."""
        if self._client is None:
            return "no server is known"
        if not self._is_due():
            return "the server did not answer just now"
        try:
            self._send(self._client, event, expect)
        except _AWAY as error:
            self._leave(error)
            return error.sentence
        except AtpError as error:
            if not is_outcome:
                raise
            self._tell(f"note: {error}")
            return error.sentence
        return None

    def _send(self, client: Client, event: Event, expect: Mapping[str, int]) -> None:
        self._deliver(client)
        query = {"expect": msgspec.json.encode(expect).decode() if expect else None, "wait": self._publish_seconds}
        client.send([msgspec.json.encode(event)], tenant=OPERATIONS, query=query)

    def _deliver(self, client: Client) -> None:
        """What waits, first; and once in the life of a sink, a look at the log.

        A spool that the server refuses keeps nobody from the server: it is said, and a person looks at it.
        """
        try:
            count = deliver(self._spool, client, self._memory)
        except (RefusedError, ConflictError, MissingError, TamperedError) as error:
            self._tell(f"note: the spool was not delivered: {error}")
        else:
            if count:
                self._tell(f"note: {count} {'record' if count == 1 else 'records'} of the spool delivered")
            elif self._has_met:
                return
        self._meet(client)

    def _meet(self, client: Client) -> None:
        """See the newest checkpoint. What this machine cannot keep of it is no reason to refuse an act."""
        try:
            seen = see_log(client, self._memory)
        except ForbiddenError as error:
            self._tell(f"note: the checkpoint of the operators' log was not seen: {error}")
        else:
            with suppress(UnavailableError):
                if seen is not None:
                    self._spool.see(seen.origin)
        self._has_met = True

    def _write_here(self, event: Event, reason: str) -> None:
        data = bytes(event.data) if isinstance(event.data, msgspec.Raw) else b"{}"
        named = b'%b,"sent_as":%b}' % (data[:-1], msgspec.json.encode(event.id))
        try:
            self._spool.add(msgspec.structs.replace(event, data=msgspec.Raw(named)))
        except UnavailableError as error:
            raise UnavailableError(
                f"could not begin {event.action}: {reason}; and {error.sentence}: no evidence, no act",
                hint="start the server, or make room for the spool",
            ) from None

    def _is_due(self) -> bool:
        return self._clock.monotonic() >= self._rests_until

    def _leave(self, error: AtpError) -> None:
        self._rests_until = self._clock.monotonic() + self._rest_seconds
        self._tell(f"note: what happens is written down on this machine: {error}")


class _Caller(msgspec.Struct):
    person: str


class _Page(msgspec.Struct):
    events: list[msgspec.Raw]
    next: str | None


class _Place(msgspec.Struct):
    index: int
    by: str


def told_line(line: bytes) -> Told:
    """The event of a line of a spool. MalformedError when it is none."""
    return Told(read_record(line).event)


def _decoded(body: bytes | msgspec.Raw, shape: type[T]) -> T:
    """What the server says, in the shape that it has to have. MalformedError."""
    try:
        return msgspec.json.decode(body, type=shape)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise MalformedError(f"could not read the answer: {error}", hint="check the URL") from None


def _told(row: msgspec.Raw) -> Told:
    members, place = _decoded(row, dict[str, msgspec.Raw]), _decoded(row, _Place)
    own = {name: value for name, value in members.items() if name not in _PLACE}
    return Told(_decoded(msgspec.json.encode(own), Event), place.by, place.index)
