"""The index level: a row that is missing in a view, one too many, a lost id, and the log itself as the only truth."""

import random
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from atp.app.config import Config
from atp.app.index import check_index
from atp.app.inspect import read_frame
from atp.app.open import open_platform, open_stores
from atp.limits import FRAME_ENTRIES
from atp.log.event import prepare
from atp.log.project.follow import frames_due
from atp.log.reader import Cache, LogReader
from atp.ports.read_models import Frame
from atp.tenants.access import SCOPES, Caller
from atp.verify.options import Options
from atp.verify.place import check_place
from atp.verify.report import LogReport
from tests.world import raw_events

COUNT = 300
FRAMES = frames_due(COUNT)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A data directory with one log of 300 entries, its views complete."""
    platform = open_platform(Config(tmp_path / "atp")).platform
    platform.start()
    events = [prepare(raw) for raw in raw_events(range(COUNT))]
    platform.record(events, by=Caller("root", "", SCOPES), tenant="default").result(20)
    platform.pipeline.when_published("default", COUNT - 1).result(20)
    while platform.stores.models.followed("default") < FRAMES:
        pass
    platform.stop()
    return tmp_path / "atp"


def verify(data: Path) -> LogReport:
    options = Options(tenant="default")
    return check_index(data, check_place(str(data), options), options).logs[0]


def frames(data: Path) -> Iterator[Frame]:
    stores = open_stores(data)
    try:
        reader = LogReader("default", event_store=stores.events, object_store=stores.objects, cache=Cache())
        for number in range(FRAMES):
            yield read_frame(number, reader.frame(number))
    finally:
        stores.events.close()


def put(data: Path, changed: list[Frame]) -> None:
    """Make the view hold exactly these frames, by its own means: every checksum is right."""
    stores = open_stores(data)
    stores.models.clear("default")
    stores.models.extend("default", changed)
    stores.events.close()


def test_the_second_reading_agrees_with_what_was_followed(data: Path) -> None:
    assert verify(data).levels["index"].verdict == "ok"


def test_a_term_taken_from_or_added_to_any_frame_is_found(
    data: Path, rng: random.Random, count: Callable[..., int]
) -> None:
    whole = list(frames(data))
    for _ in range(count(bounded=6, soak=300)):
        number = rng.randrange(FRAMES)
        frame = whole[number]
        terms = frame.terms
        if rng.random() < 0.5:  # all but a few of the terms, so that no other term covers every lost bit
            terms = np.array(sorted(rng.sample(terms.tolist(), len(terms) // 2)), np.uint64)
        else:
            terms = np.append(terms, np.array([rng.getrandbits(64) for _ in range(40)], np.uint64))
        put(data, [*whole[:number], Frame(number, terms, frame.time_min, frame.time_max), *whole[number + 1 :]])
        report = verify(data)
        assert report.is_tampered
        assert [finding.index for finding in report.findings] == [number * FRAME_ENTRIES]


def test_a_changed_time_of_a_frame_is_found(data: Path) -> None:
    whole = list(frames(data))
    put(data, [Frame(0, whole[0].terms, whole[0].time_min + 1, whole[0].time_max), *whole[1:]])
    assert verify(data).findings[0].index == 0


def test_a_frame_too_many_is_found(data: Path) -> None:
    whole = list(frames(data))
    put(data, [*whole, Frame(FRAMES, whole[0].terms, 0, 1)])
    assert "the view holds 5 frames, the log has 4" in verify(data).findings[0].reason


def test_frames_that_are_gone_are_named_and_hide_nothing(data: Path) -> None:
    put(data, list(frames(data))[:2])
    level = verify(data).levels["index"]
    assert (level.verdict, "entries 128 to 255" in level.reason) == ("partly", True)


def test_swapped_frames_are_found(data: Path) -> None:
    one, two, *rest = frames(data)
    swapped = [Frame(0, two.terms, two.time_min, two.time_max), Frame(1, one.terms, one.time_min, one.time_max)]
    put(data, [*swapped, *rest])
    assert verify(data).is_tampered


def test_a_running_server_is_said_to_hold_the_directory(data: Path) -> None:
    platform = open_platform(Config(data)).platform
    platform.start()
    try:
        level = verify(data).levels["index"]
        assert (level.verdict, "another process" in level.reason) == ("not possible here", True)
    finally:
        platform.stop()
