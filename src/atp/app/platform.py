"""The open platform: what doors call. Each method decides access once, calls a station, and nothing else."""

import re
import threading
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass

from atp import limits
from atp.app.backlog import Backlog
from atp.app.brakes import Brakes
from atp.app.clock_steps import ClockSteps
from atp.app.commit import Committer
from atp.app.config import Config
from atp.app.estate import Recovery
from atp.app.installation_key import InstallationKey
from atp.app.integrity import Integrity, Surroundings
from atp.app.log_keys import LogKeys
from atp.app.noting import Noting
from atp.app.pipeline import Follow, Pipeline, Stores
from atp.app.rounds import Rounds
from atp.app.trail import Throttle, clock_event
from atp.errors import AtpError, ConflictError, ForbiddenError, MissingError, UnavailableError
from atp.formats.catalogue import Formats
from atp.log.append import Heads, Outcome, Request, append, parked_record
from atp.log.event import Event, Prepared, format_instant, parse_instant, prepare_event, read_event
from atp.log.prove import prove
from atp.log.query import Page, Question, ask
from atp.log.reader import Cache, LogReader
from atp.merkle.tlogproof import TlogProof
from atp.observe import Lines, Meters
from atp.ports.clock import Clock
from atp.ports.event_store import Log, Parked
from atp.ports.key_store import ApiKey
from atp.tenants.access import PLATFORM, SCOPES, Caller, authenticate, check_may, holder_of, issue_key, missing_tenant
from atp.tenants.names import OPERATIONS, check_tenant, origin_of

_FOLLOW_PAUSE_SECONDS = 0.01
_INDEX = re.compile(r"@[0-9]{1,18}")
_WATCHMAN = Caller(PLATFORM, "", SCOPES)


@dataclass(frozen=True, slots=True)
class Record:
    """One published event: its place, and the entry's bytes."""

    index: int
    entry: bytes


