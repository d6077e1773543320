"""What a drill sees of a restored trail: its heartbeats, every byte, and never a key that could sign."""

import os
import sqlite3
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest

from atp.app.platform import Platform
from atp.errors import InvalidError, TamperedError
from atp.limits import HEARTBEATS_MAX
from atp.log.event import Event
from atp.ops.backups.act.step import Data
from atp.ops.drills.act.kinds.trail import BEAT, TrailCopy, TrailProduction, read_beats
from tests.app.copied import copy, lived
from tests.app.opened import ROOT, record, running
from tests.contracts.vaults import release
from tests.ops.acting import ListSink
from tests.ops.backups.world import World as Backups
from tests.ops.drills.world import World, left_in, verdicts
from tests.world import prepared

T0 = datetime(2026, 3, 1, tzinfo=UTC)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    lived(tmp_path / "data")
    yield World(tmp_path, dataset="trail")
    release(tmp_path)


def beat(platform: Platform, numbers: range) -> None:
    """Heartbeats in the operators' log, acknowledged and published."""
    for first in range(numbers.start, numbers.stop, 500):
        events = [raw_beat(number) for number in range(first, min(first + 500, numbers.stop))]
        outcome = platform.record(prepared(*events), by=ROOT, tenant="operations").result(20)
        platform.pipeline.when_published("operations", outcome.receipts[-1].index).result(20)


def raw_beat(number: int) -> bytes:
    at = (T0 + timedelta(seconds=number)).isoformat()
    event = {"id": f"heartbeat.n-{number}", "time": at, "actor": {"id": "heartbeat"}, "action": BEAT}
    return msgspec.json.encode(event)


@pytest.mark.parametrize("count", [0, 1, 300, 900])
def test_heartbeats_are_read_from_bundles_and_from_the_order(count: int, tmp_path: Path) -> None:
    with running(tmp_path / "data") as platform:
        record(platform, range(40), tenant="operations")
        beat(platform, range(count))
        record(platform, range(100, 140), tenant="operations")
    found = read_beats(copy(tmp_path / "data", tmp_path / "copy"))
    assert found == [(f"n-{number}", T0 + timedelta(seconds=number)) for number in range(count)]


def test_only_the_newest_heartbeats_are_read(tmp_path: Path) -> None:
    with running(tmp_path / "data") as platform:
        beat(platform, range(HEARTBEATS_MAX + 700))
    found = read_beats(copy(tmp_path / "data", tmp_path / "copy"))
    assert [name for name, _ in found] == [f"n-{number}" for number in range(700, HEARTBEATS_MAX + 700)]


@dataclass
class Interrupting:
    """A sink that does something whenever an act is told."""

    do: Callable[[], object]
    sink: ListSink = field(default_factory=ListSink)

    def write(self, event: Event, *, expect: Mapping[str, int], is_outcome: bool) -> None:
        self.do()
        self.sink.write(event, expect=expect, is_outcome=is_outcome)


def test_no_key_is_in_the_copy_of_a_drill_at_any_step(world: World) -> None:
    secret, seen = (world.source / "keys/log/acme.key").read_bytes().strip(), dict[str, bool]()

    def look() -> None:
        for path in world.scratch.rglob("*"):
            seen[path.name] = seen.get(path.name, False) or (path.is_file() and secret in path.read_bytes())

    world.back_up()
    done = world.drill(sink=Interrupting(look))
    assert verdicts(done)["content"] == "pass" and not left_in(world.scratch)
    assert {"order.db", "RESTORED", "vkey"} <= seen.keys(), "it looked while the copy was there"
    assert not {name for name in seen if name.endswith(".key") or name in ("keys", "access.json")}
    assert not any(seen.values())


@pytest.mark.parametrize("name", ["keys", "root.key"])
def test_a_copy_with_keys_is_not_opened(name: str, world: World) -> None:
    copied = copy(world.source, world.root / "copy")
    assert "acme 511" in TrailCopy(copied).open()
    (copied / name).mkdir()
    with pytest.raises(TamperedError, match="holds keys"):
        TrailCopy(copied).open()


