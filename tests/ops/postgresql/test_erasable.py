"""A followed server of keys whose destruction erases data: its log is not locked either, and goes with its backups."""

import time
from pathlib import Path

import pytest

from tests.cli.running import Atp
from tests.ops.postgresql.bank import Cluster, following, shipped, wait_for

pytestmark = [pytest.mark.whole, pytest.mark.slow]


def declare(here: Path) -> None:
    text = (here / "estate.yaml").read_text()
    (here / "estate.yaml").write_text(text.replace("kind: postgresql\n", "kind: postgresql\n    erasable: true\n", 1))


def test_what_is_shipped_is_not_locked_and_goes_with_the_last_backup(atp: Atp, bank: Cluster, here: Path) -> None:
    declare(here)
    with following(atp, here):
        atp.document("backup", "run", "ledger")
        for number in (1, 2):
            bank.ask(f"INSERT INTO booking (id) VALUES ({number})")
            ((segment,),) = bank.ask("SELECT pg_walfile_name(pg_current_wal_insert_lsn())")
            wait_for(here / "follow.log", f"{segment} reaches to")
    assert len(shipped(here)) >= 2
    assert [path for path in (here / "vault/.keep").rglob("*") if path.is_file()] == []
    atp.document("backup", "prune")
    assert atp.document("backup", "verify", "--identity", "KEY.txt")["ok"], "what the backup needs is there"
    ran = atp("restore", "ledger", "--to", "r", "--identity", "KEY.txt", "--yes")
    assert ran.code == 0 and "destroy again every key that was destroyed since" in ran.out
    text = (here / "estate.yaml").read_text()
    (here / "estate.yaml").write_text(text.replace("30d", "2s").replace("schedule: 12h", "schedule: 1s"))
    time.sleep(2.5)
    atp.document("backup", "prune")
    assert [path.name for path in (here / "vault/ledger").rglob("*") if path.is_file()] == []
