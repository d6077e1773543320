"""Segments of other sizes, the place where their numbers wrap, and a long log behind one backup."""

import os
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from random import Random

import pytest

from atp.ops.backups.act.kinds.postgresql.instance import running
from atp.ops.backups.format.contents import Names
from tests.cli.running import Atp
from tests.contracts.vaults import release
from tests.ops.postgresql.bank import TABLES, Cluster, cluster, following, program, shipped, wait_for
from tests.services.absent import AbsentError

pytestmark = [pytest.mark.whole, pytest.mark.slow]

NAMES = Names(superuser="atp", database="postgres")
LAST = {1: "000000010000000000000FFD", 64: "00000001000000000000003D"}  # two before the first log of 4 GiB is full
SIZES = list(LAST)
if "ATP_SOAK" not in os.environ:  # a bounded run takes one of them, the seed says which
    SIZES = Random(os.environ.get("ATP_SEED", "")).sample(SIZES, 1)


@contextmanager
def bank_of(megabytes: int, *, first: str | None = None) -> Iterator[Cluster]:
    """A bank whose segments have this size, and whose log begins in this one."""
    try:
        with cluster(f"--wal-segsize={megabytes}") as bank:
            if first is not None:
                stop(bank)
                subprocess.run(
                    [bank.programs / "pg_resetwal", "-l", first, bank.data],
                    user=bank.user,
                    check=True,
                    capture_output=True,
                )
                bank.start()
            with bank.connect() as connection:
                connection.execute(TABLES)
            yield bank
    except AbsentError as error:
        pytest.skip(str(error))


def stop(bank: Cluster) -> None:
    """Cleanly."""
    assert bank.process is not None
    bank.process.terminate()
    bank.process.wait()
    bank.process = None


def book(bank: Cluster, here: Path, number: int) -> str:
    """A row in a segment that the follower closed, in the repository; a moment after it was acknowledged."""
    ((segment,),) = bank.ask(
        f"INSERT INTO booking (id) VALUES ({number}) RETURNING pg_walfile_name(pg_current_wal_insert_lsn())"
    )
    time.sleep(0.05)
    at = datetime.now(UTC).isoformat()
    time.sleep(0.05)
    wait_for(here / "follow.log", f"{segment} reaches to", seconds=600)
    return at


def switch(bank: Cluster, count: int) -> None:
    """So many segments with next to nothing in them."""
    with bank.connect() as connection:
        for _ in range(count):
            connection.execute("SELECT pg_logical_emit_message(false, 'x', 'y')")
            connection.execute("SELECT pg_switch_wal()")


def rows(atp: Atp, name: str, *words: str) -> list[int]:
    atp.document("restore", "ledger", "--to", name, "--identity", "KEY.txt", "--yes", *words)
    with running(Path(name).absolute(), NAMES) as server:
        return [int(row[0]) for row in server.ask("SELECT id FROM booking ORDER BY id")]


@pytest.mark.parametrize("megabytes", SIZES)
def test_a_log_is_followed_over_the_place_where_the_numbers_of_its_segments_wrap(
    here: Path, count: Callable[..., int], megabytes: int
) -> None:
    try:
        with bank_of(megabytes, first=LAST[megabytes]) as bank:
            atp = program(here, bank)
            with following(atp, here):
                atp.document("backup", "run", "ledger")
                moments = [book(bank, here, number) for number in (1, 2)]
                if megabytes == 1:
                    switch(bank, count(bounded=10, soak=1_000))
                book(bank, here, 3)
            names = [path.name[8:24] for path in shipped(here)]
            assert names[0].startswith("00000000") and names[-1].startswith("00000001"), names
            assert rows(atp, "back", "--at", moments[1]) == [1, 2]
            done = atp("drill", "run", "ledger", "--identity", "KEY.txt", "--json").json["drill"]
            assert next(one["verdict"] for one in done["objectives"] if one["name"] == "content") == "pass", done
    finally:
        release(here / "vault")
