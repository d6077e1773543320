"""One log in trouble is named and stopped, all others go on; a bug ends the process instead of hiding in a thread."""

import random
import time
from collections.abc import Callable, Mapping
from concurrent.futures import wait

import pytest

from atp.adapters.memory import FrozenClock, MemoryEventStore, MemoryKeyStore, MemoryObjectStore
from atp.adapters.memory_models import MemoryReadModels
from atp.app.pipeline import Stores
from atp.app.platform import Platform
from atp.errors import MissingError, TamperedError, UnavailableError
from atp.log.event import parse_instant, read_entry
from atp.log.reader import bundle_key, log_key
from atp.merkle.checkpoints import Checkpoint, sign_checkpoint
from atp.merkle.keys import parse_signing_key
from tests.faults.history import ALICE, History, make_platform, open_platform
from tests.faults.layer import Fault, faulty
from tests.world import prepared, raw_event, raw_events

SECONDS_MAX = 10


def memory() -> Stores:
    return Stores(MemoryEventStore(), MemoryObjectStore(), MemoryReadModels(), MemoryKeyStore())


class Gaps:
    """The ObjectStore port on another one in which some objects are gone."""

    def __init__(self, inner: MemoryObjectStore) -> None:
        self.gone: set[str] = set()
        self.put = inner.put
        self.replace = inner.replace
        self.keys = inner.keys
        self._inner = inner

    def get(self, key: str) -> bytes:
        if key in self.gone:
            raise MissingError(f"could not read {key!r}: there is no such object")
        return self._inner.get(key)


class GapsInKeys:
    """The KeyStore port on another one in which the keys of some logs are gone."""

    def __init__(self, inner: MemoryKeyStore) -> None:
        self.gone: set[str] = set()
        self.put_log_keys = inner.put_log_keys
        self.api_keys = inner.api_keys
        self.put_api_keys = inner.put_api_keys
        self._inner = inner

    def log_keys(self, tenant: str) -> list[str]:
        if tenant in self.gone:
            raise MissingError(f"could not find signing keys of {tenant!r}: there are none")
        return self._inner.log_keys(tenant)


class Unreadable:
    """The EventStore port on another one whose stored entries of one log are damaged."""

    def __init__(self, inner: MemoryEventStore) -> None:
        self.damaged: str | None = None
        self._inner = inner

    def __getattr__(self, name: str) -> object:
        return getattr(self._inner, name)

    def read(self, tenant: str, *, start: int, stop: int) -> list[bytes]:
        if tenant == self.damaged:
            raise TamperedError(f"could not read entry {start} of log {tenant!r}")
        return self._inner.read(tenant, start=start, stop=stop)


def filled(platform: Platform, *, events: int = 300) -> History:
    history = History()
    for tenant in ("acme", "globex"):
        assert history.create(platform, tenant)
        assert history.send(platform, tenant, range(events))
    history.settle(platform)
    return history


def until(is_done: Callable[[], object]) -> None:
    ends_at = time.monotonic() + SECONDS_MAX
    while not is_done():
        assert time.monotonic() < ends_at
        time.sleep(0.002)


def test_what_was_kept_though_it_failed_is_published_without_another_request() -> None:
    stores = memory()
    platform = open_platform(faulty(stores, Fault("append", 1, is_kept=True, is_for_ever=False)))
    platform.create_tenant("acme", by=ALICE)
    with pytest.raises(UnavailableError):
        platform.record(prepared(raw_event(1)), by=ALICE, tenant="acme").result(SECONDS_MAX)
    platform.pipeline.when_published("acme", 0).result(SECONDS_MAX)
    platform.stop()


@pytest.mark.parametrize("is_kept", [False, True])
def test_a_tenant_whose_creation_failed_can_be_created_again_and_keeps_its_first_key(is_kept: bool) -> None:
    stores = memory()
    platform = open_platform(faulty(stores, Fault("replace", 1, is_kept=is_kept, is_for_ever=False)))
    with pytest.raises(UnavailableError):
        platform.create_tenant("acme", by=ALICE)
    keys = stores.keys.log_keys("acme")
    platform.create_tenant("acme", by=ALICE)
    assert stores.keys.log_keys("acme") == keys
    history = History()
    assert history.send(platform, "acme", range(3))
    history.settle(platform)
    history.judge(stores)
    platform.stop()


