"""Reading a published log: what is full is read once, what grows is read again."""

import pytest

from tests.world import World, raw_events


@pytest.fixture
def world() -> World:
    return World()


def test_a_full_frame_of_the_tail_is_read_once_and_the_last_one_as_often_as_it_grows(world: World) -> None:
    reader = world.reader()
    for size in (70, 130, 256, 300):
        world.record(*raw_events(range(reader.size(), size)))
        world.publish()
        whole = [reader.frame(number) for number in range(size // 64)]
        assert all(reader.frame(number) is frame for number, frame in enumerate(whole))
        assert [entry for frame in [*whole, reader.frame(size // 64)] for entry in frame] == reader.entries(0, size)


def test_entries_that_are_durable_and_not_published_are_in_no_frame(world: World) -> None:
    reader = world.reader()
    world.record(*raw_events(range(60)))
    world.publish()
    world.record(*raw_events(range(60, 64)))
    assert len(reader.frame(0)) == 60
    world.publish()
    assert len(reader.frame(0)) == 64
