"""A server that does not let us in, or keeps too little of its log: said with the next move, and nothing is left."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

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


def test_a_log_that_is_recycled_while_it_is_copied_makes_no_backup(atp: Atp, bank: Cluster) -> None:
    restarted(bank, "max_wal_size=160MB", "min_wal_size=32MB", "wal_keep_size=0")
    bank.ask("CREATE TABLE big AS SELECT repeat('x', 1000) FROM generate_series(1, 100000)")
    with recycling(bank):
        refused(atp, "run", hint="wal_keep_size")
    assert atp("backup", "run", "ledger").code == 0, "the next one is fine"


@contextmanager
def recycling(bank: Cluster) -> Iterator[None]:
    """Whole segments are written and given back all the time."""
    is_over = threading.Event()

    def write() -> None:
        with bank.connect() as connection:
            while not is_over.is_set():
                connection.execute("SELECT pg_logical_emit_message(false, 'x', repeat('y', 20000000))")
                connection.execute("CHECKPOINT")

    thread = threading.Thread(target=write)
    thread.start()
    try:
        yield
    finally:
        is_over.set()
        thread.join()