def test_a_log_whose_tiles_are_gone_stops_alone() -> None:
    inner = memory()
    objects = Gaps(inner.objects)
    stores = Stores(inner.events, objects, inner.models, inner.keys)
    platform = open_platform(stores)
    history = filled(platform, events=1_100)
    platform.stop()
    objects.gone = {log_key("acme", "tile/0/003")}
    platform = open_platform(stores)
    history.send(platform, "acme", range(2_000, 2_001))
    assert history.send(platform, "globex", range(2_000, 2_001))
    until(lambda: "acme" in platform.pipeline.stopped)
    with pytest.raises(UnavailableError, match="acme is stopped"):
        platform.record(prepared(raw_event(5_000)), by=ALICE, tenant="acme")
    platform.pipeline.when_published("globex", 1_100).result(SECONDS_MAX)
    assert set(platform.pipeline.stopped) == {"acme"} and platform.bug is None
    platform.stop()


def test_a_log_whose_keys_are_gone_stops_alone() -> None:
    inner = memory()
    keys = GapsInKeys(inner.keys)
    platform = open_platform(Stores(inner.events, inner.objects, inner.models, keys))
    history = filled(platform)
    keys.gone = {"acme"}
    history.send(platform, "acme", range(2_000, 2_001))
    assert history.send(platform, "globex", range(2_000, 2_001))
    platform.pipeline.when_published("globex", 300).result(SECONDS_MAX)
    until(lambda: set(platform.pipeline.stopped) == {"acme"})
    platform.stop()


def test_a_log_whose_tail_is_damaged_refuses_alone() -> None:
    inner = memory()
    events = Unreadable(inner.events)
    stores = Stores(events, inner.objects, inner.models, inner.keys)
    platform = open_platform(stores)
    filled(platform)
    platform.stop()
    events.damaged = "acme"
    platform = make_platform(stores)
    futures = {
        tenant: platform.record(prepared(raw_event(2_000)), by=ALICE, tenant=tenant) for tenant in ("acme", "globex")
    }
    platform.start()  # both are in one group
    wait(futures.values(), SECONDS_MAX)
    assert isinstance(futures["acme"].exception(), TamperedError)
    assert futures["globex"].result().accepted == 1
    platform.stop()


def test_an_event_that_may_be_a_duplicate_of_an_unreadable_one_takes_its_whole_batch_back() -> None:
    inner = memory()
    objects = Gaps(inner.objects)
    stores = Stores(inner.events, objects, inner.models, inner.keys)
    platform = open_platform(stores)
    filled(platform, events=1_100)
    stores.events.trim({"acme": 1_024})
    platform.stop()
    objects.gone = {bundle_key("acme", 1)}
    platform = open_platform(stores)
    outcome = platform.record(prepared(*raw_events((5_000, 300))), by=ALICE, tenant="acme")
    with pytest.raises(TamperedError, match="there is no such object"):
        outcome.result(SECONDS_MAX)
    assert stores.events.size("acme") == 1_100
    platform.stop()


def test_a_client_that_goes_away_harms_nobody() -> None:
    platform = make_platform(memory())
    platform.add_tenant("acme")
    gone = platform.record(prepared(raw_event(1)), by=ALICE, tenant="acme")
    waiting = platform.pipeline.when_published("acme", 0)
    assert not gone.cancel() and waiting.cancel()
    platform.start()
    assert platform.record(prepared(raw_event(2)), by=ALICE, tenant="acme").result(SECONDS_MAX).receipts[0].index == 1
    platform.pipeline.when_published("acme", 1).result(SECONDS_MAX)
    assert platform.bug is None
    platform.stop()


@pytest.mark.parametrize("write", ["append", "swap", "put", "extend"])
def test_a_bug_in_any_loop_is_told_and_nothing_more_is_taken(write: str) -> None:
    bug = ZeroDivisionError("a bug")
    platform = open_platform(faulty(memory(), Fault(write, 1, is_kept=False, is_for_ever=False, error=bug)))
    platform.create_tenant("acme", by=ALICE)
    future = platform.record(prepared(*raw_events(range(300))), by=ALICE, tenant="acme")
    until(lambda: platform.bug is bug)
    assert future.exception(SECONDS_MAX) is (bug if write == "append" else None)
    with pytest.raises(UnavailableError, match="a bug"):
        platform.record(prepared(raw_event(1_000)), by=ALICE, tenant="acme")
    platform.stop()


