"""An open path on memory keepers with a clock that stands still: what station tests stand on."""

from collections.abc import Sequence

from atp.adapters.memory import FrozenClock, MemoryEventStore, MemoryKeyStore, MemoryObjectStore
from atp.errors import AtpError
from atp.log.append import Heads, Outcome, Request, append
from atp.log.event import Prepared, prepare
from atp.log.integrate import integrate_once, load_edge
from atp.log.publish import publish_once
from atp.log.reader import Cache, LogReader
from atp.merkle.keys import SigningKey, VerifierKey
from atp.ports.event_store import EventStore, Log
from atp.ports.object_store import ObjectStore


class World:
    """Two tenants, `acme` and `globex`, each with an empty log; any keeper can be passed instead of memory."""

    def __init__(self, *, events: EventStore | None = None, objects: ObjectStore | None = None) -> None:
        self.events: EventStore = events or MemoryEventStore()
        self.objects: ObjectStore = objects or MemoryObjectStore()
        self.keys = MemoryKeyStore()
        self.clock = FrozenClock()
        self.heads = Heads()
        self.trusted: dict[str, VerifierKey] = {}
        for tenant in ("acme", "globex"):
            self.add(tenant)

    def add(self, tenant: str) -> None:
        origin = f"example.org/{tenant}"
        key = SigningKey.from_seed(tenant.encode().ljust(32, b"."), name=origin)
        self.keys.put_log_keys(tenant, [key.secret()])
        self.trusted[tenant] = key.public()
        if tenant not in {log.tenant for log in self.events.logs()}:
            self.events.create_log(Log(tenant, origin, "2026-01-01T00:00:00.000000Z"))

    def reader(self, tenant: str = "acme") -> LogReader:
        return LogReader(tenant, event_store=self.events, object_store=self.objects, cache=Cache())

    def append(self, *requests: Request) -> list[Outcome | AtpError]:
        return append(requests, event_store=self.events, reader_of=self.reader, clock=self.clock, heads=self.heads)

    def record(self, *raws: bytes, tenant: str = "acme", **options: object) -> Outcome:
        """Append events to one log; raises what the request was refused with."""
        (outcome,) = self.append(Request(tenant, "alice", [prepare(raw) for raw in raws], **options))  # type: ignore[arg-type]
        if isinstance(outcome, AtpError):
            raise outcome
        return outcome

    def publish(self, tenant: str = "acme") -> bytes:
        """Integrate all that is pending and publish it; the note that stands afterwards."""
        edge = load_edge(self.reader(tenant), event_store=self.events)
        while edge.size < self.events.size(tenant):
            edge = integrate_once(edge, tenant=tenant, event_store=self.events, object_store=self.objects)
        publish_once(
            {tenant: edge},
            origins={tenant: f"example.org/{tenant}"},
            event_store=self.events,
            object_store=self.objects,
            key_store=self.keys,
        )
        return self.reader(tenant).checkpoint()


def raw_event(number: int, *, actor: str = "alice", action: str = "invoice.approve", data: str = "null") -> bytes:
    """A native event with an id of its own."""
    return f'{{"id":"e-{number}","actor":{{"id":"{actor}"}},"action":"{action}","data":{data}}}'.encode()


def raw_events(numbers: Sequence[int]) -> list[bytes]:
    return [raw_event(number) for number in numbers]


def prepared(*raws: bytes) -> list[Prepared]:
    return [prepare(raw) for raw in raws]