def test_a_trail_is_asked_neither_for_rows_nor_with_sql(world: World) -> None:
    copied = TrailCopy(world.source)
    for asked in (
        lambda: copied.count("t", within=timedelta(1)),
        lambda: copied.select("select 1", rows_max=1, within=timedelta(1)),
    ):
        with pytest.raises(InvalidError, match="verify: true"):
            asked()


def test_a_look_tells_growth_from_replacement(world: World) -> None:
    production = TrailProduction(world.source, "trail")
    before = production.look()
    assert before is not None and production.look() == before
    with running(world.source) as platform:
        assert production.look() is not None, "it can be looked at while it is served"
        record(platform, range(511, 512), tenant="acme")
        grown = production.look()
    assert grown is not None and grown.identity == before.identity and grown.sha256 != before.sha256
    os.rename(world.source, world.root / "away")
    assert production.look() is None
    lived(world.source)
    other = production.look()
    assert other is not None and other.identity != before.identity


@dataclass
class Damaging:
    """A record that harms what was restored as soon as every byte of it was found to be right."""

    place: Path
    steps: list[str] = field(default_factory=list)

    def intend(self, step: str, data: Data | None = None) -> None:
        self.steps.append(step)

    def outcome(self, step: str, data: Data | None = None) -> None:
        if step == "check":
            with next(self.place.glob(".back.restoring/data/logs/acme/tile/entries/000.zst")).open("r+b") as file:
                file.seek(300)
                file.write(b"\0\0\0\0")

    def failed(self, step: str, error: BaseException | str, data: Data | None = None) -> None:
        self.steps.append(f"{step} failed")


def test_a_copy_whose_entries_are_not_those_that_were_signed_never_gets_its_name(world: World) -> None:
    backups = Backups(world.root, world.source, kind="trail")
    backups.back_up()
    damaging = Damaging(world.root)
    with pytest.raises(TamperedError, match="acme"):
        backups.restore(world.root / "back", record=damaging)
    assert damaging.steps[-1] == "recover failed" and not (world.root / "back").exists()
    backups.restore(world.root / "back")
    assert TrailCopy(world.root / "back").verify().endswith("structure and payload hold")


def test_restored_keys_of_an_older_origin_do_not_sign_a_log_that_is_created_later(world: World) -> None:
    backups = Backups(world.root, world.source, kind="trail")
    backups.back_up()
    with running(world.source) as platform:
        platform.create_tenant("later", by=ROOT)
    backups.restore(world.root / "back")
    os.rename(world.source / "keys", world.root / "back/keys")
    with running(world.root / "back") as platform:
        assert platform.create_tenant("later", by=ROOT).origin == "example.org/later/2"
        record(platform, range(3), tenant="later")
        assert [key.name for key in platform.log_keys.keys("later")] == ["example.org/later/2"]
    assert TrailCopy(world.root / "back").verify()


def test_what_was_added_to_a_copy_is_seen(world: World) -> None:
    def add() -> None:
        for place in world.scratch.glob("*/copy"):
            (place / "stray").touch()

    world.back_up()
    done = world.drill(sink=Interrupting(add))
    assert (done.verdict, done.cause) == ("fail", "not-whole"), done


@pytest.mark.parametrize(
    "change", ["UPDATE log SET tenant = '../../etc' WHERE tenant = 'acme'", "UPDATE checkpoint SET note = x'00'"]
)
def test_an_order_that_names_what_is_no_log_is_refused(change: str, world: World) -> None:
    copied = copy(world.source, world.root / "copy")
    with closing(sqlite3.connect(copied / "order.db")) as order:
        order.execute(change)
        order.commit()
    with pytest.raises(TamperedError, match="as a trail"):
        TrailCopy(copied).open()