def public(stores: Stores, note: bytes) -> None:
    stores.objects.replace(log_key("acme", "checkpoint"), note)


def signed(stores: Stores, size: int, root: bytes) -> bytes:
    key = parse_signing_key(stores.keys.log_keys("acme")[0])
    return sign_checkpoint(Checkpoint("example.org/acme", size, root), key)


DAMAGES: Mapping[str, Callable[[Stores], None]] = {
    "no checkpoint": lambda stores: public(stores, b"garbage"),
    "empty": lambda stores: public(stores, b""),
    "newer": lambda stores: public(stores, signed(stores, 301, bytes(32))),
    "another root": lambda stores: public(stores, signed(stores, 300, bytes(32))),
    "another past": lambda stores: public(stores, signed(stores, 77, bytes(32))),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_public_checkpoint_that_contradicts_the_order_stops_its_log_alone(damage: str) -> None:
    stores = memory()
    platform = open_platform(stores)
    filled(platform).judge(stores)
    note = stores.objects.get(log_key("acme", "checkpoint"))
    platform.stop()
    DAMAGES[damage](stores)
    platform = open_platform(stores)
    assert set(platform.pipeline.stopped) == {"acme"}
    with pytest.raises(UnavailableError):
        platform.record(prepared(raw_event(1_000)), by=ALICE, tenant="acme")
    assert platform.record(prepared(raw_event(1_000)), by=ALICE, tenant="globex").result(SECONDS_MAX).accepted == 1
    platform.stop()
    public(stores, note)
    platform = open_platform(stores)
    assert not platform.pipeline.stopped
    assert platform.record(prepared(raw_event(1_000)), by=ALICE, tenant="acme").result(SECONDS_MAX).accepted == 1
    platform.stop()


def test_an_older_public_checkpoint_of_the_same_history_is_replaced() -> None:
    stores = memory()
    platform = open_platform(stores)
    history = History()
    history.create(platform, "acme")
    history.send(platform, "acme", range(77))
    old = stores.objects.get(log_key("acme", "checkpoint"))
    history.send(platform, "acme", range(77, 300))
    history.settle(platform)
    new = stores.objects.get(log_key("acme", "checkpoint"))
    platform.stop()
    public(stores, old)
    platform = open_platform(stores)
    assert stores.objects.get(log_key("acme", "checkpoint")) == new and not platform.pipeline.stopped
    platform.stop()


def test_received_at_never_goes_back_though_the_clock_jumps(rng: random.Random) -> None:
    stores, clock = memory(), FrozenClock()
    platform = open_platform(stores, clock=clock)
    history = History()
    history.create(platform, "acme")
    for number in range(40):
        clock.step(rng.choice((-1e9, -3_600, -1e-6, 0, 1e-6, 3_600)) if number % 5 else 1_000_000)
        assert history.send(platform, "acme", [number])
        if number % 10 == 9:
            platform.stop()
            platform = open_platform(stores, clock=clock)
    history.settle(platform)
    entries = platform.reader("acme", by=ALICE).entries(0, 40)
    instants = [parse_instant(read_entry(entry).received_at) for entry in entries]
    assert instants == sorted(instants)
    freshness = platform.freshness("acme", size=40, viewed_size=0)
    assert freshness["lag_seconds"] >= 0
    history.judge(stores)
    platform.stop()


@pytest.mark.slow
@pytest.mark.parametrize("is_for_ever", [False, True], ids=["once", "for-ever"])
@pytest.mark.parametrize("is_kept", [False, True], ids=["lost", "kept"])
def test_a_trim_that_fails_loses_nothing(is_kept: bool, is_for_ever: bool) -> None:
    stores = memory()
    fault = Fault("trim", 1, is_kept, is_for_ever)
    platform = open_platform(faulty(stores, fault))
    history = History()
    history.create(platform, "acme")
    for start in range(0, 40_000, 5_000):
        assert history.send(platform, "acme", range(start, start + 5_000))
    history.settle(platform)
    until(lambda: fault.fired)
    platform.stop()
    platform = open_platform(stores)
    assert history.send(platform, "acme", range(10))
    assert history.send(platform, "acme", range(40_000, 40_001))
    history.settle(platform)
    until(lambda: stores.events.held_from("acme") > 32_768)
    platform.stop()
    reader = platform.reader("acme", by=ALICE)
    history.notes["acme"] = {reader.checkpoint()}
    history.judge(stores)
