"""A follower works beside the program that receives: what that one does to its files meanwhile is no trouble."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from atp.adapters.memory import FrozenClock
from atp.adapters.memory_repository import MemoryRepository
from atp.ops.backups.act.kinds.postgresql.connection import Connection
from atp.ops.backups.act.kinds.postgresql.following import Following
from atp.ops.backups.act.kinds.shipping import Shipping
from tests.ops.backups.world import RECIPIENT

pytestmark = pytest.mark.whole


def test_a_segment_that_becomes_whole_while_it_is_shipped_is_shipped_as_that(tmp_path: Path) -> None:
    room = tmp_path / "7"
    room.mkdir()
    first, second = (room / f"00000001000000000000000{number}.partial" for number in (1, 2))
    for path in (first, second):
        path.write_bytes(b"the beginning of a segment")
    recorded, shipped, troubles = list[Sequence[str]](), list[str](), list[str]()

    def completed(name: str, covers_until: datetime) -> None:
        """While the one was shipped, the other got its last byte and its name."""
        shipped.append(name)
        for other in {first, second} - {room / name}:
            if other.exists():
                other.rename(other.with_suffix(""))

    clock = FrozenClock()
    follower = Following(
        Connection({"PGHOST": str(tmp_path), "PGPORT": "5432", "PGUSER": "atp", "PGDATABASE": "postgres"}),
        Shipping(
            dataset="ledger",
            repositories={"vault": MemoryRepository(clock)},
            recipients=(RECIPIENT,),
            retention=None,
            room=tmp_path,
            clock=clock,
            within=timedelta(),
            record=recorded.append,
            shipped=completed,
            trouble=troubles.append,
        ),
        _system=room.name,
        _done={"vault": set()},
    )
    follower.follow_once(is_alive=lambda: False)
    assert len(shipped) == 1 and shipped[0].endswith(".partial"), troubles
    follower.follow_once(is_alive=lambda: False)
    assert shipped[1:] == [({first.stem, second.stem} - {Path(shipped[0]).stem}).pop()]
    assert len(troubles) == 1 and "could not ask PostgreSQL" in troubles[0], "the server is gone, and nothing else"
