"""A follower works beside the program that receives: what that one does to its files meanwhile is no trouble. What it
ships it writes down first, and what it cannot write down it keeps."""

import os
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from atp.adapters.memory import FrozenClock
from atp.adapters.memory_repository import MemoryRepository
from atp.errors import UnavailableError
from atp.limits import ENTRY_BYTES_MAX, SHIPPED_BATCH_BYTES, SHIPPED_NAMES_MAX
from atp.ops.backups.act.kinds.postgresql.connection import Connection
from atp.ops.backups.act.kinds.postgresql.following import Following
from atp.ops.backups.act.kinds.shipping import Shipping
from atp.ops.backups.evidence import backup_shipped
from atp.ops.record.spool import LINE_BYTES_MAX
from tests.cli.running import Atp
from tests.ops.backups.world import RECIPIENT
from tests.ops.postgresql.bank import Cluster, following, wait_for

pytestmark = pytest.mark.whole


def follower(
    room: Path,
    repository: MemoryRepository,
    *,
    record: Callable[[Sequence[str]], object],
    shipped: Callable[[str, datetime], object] = lambda name, covers: None,
    trouble: Callable[[str], object] = lambda words: None,
) -> Following:
    """One whose server is gone, and that has a room with what it received."""
    room.mkdir(exist_ok=True)
    return Following(
        Connection({"PGHOST": str(room), "PGPORT": "5432", "PGUSER": "atp", "PGDATABASE": "postgres"}),
        Shipping(
            dataset="ledger",
            repositories={"vault": repository},
            recipients=(RECIPIENT,),
            retention=None,
            room=room.parent,
            clock=FrozenClock(),
            within=timedelta(),
            record=record,
            shipped=shipped,
            trouble=trouble,
        ),
        _system=room.name,
        _done={"vault": set()},
    )


def fill(room: Path, count: int, data: bytes) -> None:
    room.mkdir(exist_ok=True)
    for number in range(1, count + 1):
        (room / f"{1:08X}{0:08X}{number:08X}").write_bytes(data)


def names(repository: MemoryRepository) -> list[str]:
    return sorted(kept.name for kept in repository.objects("ledger/"))


def test_a_segment_that_becomes_whole_while_it_is_shipped_is_shipped_as_that(tmp_path: Path) -> None:
    room = tmp_path / "7"
    room.mkdir()
    first, second = (room / f"00000001000000000000000{number}.partial" for number in (1, 2))
    for path in (first, second):
        path.write_bytes(b"the beginning of a segment")
    shipped, troubles = list[str](), list[str]()

    def completed(name: str, covers_until: datetime) -> None:
        """While the one was shipped, the other got its last byte and its name."""
        shipped.append(name)
        for other in {first, second} - {room / name}:
            if other.exists():
                other.rename(other.with_suffix(""))

    repository = MemoryRepository(FrozenClock())
    made = follower(room, repository, record=lambda names: None, shipped=completed, trouble=troubles.append)
    made.follow_once(is_alive=lambda: False)
    assert len(shipped) == 1 and shipped[0].endswith(".partial"), troubles
    made.follow_once(is_alive=lambda: False)
    assert shipped[1:] == [({first.stem, second.stem} - {Path(shipped[0]).stem}).pop()]
    assert len(troubles) == 1 and "could not ask PostgreSQL" in troubles[0], "the server is gone, and nothing else"


