"""A small world on memory, and on a directory."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from atp.adapters.directory import DirectoryRepository
from tests.contracts.vaults import release
from tests.ops.backups.world import World, small_tree


@pytest.fixture
def world(tmp_path: Path) -> World:
    """A tree and an empty repository in memory."""
    return World(tmp_path, small_tree(tmp_path / "letters"))


@pytest.fixture
def shelf(world: World) -> Iterator[Path]:
    """The world's repository is a directory now: this one."""
    root = world.root / "shelf"
    root.mkdir()
    world.repository = DirectoryRepository(root, clock=world.clock)
    yield root
    release(root)


@pytest.fixture
def stored(world: World, shelf: Path) -> Iterator[Path]:
    """The folder of a backup of three parts and more, open for harm."""
    made = world.back_up(part_bytes_max=800_000)
    release(shelf)
    yield shelf / "letters" / made.backup
