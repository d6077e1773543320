"""The world of drills, with a full catalogue."""

from pathlib import Path

import pytest

from tests.ops.drills.world import World, filled


@pytest.fixture
def world(tmp_path: Path) -> World:
    made = World(tmp_path)
    filled(made.source)
    return made


@pytest.fixture
def letters(tmp_path: Path) -> World:
    made = World(tmp_path, dataset="letters")
    (made.source / "1899").mkdir(parents=True)
    (made.source / "1899" / "may.txt").write_text("dear all\n")
    (made.source / "index").write_text("may\n")
    return made
