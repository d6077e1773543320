"""What is over goes; what is held, locked or the last good one stays, whatever anybody declares."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from atp.adapters.memory_repository import MemoryRepository
from atp.errors import ConflictError, ForbiddenError, MissingError
from atp.ops.backups.act import holding, pruning
from atp.ops.backups.act.listing import Listed, list_backups
from atp.ops.backups.act.pruning import decide
from tests.ops.backups.world import RETENTION, World, words

DAY = 86_400


@pytest.fixture
def three(world: World) -> Iterator[list[str]]:
    """Three backups, ten days from one to the next."""
    made = []
    for _ in range(3):
        made.append(world.back_up().backup)
        world.clock.advance(10 * DAY)
    yield made


def listed(world: World) -> list[Listed]:
    return list_backups(world.repository, dataset="letters")


def doing(world: World) -> list[str]:
    decisions = decide(listed(world), retention=RETENTION, now=world.clock.now())
    return [one.do for one in decisions]


def prune(world: World) -> list[str]:
    found = listed(world)
    decisions = decide(found, retention=RETENTION, now=world.clock.now())
    pruning.prune(world.repository, found, decisions, dataset="letters", record=world.record("prune"))
    return [one.backup for one in listed(world)]


def test_what_is_over_goes_and_the_rest_stays(world: World, three: list[str]) -> None:
    assert doing(world) == ["delete", "keep", "keep"]
    assert prune(world) == three[1:]
    assert {kept.name.split("/")[1] for kept in world.repository.objects("")} == set(three[1:])


def test_the_last_good_one_is_never_deleted_and_its_lock_is_extended_before_it_ends(
    world: World, three: list[str]
) -> None:
    world.clock.advance(6 * DAY)
    assert doing(world)[-1] == "extend"
    prune(world)
    names = [kept.name for kept in world.repository.objects(f"letters/{three[2]}/")]
    assert {world.repository.keep_until(name) for name in names} == {world.clock.now() + timedelta(days=30)}
    assert doing(world)[-1] == "keep"
    world.clock.advance(1000 * DAY)
    assert prune(world) == [three[2]]


def test_only_the_extension_is_done_when_only_that_is_asked_for(world: World, three: list[str]) -> None:
    world.clock.advance(6 * DAY)
    (longer,) = pruning.extensions(listed(world), retention=RETENTION, now=world.clock.now())
    assert (longer.backup, longer.do) == (three[2], "extend")
    pruning.prune(world.repository, listed(world), [longer], dataset="letters", record=world.record("verify"))
    assert [one.backup for one in listed(world)] == three
    assert pruning.extensions(listed(world), retention=RETENTION, now=world.clock.now()) == []


def test_a_damaged_one_is_not_the_last_good_one(world: World, three: list[str]) -> None:
    world.clock.advance(1000 * DAY)
    world.repository.delete(f"letters/{three[2]}/data.00000")
    assert doing(world) == ["delete", "extend", "delete"]
    assert prune(world) == [three[1]]


def test_when_no_backup_is_good_nothing_is_deleted(world: World, three: list[str]) -> None:
    world.clock.advance(1000 * DAY)
    for backup in three:
        world.repository.delete(f"letters/{backup}/data.00000")
    assert doing(world) == ["keep", "keep", "keep"]
    assert prune(world) == three


def test_what_is_held_stays_until_it_is_released(world: World, three: list[str]) -> None:
    held = holding.Hold("alice", world.clock.now(), "dispute about inv-7")
    holding.hold(world.repository, held, dataset="letters", backup=three[0])
    with pytest.raises(ConflictError, match="held already"):
        holding.hold(world.repository, held, dataset="letters", backup=three[0])
    assert prune(world) == three
    holding.release(world.repository, dataset="letters", backup=three[0])
    with pytest.raises(MissingError, match="nobody holds it"):
        holding.release(world.repository, dataset="letters", backup=three[0])
    assert prune(world) == three[1:]


def test_without_a_retention_nothing_is_deleted(world: World) -> None:
    world.retention = None
    for _ in range(2):
        world.back_up()
        world.clock.advance(1000 * DAY)
    decisions = decide(listed(world), retention=None, now=world.clock.now())
    assert [one.do for one in decisions] == ["keep", "keep"]


def test_the_repository_has_the_last_word(world: World, three: list[str]) -> None:
    """Somebody decides that a locked one goes: it is refused, and it is whole."""
    found = listed(world)
    wrong = [pruning.Decision(three[1], "delete", "a mistake")]
    with pytest.raises(ForbiddenError):
        pruning.prune(world.repository, found, wrong, dataset="letters", record=world.record("prune"))
    assert all(one.is_good for one in listed(world))


def test_the_plan_extends_before_it_deletes(world: World, three: list[str]) -> None:
    world.clock.advance(1000 * DAY)
    steps = pruning.plan(decide(listed(world), retention=RETENTION, now=world.clock.now()))
    assert words(steps) == [f"extend {three[2]}", f"delete {three[0]}", f"delete {three[1]}"]


def test_decisions_depend_on_nothing_but_the_list(world: World, three: list[str]) -> None:
    one = listed(world)[0]
    assert isinstance(world.repository, MemoryRepository)
    assert decide([], retention=RETENTION, now=world.clock.now()) == []
    bad = replace(one, faults=("its part data.00000 is missing",))
    assert [found.do for found in decide([bad], retention=RETENTION, now=world.clock.now())] == ["keep"]
    assert Path(three[0]).name == three[0]


def test_one_whose_bytes_are_not_those_that_were_stored_is_not_the_last_good_one(
    world: World, three: list[str]
) -> None:
    world.clock.advance(1000 * DAY)
    name = f"letters/{three[2]}/data.00000"
    data = bytearray(b"".join(world.repository.read(name)))
    data[len(data) // 2] ^= 1
    world.repository.delete(name)
    with world.repository.store(name) as sink:
        sink.write(bytes(data))
    assert doing(world) == ["delete", "delete", "extend"], "a listing tells nothing of it"
    found = pruning.read_back(world.repository, listed(world))
    assert [one.is_good for one in found] == [True, True, False]
    assert [one.do for one in decide(found, retention=RETENTION, now=world.clock.now())] == [
        "delete",
        "extend",
        "delete",
    ]
