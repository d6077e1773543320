"""A server that does not let us in, or keeps too little of its log: said with the next move, and nothing is left."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from atp.ops.backups.act.kinds.postgresql.instance import running
from atp.ops.backups.format.contents import Names
from tests.cli.running import Atp
from tests.ops.postgresql.bank import Cluster

pytestmark = [pytest.mark.whole, pytest.mark.slow]

RULES = "local all all trust\n"
SLOTS = "SELECT count(*) FROM pg_replication_slots"


def refused(atp: Atp, verb: str, *, hint: str, code: int = 5, **env: str) -> None:
    """It fails with this next move, and leaves no object."""
    ran = atp("backup", verb, "ledger", **env)
    assert ran.code == code and hint in ran.err.rpartition("(hint: ")[2], ran
    assert not [path for path in Path("vault").rglob("*") if path.is_file()]


def restarted(bank: Cluster, *settings: str) -> None:
    bank.kill()
    bank.words = tuple(word for setting in settings for word in ("-c", setting))
    bank.start()


def test_a_role_that_may_not_is_told_what_it_lacks_and_leaves_no_slot(atp: Atp, bank: Cluster) -> None:
    """A slot that nobody receives from would keep the log until the disk of the server is full."""
    bank.ask("CREATE ROLE plain LOGIN; CREATE ROLE half LOGIN REPLICATION")
    refused(atp, "run", hint="ALTER ROLE", LEDGER_ADDRESS=address(bank, "plain"))
    refused(atp, "follow", hint="GRANT EXECUTE ON FUNCTION pg_switch_wal()", LEDGER_ADDRESS=address(bank, "half"))
    bank.ask("GRANT EXECUTE ON FUNCTION pg_switch_wal() TO plain")
    refused(atp, "follow", hint="ALTER ROLE", LEDGER_ADDRESS=address(bank, "plain"))
    assert bank.ask(SLOTS) == [(0,)]
    (bank.data / "pg_hba.conf").write_text(RULES)
    bank.ask("SELECT pg_reload_conf()")
    time.sleep(0.3)
    for verb in ("run", "follow"):
        refused(atp, verb, hint="the database named replication")
    assert bank.ask(SLOTS) == [(0,)]


def address(bank: Cluster, role: str) -> str:
    return f"host={bank.home} user={role} dbname=postgres"


def test_a_server_whose_settings_do_not_let_it_be_copied_is_told_which(atp: Atp, bank: Cluster) -> None:
    restarted(bank, "max_wal_senders=0")
    for verb in ("run", "follow"):
        refused(atp, verb, hint="max_wal_senders = 10")
    restarted(bank, "max_wal_senders=0", "wal_level=minimal")
    refused(atp, "run", hint="wal_level = replica", code=2)
    refused(atp, "follow", hint="wal_level = replica")
    restarted(bank, "max_replication_slots=0")
    refused(atp, "follow", hint="max_replication_slots = 10")


RECYCLES = ("max_wal_size=160MB", "min_wal_size=32MB", "wal_keep_size=0")
BIG = "CREATE TABLE big AS SELECT repeat('x', 1000) FROM generate_series(1, 100000)"
STREAMS = "SELECT count(*) FROM pg_stat_progress_basebackup WHERE phase = 'streaming database files'"


def test_a_server_keeps_its_log_for_a_backup_while_it_recycles_it(atp: Atp, bank: Cluster, here: Path) -> None:
    restarted(bank, *RECYCLES)
    code, said = backed_up_while_recycled(atp, bank, here)
    assert code == 0 and "warning" not in said, said
    assert bank.ask(SLOTS) == [(0,)], "it lets go of it when the backup has ended"
    atp.document("restore", "ledger", "--to", "back", "--identity", "KEY.txt", "--yes")
    with running(Path("back").absolute(), Names(superuser="atp", database="postgres")) as server:
        assert server.ask("SELECT count(*) FROM big") == [["100000"]]


def test_a_log_that_no_slot_may_keep_is_recycled_while_it_is_copied_and_makes_no_backup(
    atp: Atp, bank: Cluster, here: Path
) -> None:
    restarted(bank, *RECYCLES, "max_replication_slots=0")
    code, said = backed_up_while_recycled(atp, bank, here)
    assert code == 5 and "wal_keep_size" in said.rpartition("(hint: ")[2] and "max_slot" not in said, said
    assert not [path for path in Path("vault").rglob("*") if path.is_file()]
    (warning,) = atp.document("backup", "run", "ledger")["warnings"]
    assert "kept no log" in warning and "max_replication_slots = 10" in warning, "the next one is fine, and says so"


def test_where_all_slots_are_in_use_a_backup_is_made_without_and_says_so(atp: Atp, bank: Cluster) -> None:
    restarted(bank, "max_replication_slots=1")
    bank.ask("SELECT pg_create_physical_replication_slot('taken')")
    (warning,) = atp.document("backup", "run", "ledger")["warnings"]
    assert "all replication slots are in use" in warning and "max_replication_slots" in warning
    assert bank.ask("SELECT slot_name FROM pg_replication_slots") == [("taken",)]


def test_a_server_that_may_not_keep_so_much_is_told_by_which_setting(atp: Atp, bank: Cluster, here: Path) -> None:
    restarted(bank, *RECYCLES, "max_slot_wal_keep_size=32MB")
    code, said = backed_up_while_recycled(atp, bank, here)
    assert code == 5 and "max_slot_wal_keep_size" in said.rpartition("(hint: ")[2], said
    assert bank.ask(SLOTS) == [(0,)]


def test_a_backup_that_is_killed_leaves_no_slot(atp: Atp, bank: Cluster, here: Path) -> None:
    with streaming(atp, bank, here) as run:
        assert bank.ask(SLOTS) == [(1,)]
        run.kill()
        soon(bank, SLOTS, 0)


def backed_up_while_recycled(atp: Atp, bank: Cluster, here: Path) -> tuple[int, str]:
    """How a backup ends that is held up while whole segments are written and given back, and what it says."""
    with streaming(atp, bank, here) as run:
        for _ in range(6):
            bank.ask("SELECT pg_logical_emit_message(false, 'x', repeat('y', 20000000)); CHECKPOINT")
        run.send_signal(signal.SIGCONT)
        _, said = run.communicate(timeout=120)
    return run.returncode, said


@contextmanager
def streaming(atp: Atp, bank: Cluster, here: Path) -> Iterator["subprocess.Popen[str]"]:
    """A backup that is held up in the middle of its stream."""
    bank.ask(BIG)
    words = [str(Path(sys.executable).parent / "atp"), "backup", "run", "ledger"]
    run = subprocess.Popen(
        words, cwd=here, env={**os.environ, **atp.env}, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )
    try:
        soon(bank, STREAMS, 1)
        run.send_signal(signal.SIGSTOP)
        yield run
    finally:
        run.kill()
        run.communicate()


def soon(bank: Cluster, sql: str, count: int) -> None:
    until = time.monotonic() + 60
    with bank.connect() as connection:
        while connection.execute(sql.encode()).fetchall() != [(count,)]:
            assert time.monotonic() < until, sql
