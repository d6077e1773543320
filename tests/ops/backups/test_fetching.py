"""A restore that was cut off goes on with the parts that it had."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from atp.errors import TamperedError, UnavailableError
from atp.ops.backups.act import restoring
from atp.ops.backups.act.fetching import FetchedParts
from atp.ops.backups.act.kinds.choose import arrival_of
from atp.ops.backups.act.listing import find_backup
from atp.ops.backups.format.manifest import Manifest
from atp.ports.repository import Repository
from tests.ops.backups.test_restoring import flip
from tests.ops.backups.world import IDENTITIES, World, nothing, portrait


@dataclass(slots=True)
class Far:
    """A repository that is gone in the middle of the part `gone_at`; `asked` are the parts that were read from it."""

    repository: Repository
    gone_at: str = ""
    asked: list[str] = field(default_factory=list)

    def read(self, name: str) -> Iterator[bytes]:
        part = name.rpartition("/")[2]
        self.asked.append(part)
        for chunk in self.repository.read(name):
            if part == self.gone_at:
                yield chunk[:1000]
                raise UnavailableError("could not read: the line is cut")
            yield chunk


def restore(world: World, far: Far, *, parts: Path) -> Manifest:
    listed = find_backup(world.repository, dataset="letters")
    assert listed.manifest is not None
    target = restoring.observe_target(world.root / "restored", kind="files", replace=None)
    kept = FetchedParts(far, listed.manifest, parts)
    arrival = arrival_of(listed.manifest, repository=world.repository, identities=IDENTITIES)
    one = restoring.Restore(
        kept,
        listed.manifest,
        target,
        arrival,
        IDENTITIES,
        nothing,
        restoring.Restored(listed.backup, str(target.place)),
    )
    one.carry_out(restoring.plan(listed.manifest, target, arrival), record=world.record("restore"))
    kept.remove()
    return listed.manifest


@pytest.fixture
def cut_off(world: World) -> Path:
    """Where the parts are of a restore that the line let down."""
    world.back_up(part_bytes_max=800_000)
    parts = world.root / "parts"
    with pytest.raises(UnavailableError, match="the line is cut"):
        restore(world, Far(world.repository, gone_at="data.00002"), parts=parts)
    return parts


def test_only_what_is_missing_is_fetched_and_nothing_stays(world: World, cut_off: Path) -> None:
    far = Far(world.repository)
    manifest = restore(world, far, parts=cut_off)
    assert sorted(far.asked) == ["contents.00000", *(part.name for part in manifest.data[2:])]
    assert portrait(world.root / "restored") == portrait(world.source)
    assert not cut_off.exists()


def test_a_part_that_was_changed_here_is_fetched_again(world: World, cut_off: Path) -> None:
    (changed,) = cut_off.glob("*.data.00001")
    flip(changed, 1000)
    (cut_off / "mine").touch()
    far = Far(world.repository)
    restore(world, far, parts=cut_off)
    assert "data.00001" in far.asked and "data.00000" not in far.asked
    assert portrait(world.root / "restored") == portrait(world.source)
    assert [path.name for path in cut_off.iterdir()] == ["mine"]


def test_a_part_that_is_wrong_in_the_repository_is_never_kept(world: World, stored: Path) -> None:
    flip(stored / "data.00001", 1000)
    parts = world.root / "parts"
    with pytest.raises(TamperedError, match=r"bytes of its part data\.00001"):
        restore(world, Far(world.repository), parts=parts)
    assert f"{stored.name}.data.00001" not in [path.name for path in parts.iterdir()]
