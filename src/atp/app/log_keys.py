"""The keys that sign each log, and their change: old and new key both sign for as long as an operator lets them.

The log says it first, then the keys change, then the public list. A crash in between leaves one of three states:
a key is announced that nobody has (it never signs; a repeat announces another one), a key is said to be retired and
still signs (a repeat retires it), or the public list is behind the keys (the next start and each repeat correct it).
"""

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from contextlib import suppress
from typing import TypeVar

import msgspec

from atp.app.pipeline import Stores
from atp.errors import ConflictError, MissingError, UnavailableError
from atp.limits import LOG_KEYS_MAX
from atp.log.append import Outcome
from atp.log.event import Actor, Event, Resource
from atp.log.reader import log_key
from atp.merkle.keys import SigningKey, VerifierKey, parse_signing_key
from atp.ports.clock import Clock

ADD = "atp.key.add"
RETIRE = "atp.key.retire"
_WAIT_SECONDS_MAX = 10.0

Done = TypeVar("Done")

Announce = Callable[[str, Event], "Future[Outcome]"]
"""Records an event of the platform in a tenant's log."""
Published = Callable[[str, int], "Future[None]"]
"""Done when an index of a tenant's log is under a checkpoint."""


class LogKeys:
    """Changes signing keys, one change at a time. Thread-safe."""

    def __init__(self, stores: Stores, *, clock: Clock, announce: Announce, when_published: Published) -> None:
        self._stores = stores
        self._clock = clock
        self._announce = announce
        self._when_published = when_published
        self._changing = threading.Lock()

    def keys(self, tenant: str) -> list[VerifierKey]:
        """The public keys, the first signer's first. MissingError when the log has none."""
        return [parse_signing_key(key).public() for key in self._stores.keys.log_keys(tenant)]

    def make(self, tenant: str, origin: str) -> None:
        """Give a new log its first key, unless it has one: restored keys may be those of an older origin."""
        with suppress(MissingError):
            if all(key.name == origin for key in self.keys(tenant)):
                return
        self._stores.keys.put_log_keys(tenant, [self._draw(origin).secret()])

    def add(self, tenant: str, *, origin: str, person: str) -> list[VerifierKey]:
        """A new key, which signs first from the next checkpoint on; the old one signs too until it is retired.

        ConflictError while two keys sign already. Returns all keys when the change is durable.
        """
        with self._changing:
            self.show(tenant)
            old = self._stores.keys.log_keys(tenant)
            if len(old) >= LOG_KEYS_MAX:
                raise ConflictError(
                    f"could not add a key to the log of {tenant}: {LOG_KEYS_MAX} sign it already",
                    hint="atp tenant retire-key ends the overlap",
                )
            new = self._draw(origin)
            self._tell(ADD, tenant, new.public(), person)
            self._stores.keys.put_log_keys(tenant, [new.secret(), *old])
            self.show(tenant)
            return self.keys(tenant)

    def retire(self, tenant: str, key_id: str, *, person: str) -> list[VerifierKey]:
        """Let the key of this id sign no more; the keys that are left. What it signed stays valid under its vkey.

        MissingError when no such key signs, ConflictError for the last one. The act is published under both keys before
        one of them goes, so at no moment does the newest checkpoint verify under retired keys alone.
        """
        with self._changing:
            self.show(tenant)
            keys = self.keys(tenant)
            retired = next((key for key in keys if key.key_id.hex() == key_id), None)
            if retired is None:
                raise MissingError(f"could not retire the key {key_id[:100]!r} of {tenant}: it does not sign its log")
            if len(keys) == 1:
                raise ConflictError(
                    f"could not retire the key {key_id} of {tenant}: it is the last one", hint="atp tenant rotate-key"
                )
            index = self._tell(RETIRE, tenant, retired, person)
            _await(self._when_published(tenant, index), tenant)
            secrets = self._stores.keys.log_keys(tenant)
            left = [secret for secret in secrets if parse_signing_key(secret).public() != retired]
            self._stores.keys.put_log_keys(tenant, left)
            self.show(tenant)
            return self.keys(tenant)

    def settle(self, tenant: str) -> None:
        """Correct a public list that a crash left behind the keys. One that contradicts them is left for `verify`.

        Costs two reads where all is well.
        """
        shown = self._shown(tenant)
        if shown is None or len(shown) != len(self._stores.keys.log_keys(tenant)):
            keys = {key.vkey for key in self.keys(tenant)}
            if shown is None or keys < set(shown) or keys > set(shown):
                self.show(tenant)

    def show(self, tenant: str) -> None:
        """Write the public list of a log's keys."""
        self._stores.objects.replace(
            log_key(tenant, "vkey"), "".join(f"{key.vkey}\n" for key in self.keys(tenant)).encode()
        )

    def _draw(self, origin: str) -> SigningKey:
        return SigningKey.from_seed(self._clock.random_bytes(32), name=origin)

    def _shown(self, tenant: str) -> Sequence[str] | None:
        try:
            return self._stores.objects.get(log_key(tenant, "vkey")).decode(errors="replace").splitlines()
        except MissingError:
            return None

    def _tell(self, action: str, tenant: str, key: VerifierKey, person: str) -> int:
        """Write the act into the tenant's log; its index when it is durable."""
        key_id = key.key_id.hex()
        data = msgspec.Raw(msgspec.json.encode({"key_id": key_id, "vkey": key.vkey}))
        event = Event(actor=Actor(person), action=action, resource=Resource(key_id, type="log-key"), data=data)
        return _await(self._announce(tenant, event), tenant).receipts[0].index


def _await(future: "Future[Done]", tenant: str) -> Done:
    try:
        return future.result(_WAIT_SECONDS_MAX)
    except TimeoutError:
        raise UnavailableError(
            f"could not change the keys of {tenant}: its log does not take the act in time", hint="see /health"
        ) from None
