"""The whole path against a plain list: whatever is appended, repeated, refused, published, trimmed, restarted or asked.

Hypothesis draws the steps from the seed of the run and shrinks what fails to the shortest history that still does.
"""

from dataclasses import dataclass

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, invariant, multiple, precondition, rule

from atp.adapters.memory import FrozenClock, MemoryEventStore, MemoryKeyStore, MemoryObjectStore
from atp.adapters.memory_models import MemoryReadModels
from atp.app.pipeline import Stores
from atp.errors import ConflictError
from atp.limits import TILE_WIDTH
from atp.log.event import event_id
from atp.log.query import Question
from atp.merkle.hashes import leaf_hash
from atp.merkle.keys import parse_vkey
from atp.merkle.tlogproof import check_tlog_proof, parse_tlog_proof
from tests.faults.history import ALICE, History, open_platform
from tests.world import prepared

TENANTS = ("acme", "globex")
ACTORS = ("alice", "bob", "zoë")
ACTIONS = ("invoice.approve", "invoice.void")
SECONDS_MAX = 20
sizes = st.one_of(st.integers(1, 9), st.sampled_from((63, 64, 65, 200, 257)))


@dataclass(frozen=True)
class Told:
    """An event as its sender knows it."""

    tenant: str
    id: str
    actor: str
    action: str

    def raw(self, *, data: str = "null") -> bytes:
        text = f'{{"id":"{self.id}","actor":{{"id":"{self.actor}"}},"action":"{self.action}","data":{data}}}'
        return text.encode()