class Platform:
    """Everything a door may do. Thread-safe; `start` begins the loops, `stop` ends them and loses nothing."""

    def __init__(
        self,
        stores: Stores,
        *,
        config: Config,
        installation: str,
        formats: Formats,
        clock: Clock,
        lines: Lines,
        meters: Meters,
        stopped: Mapping[str, str] = {},
        generation: int = 1,
        follow: Follow | None = None,
    ) -> None:
        self.config = config
        self.installation = installation
        self._generation = generation  # of new logs: what a tenant of this name signed before a restore nobody knows
        self.formats = formats
        self.clock = clock
        self.lines = lines
        self.meters = meters
        self.stores = stores
        self.bug: Exception | None = None
        self._admin = threading.Lock()
        self._cache = Cache()
        self._heads = Heads()
        self._backlog = Backlog()
        self._logs = {log.tenant: log for log in stores.events.logs()}
        self._readers: dict[str, LogReader] = {}
        self._keys = stores.keys.api_keys()
        self.pipeline = Pipeline(
            stores,
            reader_of=self._reader,
            lines=lines,
            meters=meters,
            on_bug=self._on_bug,
            stopped=stopped,
            follow=follow,
        )
        self.committer = Committer(self._append, on_durable=self.pipeline.publishing.wake, on_bug=self._on_bug)
        self.log_keys = LogKeys(
            stores, clock=clock, announce=self._announce, when_published=self.pipeline.when_published
        )
        self.brakes = Brakes(stores, reader_of=self._reader, note=self.note, now=self.now)
        self.integrity = Integrity(
            stores,
            Surroundings(config.data, lambda: list(self._logs.values()), self.note, self.now, clock, lines, meters),
        )
        self.installation_key = InstallationKey(stores, installation=installation, clock=clock)
        self.noting = Noting(
            stores,
            logs=lambda: list(self._logs.values()),
            reader=self._reader(OPERATIONS),
            record=self._note_all,
            now=self.now,
            clock=clock,
        )
        self.recovery = self._recovery()
        self._clock_throttle = Throttle(clock)
        self._rounds = Rounds(
            self.integrity,
            steps=ClockSteps(clock),
            note_once=self.noting.note_once,
            is_busy=self._is_busy,
            on_step=self._on_clock_step,
            on_bug=self._on_bug,
            lines=lines,
        )

    def start(self) -> None:
        """Recover what a crash left, then run."""
        for log in self._logs.values():
            with suppress(MissingError):  # a log without keys is stopped when it is to be signed
                self.log_keys.settle(log.tenant)
        try:
            self.brakes.load()
        except AtpError as error:  # a trail that cannot be read takes no acts either
            self.lines.write("error", "brakes_unknown", reason=str(error))
        self._introduce()
        self.pipeline.start()
        self.committer.start()
        self._rounds.start()

    def stop(self) -> None:
        """Write what waits, end the loops, close the stores."""
        self.integrity.stop()
        self._rounds.stop()
        self.committer.stop()
        self.pipeline.stop()
        self.stores.events.close()

    def authenticate(self, key: str) -> Caller:
        """Who holds this key. UnauthorizedError when nobody does."""
        return authenticate(key, self._keys)

    def holder(self, key_id: str) -> Caller:
        """Who holds the key of this id now. UnauthorizedError when it is revoked, or there is none."""
        return holder_of(key_id, self._keys)

    # --- events in

    def record(
        self,
        events: Sequence[Prepared],
        *,
        by: Caller,
        tenant: str,
        is_parking: bool = False,
        parked: Sequence[Parked] = (),
        expect: Mapping[str, int] | None = None,
    ) -> "Future[Outcome]":
        """Queue events for the next group commit; the future is done when they are durable or refused.

        `expect` as `Request` has it; see `acts.expectation` for one that may reach far back.
        """
        check_may(by, "ingest", tenant)
        self._log(tenant)
        self._check_open(tenant)
        self.brakes.check_open(tenant)
        return self.committer.submit(Request(tenant, by.person, events, is_parking, parked, expect or {}))

    def park(self, body: bytes, reason: str) -> Parked:
        """A dead letter of now."""
        return parked_record(body, reason, parked_at=self.now())

    def note(self, event: Event) -> "Future[Outcome]":
        """Write an act down in the operators' own trail; the future is done when that is durable."""
        return self._note_all([event])

    # --- events out

    def reader(self, tenant: str, *, by: Caller, scope: str = "read") -> LogReader:
        """Read access to one tenant's published log."""
        check_may(by, scope, tenant)
        self._log(tenant)
        if scope == "export":
            self.brakes.check_unfrozen("export")
        return self._reader(tenant)

    def ask(self, question: Question, *, by: Caller, tenant: str) -> Page:
        """A page of events."""
        return ask(question, tenant=tenant, reader=self.reader(tenant, by=by), read_models=self.stores.models)

    def find(self, event: str, *, by: Caller, tenant: str) -> Record:
        """One published event, by its id or as `@INDEX`. MissingError when it is not there, or not published yet."""
        reader = self.reader(tenant, by=by)
        if _INDEX.fullmatch(event):
            return Record(int(event[1:]), reader.entry(int(event[1:])))
        size = reader.size()
        for index in self.stores.events.find(tenant, [event]).get(event, ()):
            if index < size:
                entry = reader.entry(index)
                if read_event(entry)[1].id == event:
                    return Record(index, entry)
        raise MissingError(f"could not find the event {event!r} of {tenant}", hint="an id, or @INDEX")

    def prove(self, event: str, *, by: Caller, tenant: str) -> TlogProof:
        """The offline proof of one event under the newest checkpoint."""
        return prove(self.find(event, by=by, tenant=tenant).index, reader=self._reader(tenant))

    def vkeys(self, tenant: str, *, by: Caller, scope: str = "read") -> list[str]:
        """The public keys that the log's checkpoints verify under; two during a key change."""
        self.reader(tenant, by=by, scope=scope)
        return [key.vkey for key in self.log_keys.keys(tenant)]

    def freshness(self, tenant: str, *, size: int, viewed_size: int) -> dict[str, float]:
        """How far an answer reaches: published entries, entries seen by the views, and the seconds between."""
        lag = 0.0
        if viewed_size < size:
            oldest = read_event(self._reader(tenant).entry(viewed_size))[0].received_at
            lag = max(0.0, self.clock.now().timestamp() - _seconds(oldest))
        return {"size": size, "viewed_size": viewed_size, "lag_seconds": round(lag, 3)}

    # --- tenants and keys

    def logs(self, *, by: Caller) -> list[Log]:
        """The logs that the caller may see."""
        return [log for log in self._logs.values() if by.sees(log.tenant)]

    def create_tenant(self, tenant: str, *, by: Caller) -> Log:
        """A new tenant with an empty log, its own key and origin. ConflictError when it exists."""
        check_may(by, "admin", tenant)
        return self.add_tenant(tenant)

    def add_tenant(self, tenant: str) -> Log:
        """Create a log without asking who may: for the first start."""
        check_tenant(tenant)
        with self._admin:
            if tenant in self._logs:
                raise ConflictError(f"could not create the tenant {tenant!r}: it exists", hint="atp tenant list")
            origin = origin_of(tenant, installation=self.installation, generation=self._generation)
            log = self._create_log(Log(tenant, origin, self.now()))
            self.log_keys.show(tenant)
            self._logs[tenant] = log
        self.pipeline.add_log(tenant, log.origin)
        return log

    def issue_key(
        self, *, person: str, scopes: Sequence[str], tenants: Sequence[str], by: Caller
    ) -> tuple[ApiKey, str]:
        """A new key and its text, shown once. Nobody gives away more tenants than he has himself."""
        check_may(by, "admin")
        for tenant in tenants:
            check_may(by, "admin", tenant)
            self._log(tenant)
        if not by.covers(tenants):
            raise ForbiddenError(
                f"could not issue a key for all tenants: the key {by.key_id} of {by.person} is for some",
                hint="name tenants",
            )
        key, text = self.add_key(person=person, scopes=scopes, tenants=tenants)
        return key, text

    def add_key(self, *, person: str, scopes: Sequence[str], tenants: Sequence[str]) -> tuple[ApiKey, str]:
        """Issue a key without asking who may: for the first start."""
        random = self.clock.random_bytes(38)
        key, text = issue_key(person=person, scopes=scopes, tenants=tenants, created_at=self.now(), random=random)
        with self._admin:
            self.stores.keys.put_api_keys([*self._keys, key])
            self._keys = [*self._keys, key]
        return key, text

    def revoke_key(self, key_id: str, *, by: Caller) -> None:
        """The key opens nothing from now on. MissingError when there is none."""
        check_may(by, "admin")
        with self._admin:
            if not any(key.id == key_id and by.covers(key.tenants) for key in self._keys):
                raise MissingError(f"could not revoke the key {key_id!r}: there is none", hint="atp key list")
            keys = [_revoked(key, self.now()) if key.id == key_id else key for key in self._keys]
            self.stores.keys.put_api_keys(keys)
            self._keys = keys

    def api_keys(self, *, by: Caller) -> list[ApiKey]:
        """Every key that was issued for tenants of the caller's alone, without its secret."""
        check_may(by, "admin")
        return [key for key in self._keys if by.covers(key.tenants)]

    def dead_letters(self, tenant: str, *, limit: int, by: Caller) -> list[Parked]:
        """The oldest parked records of a tenant."""
        check_may(by, "read", tenant)
        self._log(tenant)
        return self.stores.events.parked(tenant, limit=limit)

    def now(self) -> str:
        """The clock as RFC 3339 UTC."""
        return format_instant(int(self.clock.now().timestamp() * 1_000_000))

    # --- inside

    def _check_open(self, tenant: str) -> None:
        if self.bug is not None:
            raise UnavailableError("could not record: the server ends because of a bug", hint="send it again later")
        self.pipeline.check_open(tenant)

    def _create_log(self, log: Log) -> Log:
        """The log with a key to sign it; as it stands when an earlier try made it though that seemed to fail."""
        self.log_keys.make(log.tenant, log.origin)
        try:
            self.stores.events.create_log(log)
        except (ConflictError, UnavailableError):
            made = next((made for made in self.stores.events.logs() if made.tenant == log.tenant), None)
            if made is None:
                raise
            return made
        return log

    def _note_all(self, events: Sequence[Event]) -> "Future[Outcome]":
        """Write what the platform itself has to say into the operators' own trail, all or none."""
        self._check_open(OPERATIONS)
        return self.committer.submit(Request(OPERATIONS, PLATFORM, [prepare_event(event) for event in events]))

    def _introduce(self) -> None:
        """Let the operators' log name the installation and its evidence key, before anything else is written there."""
        if OPERATIONS not in self._logs:
            return
        try:
            self.installation_key.make()
            event = self.installation_key.announcement(self._reader(OPERATIONS), at=self.now())
            if event is not None:
                self.note(event)
        except AtpError as error:  # a trail that is stopped is told at the next start
            self.lines.write("error", "installation_unnamed", reason=str(error))

    def _announce(self, tenant: str, event: Event) -> "Future[Outcome]":
        """Write an act that changes what a tenant's log means into that log."""
        self._check_open(tenant)
        return self.committer.submit(Request(tenant, event.actor.id, [prepare_event(event, reserved=True)]))

    def _is_busy(self) -> bool:
        loops = (self.pipeline.publishing, self.pipeline.following)
        return self.committer.waiting_events() > 0 or not all(loop.is_idle() for loop in loops)

    def _on_clock_step(self, seconds: float) -> None:
        self.lines.write("error", "clock_stepped", seconds=round(seconds, 3))
        if OPERATIONS in self._logs and self._clock_throttle.is_due(PLATFORM, "clock"):
            with suppress(UnavailableError):
                self.note(clock_event(seconds, at=self.now()))

    def _append(self, requests: Sequence[Request]) -> list[Outcome | AtpError]:
        self._await_views({request.tenant for request in requests})
        began = time.perf_counter()
        outcomes = append(
            requests,
            event_store=self.stores.events,
            reader_of=self._reader,
            clock=self.clock,
            heads=self._heads,
        )
        self.meters.time("atp_commit_seconds", time.perf_counter() - began)
        for tenant in {request.tenant for request in requests}:
            self._backlog.grew(tenant, size=self.stores.events.size(tenant), at=time.monotonic())
        for outcome in outcomes:
            if isinstance(outcome, Outcome):
                self.meters.count("atp_events_accepted", outcome.accepted)
                self.meters.count("atp_events_duplicate", outcome.duplicates)
                self.meters.count("atp_events_parked", outcome.parked)
        return outcomes

    def _await_views(self, tenants: set[str]) -> None:
        """Let the views catch up before the next group, so that an answer is never far behind the acknowledgements."""
        following = self.pipeline.following
        while (
            any(self._lag_seconds(tenant) > limits.LAG_SECONDS_MAX for tenant in tenants)
            and following.trouble is None
            and self.pipeline.publishing.trouble is None
            and not tenants & self.pipeline.stopped.keys()
            and self.bug is None
        ):
            time.sleep(_FOLLOW_PAUSE_SECONDS)

    def _lag_seconds(self, tenant: str) -> float:
        if self.pipeline.is_rebuilding(tenant):
            return 0.0
        return self._backlog.age_seconds(tenant, followed=self.pipeline.followed(tenant), at=time.monotonic())

    def _reader(self, tenant: str) -> LogReader:
        reader = self._readers.get(tenant)
        if reader is None:
            stores = self.stores
            reader = LogReader(tenant, event_store=stores.events, object_store=stores.objects, cache=self._cache)
            self._readers[tenant] = reader
        return reader

    def _log(self, tenant: str) -> Log:
        if tenant not in self._logs:
            raise missing_tenant(tenant)
        return self._logs[tenant]

    def _recovery(self) -> Recovery:
        return Recovery(
            self.config.estate,
            ask=lambda question: self.ask(question, by=_WATCHMAN, tenant=OPERATIONS),
            reader=self._reader(OPERATIONS),
            identity=self.config.recovery.identity,
            clock=self.clock,
            lines=self.lines,
        )

    def _on_bug(self, bug: Exception) -> None:
        self.bug = bug
        self.lines.write("critical", "bug", kind=type(bug).__name__, reason=str(bug))


def _revoked(key: ApiKey, at: str) -> ApiKey:
    return ApiKey(key.id, key.person, key.scopes, key.tenants, key.secret_sha256, key.created_at, key.revoked_at or at)


def _seconds(instant: str) -> float:
    return parse_instant(instant) / 1_000_000
