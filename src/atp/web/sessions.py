"""Who is signed in: one-time links, open sessions, and how often one may try. In memory: a restart signs everybody out.

A link and a session's cookie hold 32 random bytes; only their SHA-256 is kept here. The least recently used goes first
when there are too many.
"""

import threading
from collections import OrderedDict
from dataclasses import dataclass
from hashlib import sha256
from typing import TypeVar

from atp.errors import RateLimitedError, UnauthorizedError
from atp.limits import LOGIN_ADDRESSES_MAX, LOGIN_FAILURES_MAX, SESSIONS_MAX, TICKETS_MAX
from atp.ports.clock import Clock

IDLE_SECONDS_MAX = 12 * 3600.0
TICKET_SECONDS_MAX = 15 * 60.0
_WINDOW_SECONDS = 60.0
_SECRET_BYTES = 32

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Session:
    """A signed-in browser: it acts through the key `key_id`, and `csrf` stands in each of its forms."""

    key_id: str
    csrf: str


class Sessions:
    """One-time links and open sessions. Thread-safe; each call costs a hash."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._tickets: OrderedDict[bytes, tuple[str, float]] = OrderedDict()
        self._sessions: OrderedDict[bytes, tuple[Session, float]] = OrderedDict()

    def issue_ticket(self, key_id: str) -> str:
        """A text that signs its bearer in through this key: once, within `TICKET_SECONDS_MAX`."""
        ticket = self.secret()
        with self._lock:
            self._tickets[_digest(ticket)] = (key_id, self._clock.monotonic() + TICKET_SECONDS_MAX)
            _shrink(self._tickets, TICKETS_MAX)
        return ticket

    def redeem(self, ticket: str) -> str:
        """The key id of a ticket, which is used up by this. UnauthorizedError when it was before, or is too old."""
        with self._lock:
            key_id, ends_at = self._tickets.pop(_digest(ticket), ("", 0.0))
        if not key_id or self._clock.monotonic() >= ends_at:
            raise UnauthorizedError(
                "could not sign you in: the link was used before, or is older than 15 minutes",
                hint="paste a key, or restart the server for a new link",
            )
        return key_id

    def open(self, key_id: str) -> str:
        """Open a session; the text for its cookie."""
        session_id = self.secret()
        with self._lock:
            self._sessions[_digest(session_id)] = (Session(key_id, self.secret()), self._clock.monotonic())
            _shrink(self._sessions, SESSIONS_MAX)
        return session_id

    def find(self, session_id: str, *, is_activity: bool) -> Session | None:
        """The open session of a cookie; activity keeps it from ending `IDLE_SECONDS_MAX` later."""
        digest, now = _digest(session_id), self._clock.monotonic()
        with self._lock:
            session, used_at = self._sessions.get(digest, (None, 0.0))
            if session is None or now - used_at >= IDLE_SECONDS_MAX:
                self._sessions.pop(digest, None)
                return None
            if is_activity:
                self._sessions[digest] = (session, now)
                self._sessions.move_to_end(digest)
            return session

    def close(self, session_id: str) -> None:
        """End a session."""
        with self._lock:
            self._sessions.pop(_digest(session_id), None)

    def secret(self) -> str:
        """A text that nobody guesses."""
        return self._clock.random_bytes(_SECRET_BYTES).hex()


class Failures:
    """How often an address tried in vain in this minute. Thread-safe, bounded: strangers too many share one count."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._ends_at = 0.0
        self._counts: dict[str, int] = {}

    def check(self, address: str) -> None:
        """RateLimitedError after `LOGIN_FAILURES_MAX` failures."""
        with self._lock:
            self._turn()
            if self._counts.get(self._bucket(address), 0) >= LOGIN_FAILURES_MAX:
                raise RateLimitedError(
                    f"could not sign you in: more than {LOGIN_FAILURES_MAX} failures in a minute",
                    hint="try again in a minute",
                    retry_after_seconds=int(_WINDOW_SECONDS),
                )

    def count(self, address: str) -> None:
        """One more failure."""
        with self._lock:
            self._turn()
            bucket = self._bucket(address)
            self._counts[bucket] = self._counts.get(bucket, 0) + 1

    def _bucket(self, address: str) -> str:
        return address if address in self._counts or len(self._counts) < LOGIN_ADDRESSES_MAX else ""

    def _turn(self) -> None:
        now = self._clock.monotonic()
        if now >= self._ends_at:
            self._counts.clear()
            self._ends_at = now + _WINDOW_SECONDS


def _digest(secret: str) -> bytes:
    return sha256(secret.encode()).digest()


def _shrink(table: OrderedDict[bytes, T], most: int) -> None:
    while len(table) > most:
        table.popitem(last=False)
