"""What clients did to a platform, and what must be true of its logs for that: judged by mathematics, a plain list."""

import io
import time
from collections.abc import Iterable
from concurrent.futures import TimeoutError as LateError
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from atp.adapters.memory import FrozenClock
from atp.app.config import Config
from atp.app.inspect import inspect
from atp.app.pipeline import Stores
from atp.app.platform import Platform
from atp.errors import AtpError, MissingError
from atp.formats.catalogue import load_formats
from atp.log.append import Receipt
from atp.log.event import event_id
from atp.log.project.follow import frames_due
from atp.log.reader import Cache, LogReader
from atp.merkle.checkpoints import open_checkpoint
from atp.merkle.frontier import Frontier
from atp.merkle.hashes import leaf_hash
from atp.merkle.keys import parse_vkey
from atp.observe import Lines, Meters
from atp.tenants.access import SCOPES, Caller
from tests.world import prepared, raw_event

ALICE = Caller("alice", "key", SCOPES)
_WAIT_SECONDS = 20
_PATIENCE_SECONDS = 0.5
FORMATS = load_formats()


def open_platform(stores: Stores, *, clock: FrozenClock | None = None) -> Platform:
    """A platform that runs on these keepers."""
    platform = make_platform(stores, clock=clock)
    platform.start()
    return platform


def make_platform(stores: Stores, *, clock: FrozenClock | None = None) -> Platform:
    """A platform that does not run yet; what it says goes nowhere."""
    return Platform(
        stores,
        config=Config(Path("nowhere")),
        installation="example.org",
        formats=FORMATS,
        clock=clock or FrozenClock(),
        lines=Lines(io.StringIO()),
        meters=Meters(),
    )


@dataclass
class History:
    """Events that were sent, receipts that came back, checkpoints that were handed out; by tenant."""

    sent: dict[str, set[str]] = field(default_factory=dict)
    receipts: dict[str, dict[str, Receipt]] = field(default_factory=dict)
    notes: dict[str, set[bytes]] = field(default_factory=dict)

    def create(self, platform: Platform, tenant: str) -> bool:
        """Create a tenant; False when that failed, and nobody knows how far it came."""
        try:
            platform.create_tenant(tenant, by=ALICE)
        except AtpError as error:
            return error.code == "conflict"
        return True

    def send(self, platform: Platform, tenant: str, numbers: Iterable[int]) -> bool:
        """Record events by their ids and check each receipt against older ones; False when that failed."""
        raws = [raw_event(number) for number in numbers]
        try:
            outcome = platform.record(prepared(*raws), by=ALICE, tenant=tenant).result(_WAIT_SECONDS)
        except AtpError:
            return False
        finally:
            self.sent.setdefault(tenant, set()).update(f"e-{number}" for number in numbers)
        self.keep(tenant, outcome.receipts)
        with suppress(LateError):
            newest = max(receipt.index for receipt in outcome.receipts)
            platform.pipeline.when_published(tenant, newest).result(_PATIENCE_SECONDS)
        self.look(platform, tenant)
        return True

    def keep(self, tenant: str, receipts: Iterable[Receipt]) -> None:
        """Keep receipts, and compare them with older ones of the same events."""
        known = self.receipts.setdefault(tenant, {})
        for receipt in receipts:
            self.sent.setdefault(tenant, set()).add(receipt.id)
            older = known.setdefault(receipt.id, receipt)
            assert (older.index, older.leaf_hash) == (receipt.index, receipt.leaf_hash), "a receipt was broken"

    def look(self, platform: Platform, tenant: str) -> None:
        """Keep the checkpoints that anybody could see now."""
        notes = self.notes.setdefault(tenant, set())
        with suppress(MissingError):
            notes.add(platform.reader(tenant, by=ALICE).checkpoint())
            notes.add(platform.stores.objects.get(f"logs/{tenant}/checkpoint"))

    def settle(self, platform: Platform) -> None:
        """Wait until everything is published and the views have seen it."""
        for tenant in self.sent:
            size = platform.stores.events.size(tenant)
            platform.pipeline.when_published(tenant, size - 1).result(_WAIT_SECONDS)
            self.look(platform, tenant)
        ends_at = time.monotonic() + _WAIT_SECONDS
        while any(self._is_behind(platform, tenant) for tenant in self.sent):
            assert time.monotonic() < ends_at, f"the views do not follow: {platform.pipeline.following.trouble}"
            time.sleep(0.005)

    def _is_behind(self, platform: Platform, tenant: str) -> bool:
        return platform.stores.models.followed(tenant) < frames_due(platform.stores.events.size(tenant))

    def judge(self, stores: Stores) -> None:
        """Every event is there once, where its receipt says, under checkpoints that never contradict each other."""
        for tenant, ids in self.sent.items():
            reader = LogReader(tenant, event_store=stores.events, object_store=stores.objects, cache=Cache())
            entries = reader.entries(0, reader.size())
            assert sorted(map(event_id, entries)) == sorted(ids), "each event that was sent stands in the log, once"
            for receipt in self.receipts[tenant].values():
                assert leaf_hash(entries[receipt.index]).hex() == receipt.leaf_hash
            check_notes(self.notes[tenant], entries, stores=stores, tenant=tenant)
            assert list(inspect(tenant, reader=reader, stores=stores)) == []


def check_notes(notes: Iterable[bytes], entries: list[bytes], *, stores: Stores, tenant: str) -> None:
    """Each note is signed by the log's public key and has the root of its prefix of the entries."""
    keys = [parse_vkey(line) for line in stores.objects.get(f"logs/{tenant}/vkey").decode().splitlines()]
    tree, size = Frontier(), 0
    opened = [open_checkpoint(note, origin=f"example.org/{tenant}", log_keys=keys).checkpoint for note in notes]
    for checkpoint in sorted(opened, key=lambda checkpoint: checkpoint.size):
        assert checkpoint.size <= len(entries), "a checkpoint that was handed out covers entries that are lost"
        tree, size = tree.extended(list(map(leaf_hash, entries[size : checkpoint.size]))), checkpoint.size
        assert checkpoint.root == tree.root, "the log was forked"