@pytest.mark.parametrize(("count", "size"), [(150, 10), (3, SHIPPED_BATCH_BYTES * 2 // 3)])
def test_what_is_ready_is_written_down_in_few_records_of_bounded_size_before_it_is_stored(
    tmp_path: Path, count: int, size: int
) -> None:
    fill(tmp_path / "7", count, os.urandom(size))
    repository, records = MemoryRepository(FrozenClock()), list[Sequence[str]]()

    def record(recorded: Sequence[str]) -> None:
        assert not set(recorded) & set(names(repository)), "nothing is stored yet"
        records.append(recorded)

    follower(tmp_path / "7", repository, record=record).follow_once(is_alive=lambda: False)
    assert sorted(name for one in records for name in one) == names(repository) and len(names(repository)) == count
    assert max(map(len, records)) == min(SHIPPED_NAMES_MAX, 2 if size > 10 else count), [*map(len, records)]
    assert [path.name for path in (tmp_path / "7").glob("0*")] == [f"{1:08X}{0:08X}{count:08X}"], "the newest stays"


def test_a_record_with_as_many_and_as_long_names_as_there_can_be_fits_into_an_entry() -> None:
    longest = f"{'d' * 63}/wal/{2**64 - 1}/{'F' * 24}_20260101T000000000000Z_{'f' * 64}_partial"
    data = backup_shipped([longest] * SHIPPED_NAMES_MAX, repositories=["r" * 63] * 16)
    assert len(str(data)) < LINE_BYTES_MAX // 2 < ENTRY_BYTES_MAX


def test_what_can_be_written_down_nowhere_is_not_stored_and_kept_until_it_can_be(tmp_path: Path) -> None:
    fill(tmp_path / "7", SHIPPED_NAMES_MAX, b"a segment")
    (tmp_path / "7" / f"{1:08X}{0:08X}{SHIPPED_NAMES_MAX + 1:08X}.partial").write_bytes(b"the beginning of one")
    repository, is_away, recorded, troubles = MemoryRepository(FrozenClock()), [True], list[str](), list[str]()

    def record(given: Sequence[str]) -> None:
        if is_away[0]:
            raise UnavailableError("could not begin backup.shipped: no evidence, no act")
        assert len(given) <= SHIPPED_NAMES_MAX
        recorded.extend(given)

    made = follower(tmp_path / "7", repository, record=record, trouble=troubles.append)
    for _ in range(3):
        made.follow_once(is_alive=lambda: False)
    assert names(repository) == [] and len(list((tmp_path / "7").glob("0*"))) == SHIPPED_NAMES_MAX + 1
    assert "no evidence, no act" in troubles[0]
    is_away[0] = False
    made.follow_once(is_alive=lambda: False)
    assert names(repository) == sorted(recorded) and len(recorded) == SHIPPED_NAMES_MAX + 1


def test_a_repository_that_does_not_answer_costs_one_record(tmp_path: Path) -> None:
    fill(tmp_path / "7", 2, b"a segment")
    recorded, troubles = list[str](), list[str]()
    repository = MemoryRepository(FrozenClock())
    made = follower(tmp_path / "7", repository, record=recorded.extend, trouble=troubles.append)
    made.shipping.repositories = {"vault": Dead()}  # type: ignore[dict-item]
    for _ in range(5):
        made.follow_once(is_alive=lambda: False)
    assert len(recorded) == 2 and "the line went dead" in troubles[0]
    made.shipping.repositories = {"vault": repository}
    made.follow_once(is_alive=lambda: False)
    assert len(recorded) == 2 and names(repository) == sorted(recorded)


class Dead:
    """A repository that takes nothing."""

    def store(self, name: str, *, keep_until: datetime | None = None) -> None:
        raise UnavailableError("could not store: the line went dead")


@pytest.mark.slow
def test_the_reach_of_a_server_that_nobody_writes_to_goes_on(atp: Atp, bank: Cluster, here: Path) -> None:
    with following(atp, here):
        atp.document("backup", "run", "ledger")
        ((segment,),) = bank.ask("INSERT INTO booking (id) VALUES (1) RETURNING pg_walfile_name(pg_current_wal_lsn())")
        wait_for(here / "follow.log", f"{segment} reaches to")
        idle_at = datetime.now(UTC)
        time.sleep(8)
    said = (here / "follow.log").read_text().rpartition("ended; it reaches to ")[2].strip()
    reaches_to = datetime.fromisoformat(said)
    assert idle_at + timedelta(seconds=1) < reaches_to < datetime.now(UTC)
