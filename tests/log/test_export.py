"""Bundles that the log seals, judged by the verifier alone."""

import io
import json
import zipfile
from pathlib import Path

import pytest

from atp.adapters.memory_models import MemoryReadModels
from atp.errors import MissingError
from atp.log.event import parse_instant, read_entry
from atp.log.export.range import seal_range, seal_time
from atp.log.export.selection import seal_selection
from atp.log.project.follow import follow_once
from atp.log.query import Question
from atp.verify.options import Options
from atp.verify.place import check_place
from atp.verify.report import Report
from tests.world import World, raw_event

SIZE = 700


@pytest.fixture(scope="module")
def world() -> World:
    """A log of 700 events, ten a second, every seventh of them by bob."""
    world = World()
    for first in range(0, SIZE, 10):
        actors = ["bob" if number % 7 == 0 else "alice" for number in range(first, first + 10)]
        world.record(*(raw_event(number, actor=actor) for number, actor in enumerate(actors, first)))
        world.clock.advance(1)
    world.publish()
    return world


def vkeys(world: World) -> list[str]:
    return [world.trusted["acme"].vkey]


def received_at(world: World, index: int) -> int:
    return parse_instant(read_entry(world.reader().entry(index)).received_at)


def check(place: io.BytesIO, path: Path, world: World) -> Report:
    """The verdict about the .zip, the same as about the directory that it unpacks to."""
    (path / "bundle.zip").write_bytes(place.getvalue())
    with zipfile.ZipFile(place) as archive:
        archive.extractall(path / "bundle")
    options = Options(trusted=(world.trusted["acme"],))
    reports = [check_place(str(path / name), options) for name in ("bundle.zip", "bundle")]
    assert reports[0].logs == reports[1].logs
    return reports[0]


def manifest(path: Path) -> dict[str, object]:
    read: dict[str, object] = json.loads((path / "bundle" / "bundle.json").read_bytes())
    return read


@pytest.mark.parametrize(("first", "stop"), [(0, 1), (0, SIZE), (255, 257), (256, 512), (699, SIZE), (17, 600)])
def test_a_range_by_index_verifies(first: int, stop: int, world: World, tmp_path: Path) -> None:
    place = io.BytesIO()
    sealed = seal_range(place, first=first, stop=stop, reader=world.reader(), vkeys=vkeys(world))
    report = check(place, tmp_path, world)
    assert not report.is_tampered, report.as_text()
    assert (sealed.first, sealed.stop, sealed.count, sealed.size) == (first, stop, stop - first, SIZE)
    lines = (tmp_path / "bundle" / "entries.ndjson").read_bytes().splitlines()
    assert lines == world.reader().entries(first, stop)


@pytest.mark.parametrize(("first", "stop"), [(0, 1), (0, 70), (3, 20), (69, 70), (20, 20)])
@pytest.mark.parametrize("is_open", [False, True])
def test_a_range_of_time_verifies_with_its_neighbours(
    first: int, stop: int, is_open: bool, world: World, tmp_path: Path
) -> None:
    since = received_at(world, first * 10)
    until = None if is_open else received_at(world, stop * 10) if stop < 70 else received_at(world, SIZE - 1) + 1
    place = io.BytesIO()
    sealed = seal_time(place, received_since=since, received_until=until, reader=world.reader(), vkeys=vkeys(world))
    report = check(place, tmp_path, world)
    assert not report.is_tampered, report.as_text()
    end = SIZE if is_open else stop * 10
    assert sealed.count == end - first * 10
    assert manifest(tmp_path)["neighbours"] == {"before": first > 0, "after": end < SIZE}


def test_a_range_of_time_without_limits_is_the_whole_log(world: World, tmp_path: Path) -> None:
    place = io.BytesIO()
    seal_time(place, received_since=None, received_until=None, reader=world.reader(), vkeys=vkeys(world))
    assert not check(place, tmp_path, world).is_tampered
    assert manifest(tmp_path)["count"] == SIZE


def test_an_empty_log_that_was_published_is_sealed_as_such(tmp_path: Path) -> None:
    world, place = World(), io.BytesIO()
    world.publish()
    seal_time(place, received_since=None, received_until=None, reader=world.reader(), vkeys=vkeys(world))
    assert not check(place, tmp_path, world).is_tampered


def test_a_range_that_the_log_has_not_is_missing(world: World) -> None:
    for first, stop in ((0, SIZE + 1), (5, 5), (-1, 3)):
        with pytest.raises(MissingError, match="the log has 700 entries"):
            seal_range(io.BytesIO(), first=first, stop=stop, reader=world.reader(), vkeys=vkeys(world))
    with pytest.raises(MissingError, match="nothing is published yet"):
        seal_range(io.BytesIO(), first=0, stop=1, reader=World().reader(), vkeys=[])


@pytest.mark.parametrize(("actor", "count"), [("bob", 100), ("alice", 600), ("mallory", 0)])
@pytest.mark.parametrize("is_followed", [False, True])
def test_a_selection_of_all_pages_verifies(
    actor: str, count: int, is_followed: bool, world: World, tmp_path: Path
) -> None:
    read_models, place = MemoryReadModels(), io.BytesIO()
    if is_followed:
        follow_once(tenant="acme", reader=world.reader(), read_models=read_models)
    sealed = seal_selection(
        place,
        question=Question(actor=actor, limit=3),
        asked={"actor": actor},
        reader=world.reader(),
        read_models=read_models,
        vkeys=vkeys(world),
    )
    report = check(place, tmp_path, world)
    assert not report.is_tampered, report.as_text()
    assert sealed.count == count
    assert manifest(tmp_path)["scanned"] == {"first": 0, "stop": SIZE}
    assert manifest(tmp_path)["asked"] == {"question": {"actor": actor}}


def test_the_same_bundle_has_the_same_bytes(world: World) -> None:
    places = [io.BytesIO(), io.BytesIO()]
    for place in places:
        seal_range(place, first=3, stop=9, reader=world.reader(), vkeys=vkeys(world))
    assert places[0].getvalue() == places[1].getvalue()