class Path(RuleBasedStateMachine):
    """A platform on keepers in memory, and beside it a list of events for each tenant."""

    told = Bundle("told")

    @initialize()
    def begin(self) -> None:
        self.stores = Stores(MemoryEventStore(), MemoryObjectStore(), MemoryReadModels(), MemoryKeyStore())
        self.clock = FrozenClock()
        self.platform = open_platform(self.stores, clock=self.clock)
        self.history = History()
        self.model: dict[str, list[Told]] = {tenant: [] for tenant in TENANTS}
        self.parked: dict[str, set[str]] = {tenant: set() for tenant in TENANTS}
        for tenant in TENANTS:
            assert self.history.create(self.platform, tenant)

    @rule(
        target=told,
        tenant=st.sampled_from(TENANTS),
        actor=st.sampled_from(ACTORS),
        action=st.sampled_from(ACTIONS),
        size=sizes,
    )
    def append(self, tenant: str, actor: str, action: str, size: int) -> Told:
        first = len(self.model[tenant])
        events = [Told(tenant, f"{tenant}-{first + k}", actor, action) for k in range(size)]
        outcome = self.send(tenant, [event.raw() for event in events])
        assert (outcome.accepted, outcome.duplicates) == (size, 0)
        assert [receipt.index for receipt in outcome.receipts] == list(range(first, first + size))
        self.model[tenant] += events
        return multiple(events[0], events[-1])

    @rule(event=told)
    def repeat(self, event: Told) -> None:
        outcome = self.send(event.tenant, [event.raw()])
        assert (outcome.accepted, outcome.duplicates) == (0, 1)
        assert outcome.receipts[0].index == self.model[event.tenant].index(event)

    @rule(event=told, number=st.integers(0, 3))
    def contradict(self, event: Told, number: int) -> None:
        other, new = event.raw(data=str(number)), Told(event.tenant, "never", "alice", "invoice.approve").raw()
        with pytest.raises(ConflictError):
            self.send(event.tenant, [new, other])

    @rule(event=told, number=st.integers(0, 3))
    def park(self, event: Told, number: int) -> None:
        other = event.raw(data=str(number))
        outcome = self.send(event.tenant, [other, event.raw()], is_parking=True)
        assert (outcome.accepted, outcome.duplicates, outcome.parked) == (0, 1, 1)
        self.parked[event.tenant].add(leaf_hash(prepared(other)[0].body).hex())

    @rule(tenant=st.sampled_from(TENANTS))
    def publish(self, tenant: str) -> None:
        if self.model[tenant]:
            newest = len(self.model[tenant]) - 1
            self.platform.pipeline.when_published(tenant, newest).result(SECONDS_MAX)
        self.history.look(self.platform, tenant)

    @rule(tenant=st.sampled_from(TENANTS))
    def trim(self, tenant: str) -> None:
        self.publish(tenant)
        size = self.platform.reader(tenant, by=ALICE).size()
        self.stores.events.trim({tenant: size - size % TILE_WIDTH})

    @rule(tenant=st.sampled_from(TENANTS))
    def lose_the_view(self, tenant: str) -> None:
        self.platform.stop()
        self.stores.models.clear(tenant)
        self.platform = open_platform(self.stores, clock=self.clock)

    @rule()
    def restart(self) -> None:
        self.platform.stop()
        self.platform = open_platform(self.stores, clock=self.clock)

    @rule(seconds=st.floats(-1e8, 1e8))
    def step_the_clock(self, seconds: float) -> None:
        self.clock.step(seconds)

    @rule(
        tenant=st.sampled_from(TENANTS),
        actor=st.none() | st.sampled_from(ACTORS),
        action=st.none() | st.sampled_from(ACTIONS),
        text=st.none() | st.sampled_from(("ALICE", "void", "zoë invoice", "approve void")),
        is_newest_first=st.booleans(),
    )
    def ask(self, tenant: str, actor: str | None, action: str | None, text: str | None, is_newest_first: bool) -> None:
        self.publish(tenant)
        answered: list[int] = []
        cursor = None
        while not answered or cursor:
            question = Question(
                actor=actor,
                action=action,
                text=text,
                order="-index" if is_newest_first else "index",
                limit=1_000,
                cursor=cursor,
            )
            page = self.platform.ask(question, by=ALICE, tenant=tenant)
            answered += [index for index, _ in page.events]
            cursor = page.next
            if not cursor:
                break
        words = (text or "").lower().split()
        wanted = [
            index
            for index, event in enumerate(self.model[tenant])
            if (actor is None or event.actor == actor)
            and (action is None or event.action == action)
            and all(word in f"{event.actor} {event.action}" for word in words)
        ]
        assert answered == (wanted[::-1] if is_newest_first else wanted)

    @rule(event=told)
    def prove(self, event: Told) -> None:
        self.publish(event.tenant)
        proof = parse_tlog_proof(self.platform.prove(event.id, by=ALICE, tenant=event.tenant).encode())
        entry = self.platform.find(event.id, by=ALICE, tenant=event.tenant).entry
        assert proof.index == self.model[event.tenant].index(event) and event_id(entry) == event.id
        keys = [parse_vkey(vkey) for vkey in self.platform.vkeys(event.tenant, by=ALICE)]
        origin = f"example.org/{event.tenant}"
        check_tlog_proof(proof, leaf_hash=leaf_hash(entry), origin=origin, log_keys=keys)

    @precondition(lambda self: hasattr(self, "platform"))
    @invariant()
    def nothing_is_lost_or_invented(self) -> None:
        for tenant, events in self.model.items():
            assert self.stores.events.size(tenant) == len(events)
            assert {parked.key for parked in self.stores.events.parked(tenant, limit=100)} == self.parked[tenant]
        assert self.platform.bug is None and not self.platform.pipeline.stopped

    def teardown(self) -> None:
        if not hasattr(self, "platform"):
            return
        self.history.settle(self.platform)
        self.history.judge(self.stores)
        self.platform.stop()

    def send(self, tenant: str, raws: list[bytes], *, is_parking: bool = False):  # type: ignore[no-untyped-def]
        future = self.platform.record(prepared(*raws), by=ALICE, tenant=tenant, is_parking=is_parking)
        outcome = future.result(SECONDS_MAX)
        self.history.keep(tenant, outcome.receipts)
        return outcome


PathTest = Path.TestCase
PathTest.settings = settings(stateful_step_count=40)
