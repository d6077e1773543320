"""What a follower of a trail ships is written down before; what strangers put beside it is left aside."""

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from typing import cast

import pytest

from atp.errors import MissingError, TamperedError, UnavailableError
from atp.ops.backups.act.kinds.choose import check_following, following_names
from atp.ops.backups.evidence import Recorded, recorded_of
from atp.ops.backups.format.archive import END
from atp.ports.repository import Repository
from tests.ops.backups.world import IDENTITIES, World
from tests.ops.trail.test_followed import (
    DATASET,
    Told,
    follower,
    forge,
    grown,
    increments,
    look,
    manifest,
    restore,
    size,
    write,
)

_SECOND = timedelta(seconds=1)


def remembered(world: World, names: Iterable[str], *, insists: bool = False) -> Recorded:
    """What a trail that tells of these names makes of the repository."""
    following = following_names(world.repository, manifest(world))
    return recorded_of(following, manifest_sha256=None, names=[*names], insists=insists)


def test_an_increment_is_written_down_once_before_it_is_stored(world: World) -> None:
    told = look(world)
    assert told.recorded == [one.name(DATASET) for one in increments(world)]
    write(world, range(511, 600))
    away, failing = Told(), follower(world, told := Told())
    failing.shipping.trouble = away.trouble.append
    failing.shipping.repositories = {"vault": cast(Repository, Dead())}
    looks = iter([False, False, False, True])
    failing.shipping.within = timedelta()
    failing.run(is_over=lambda: next(looks, True))
    assert len(told.recorded) == 1 and "the line went dead" in away.trouble[-1], "it is tried again as it is"
    refused = follower(world, told := Told())
    refused.shipping.record = refuse
    refused.run(is_over=lambda: True)
    assert "no evidence, no act" in told.trouble[-1] and len(increments(world)) == 1
    assert look(world).recorded == [increments(world)[-1].name(DATASET)]


class Dead:
    """A repository that takes nothing."""

    def store(self, name: str, *, keep_until: datetime | None = None) -> None:
        raise UnavailableError("could not store: the line went dead")

    def unfinished(self, prefix: str) -> Iterator[str]:
        return iter(())


def refuse(_: object) -> None:
    raise UnavailableError("could not begin backup.shipped: no evidence, no act")


def test_forged_increments_are_left_aside_and_counted(world: World) -> None:
    sizes = grown(world)
    names = [one.name(DATASET) for one in increments(world)]
    newest, far = increments(world)[-1], datetime(2900, 1, 1, tzinfo=UTC)
    forge(world, [END], number=newest.number - 1, covers=far)
    forge(world, [END], covers=far)
    forge(world, [END], series="29000101T000000Z-0123456789ab", number=1, covers=far)
    with pytest.raises((TamperedError, MissingError)):
        restore(world, "believed")
    known = remembered(world, names)
    assert size(restore(world, recorded=known)) == sizes[-1]
    assert check_following(world.repository, manifest(world), IDENTITIES, known) == 3
    assert (known.others, known.others_reach_to) == (3, far) and "left aside" in known.warning


def test_an_increment_that_nobody_recorded_is_used_when_somebody_wants_it(world: World) -> None:
    sizes = grown(world)
    *names, last = (one.name(DATASET) for one in increments(world))
    middle = forge(world, [END], number=increments(world)[-2].number, covers=increments(world)[-2].covers + _SECOND)
    assert last and middle
    assert size(restore(world, "known", recorded=remembered(world, names))) == sizes[-2]
    wanted = remembered(world, names, insists=True)
    assert size(restore(world, "wanted", recorded=wanted)) == sizes[-1], "nothing stands before a recorded one"
    assert wanted.others == 2 and "nobody tells who made them" in wanted.warning
