"""The evidence key: what signs statements of this installation, and the entry of the operators' log that names it.

The first entry of a new operators' log is `installation.created`. A directory that is older gets `installation.key` at
its next start, and so does one whose key was lost or replaced: whoever trusts statements reads there since when.
"""

from contextlib import suppress

import msgspec

from atp.app.pipeline import Stores
from atp.errors import MissingError
from atp.log.event import Actor, Event, Resource, event_id
from atp.log.reader import LogReader
from atp.merkle.keys import SigningKey, parse_signing_key
from atp.ports.clock import Clock
from atp.tenants.access import PLATFORM
from atp.tenants.names import OPERATIONS

CREATED = "installation.created"
KEY = "installation.key"
_SEED_BYTES = 32


class InstallationKey:
    """The evidence key of one installation. Thread-safe, as its store is."""

    def __init__(self, stores: Stores, *, installation: str, clock: Clock) -> None:
        self._stores = stores
        self._installation = installation
        self._clock = clock

    def make(self) -> None:
        """Draw the key, unless there is one."""
        with suppress(MissingError):
            self._stores.keys.evidence_key()
            return
        key = SigningKey.from_seed(self._clock.random_bytes(_SEED_BYTES), name=f"{self._installation}/evidence")
        self._stores.keys.put_evidence_key(key.secret())

    def key(self) -> SigningKey:
        """The key that signs statements."""
        return parse_signing_key(self._stores.keys.evidence_key())

    def announcement(self, reader: LogReader, *, at: str) -> Event | None:
        """What the operators' log has to be told of the key; None when it was. Costs a look into the index of ids."""
        key = self.key().public()
        name = f"installation.{key.key_id.hex()}"
        for index in self._stores.events.find(OPERATIONS, [name]).get(name, ()):
            if event_id(reader.durable_entry(index)) == name:
                return None
        data = {"installation": self._installation, "evidence_vkey": key.vkey}
        return Event(
            actor=Actor(PLATFORM),
            action=KEY if self._stores.events.size(OPERATIONS) else CREATED,
            id=name,
            time=at,
            resource=Resource(self._installation, type="installation"),
            data=msgspec.Raw(msgspec.json.encode(data)),
        )
