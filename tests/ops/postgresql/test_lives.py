"""A cluster that is restored and lives on, is followed late, or is strange in itself: nothing of it is lost unsaid."""

import os
import shutil
import signal
import subprocess
import time
from datetime import UTC, datetime
from pathlib import Path

import psycopg
import pytest

from atp.ops.backups.act.kinds.postgresql.instance import running
from atp.ops.backups.format.contents import Names
from tests.cli.running import Atp
from tests.contracts.vaults import release
from tests.ops.postgresql.bank import TABLES, Cluster, cluster, following, program, wait_for
from tests.services.absent import AbsentError

pytestmark = [pytest.mark.whole, pytest.mark.slow]
NAMES = Names(superuser="atp", database="postgres")


def put(bank: Cluster, number: int) -> str:
    """A row; a moment after it was acknowledged, and before anything else is."""
    bank.ask(f"INSERT INTO booking (id) VALUES ({number})")
    time.sleep(0.1)
    at = datetime.now(UTC).isoformat()
    time.sleep(0.1)
    return at


def settle(here: Path, bank: Cluster) -> None:
    """Until what was written so far is in the repository."""
    ((segment,),) = bank.ask("SELECT pg_walfile_name(pg_current_wal_insert_lsn())")
    wait_for(here / "follow.log", f"{segment} reaches to")


def rows(atp: Atp, name: str, *words: str) -> list[int]:
    atp.document("restore", "ledger", "--to", name, "--identity", "KEY.txt", "--yes", *words)
    with running(Path(name).absolute(), NAMES) as server:
        return [int(row[0]) for row in server.ask("SELECT id FROM booking ORDER BY id")]


def replace(bank: Cluster, restored: Path) -> None:
    """The restored cluster goes into production."""
    bank.destroy()
    shutil.copytree(restored, bank.data)
    bank.data.chmod(0o700)
    own(bank, bank.data)
    bank.start()


def own(bank: Cluster, path: Path) -> None:
    if bank.user is not None:
        subprocess.run(["chown", "-R", str(bank.user), str(path)], check=True)


def test_a_restored_cluster_lives_on_in_the_same_repository_and_both_lives_can_be_restored(
    atp: Atp, bank: Cluster, here: Path
) -> None:
    with following(atp, here):
        atp.document("backup", "run", "ledger")
        moments = {number: put(bank, number) for number in (1, 2)}
        settle(here, bank)
        moments[3] = put(bank, 3)
        settle(here, bank)
    assert rows(atp, "second", "--at", moments[2]) == [1, 2]
    replace(bank, here / "second")
    with following(atp, here):
        wait_for(here / "follow.log", "went another way")
        moments[10] = put(bank, 10)
        moments[11] = put(bank, 11)
        settle(here, bank)
    assert rows(atp, "newest") == [1, 2, 10, 11]
    assert rows(atp, "new-life", "--at", moments[10]) == [1, 2, 10]
    assert rows(atp, "old-life", "--at", moments[3]) == [1, 2, 3], "a restore does not unmake what was lived through"


def test_a_standby_is_refused_and_followed_once_it_is_promoted(atp: Atp, bank: Cluster, here: Path) -> None:
    standby = Cluster(bank.home / "standby", bank.programs, bank.user)
    standby.home.mkdir()
    own(bank, standby.home)
    words = [str(bank.programs / "pg_basebackup"), "-h", str(bank.home), "-U", "atp", "-D", str(standby.data), "-R"]
    subprocess.run([*words, "-c", "fast"], user=bank.user, check=True, capture_output=True)
    standby.start()
    try:
        other = Atp({**atp.env, "LEDGER_ADDRESS": standby.address})
        with following(atp, here):
            atp.document("backup", "run", "ledger")
            put(bank, 1)
            settle(here, bank)
            refused = [other("backup", "run", "ledger"), other("backup", "follow", "ledger")]
            assert all(one.code == 2 and "it is a standby" in one.err for one in refused), refused
            second = atp("backup", "follow", "ledger")
            assert second.code == 5 and "somebody else does" in second.err
            time.sleep(1)
        bank.kill()
        standby.ask("SELECT pg_promote()")
        with following(other, here):
            put(standby, 2)
            settle(here, standby)
        assert rows(other, "back") == [1, 2]
    finally:
        standby.kill()


def test_what_was_written_while_nobody_followed_has_its_moments(atp: Atp, bank: Cluster, here: Path) -> None:
    """When it was received says nothing about when it was written."""
    with following(atp, here):
        atp.document("backup", "run", "ledger")
        put(bank, 1)
        settle(here, bank)
    moments = {}
    for number in range(2, 6):
        moments[number] = put(bank, number)
        bank.ask("SELECT pg_switch_wal()")
    with following(atp, here):
        settle(here, bank)
    assert rows(atp, "back", "--at", moments[4]) == [1, 2, 3, 4]


def test_a_receiver_that_dies_and_a_slot_that_is_dropped_are_gone_on_from(atp: Atp, bank: Cluster, here: Path) -> None:
    with following(atp, here):
        atp.document("backup", "run", "ledger")
        put(bank, 1)
        settle(here, bank)
        for path in Path("/proc").glob("[0-9]*/cmdline"):
            if is_receiver(path, here):
                os.kill(int(path.parent.name), signal.SIGKILL)
        put(bank, 2)
        settle(here, bank)
        drop_slot(bank)
        put(bank, 3)
        settle(here, bank)
    assert rows(atp, "back") == [1, 2, 3]


def is_receiver(path: Path, here: Path) -> bool:
    try:
        words = path.read_bytes()
    except OSError:
        return False
    return b"pg_receivewal\0" in words and str(here).encode() in words


def drop_slot(bank: Cluster) -> None:
    for _ in range(500):
        bank.ask("SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots WHERE active")
        try:
            bank.ask("SELECT pg_drop_replication_slot('atp_ledger')")
            return
        except psycopg.OperationalError:
            time.sleep(0.01)
    raise AssertionError("it is still in use")


def test_a_strange_cluster_comes_back_with_all_that_it_had(here: Path) -> None:
    """Prepared transactions, timestamps of commits, another encoding, small segments, names that have to be quoted, and
    a database that was renamed since: none of it is left behind, or waited for."""
    try:
        with cluster("--wal-segsize=1", "--encoding=LATIN1") as bank:
            atp = prepared(here, bank)
            with following(atp, here):
                atp.document("backup", "run", "ledger")
                bank.ask("ALTER DATABASE \"a 'b'\" RENAME TO gone")
            place = "back at\n100% 'home'\\"
            atp.document("restore", "ledger", "--to", place, "--identity", "KEY.txt", "--yes")
            with running(here / place, NAMES) as server:
                assert server.ask("SELECT gid FROM pg_prepared_xacts") == [["one"]]
                assert server.ask("SELECT pg_xact_commit_timestamp(xmin) IS NOT NULL FROM booking") == [["t"]]
                assert server.ask("SHOW max_logical_replication_workers") == [["0"]]
            drilled = atp("drill", "run", "ledger", "--identity", "KEY.txt", "--json")
            assert drilled.code == 1 and "does not exist" in drilled.out
    except AbsentError as error:
        pytest.skip(str(error))
    finally:
        release(here / "vault")


def test_a_living_page_that_is_damaged_is_named_and_no_backup(here: Path) -> None:
    try:
        with cluster("--data-checksums") as bank:
            atp = program(here, bank)
            bank.ask("CREATE TABLE booking AS SELECT generate_series(1, 10000) AS id")
            bank.ask("CHECKPOINT")
            ((path,),) = bank.ask("SELECT pg_relation_filepath('booking')")
            with (bank.data / str(path)).open("r+b") as file:
                file.seek(3 * 8192 + 4000)
                file.write(b"\xde\xad")
            ran = atp("backup", "run", "ledger")
            assert ran.code == 5 and f"{path}, block 3" in ran.err and "damaged" in ran.err, ran
            assert not list((here / "vault/ledger").glob("*/manifest.json"))
            bank.kill()
            gone = atp("backup", "run", "ledger")
            assert gone.code == 5 and "damaged" not in gone.err
    except AbsentError as error:
        pytest.skip(str(error))
    finally:
        release(here / "vault")


def prepared(here: Path, bank: Cluster) -> Atp:
    for setting in ("max_prepared_transactions = 20", "track_commit_timestamp = on", "max_connections = 300"):
        bank.ask(f"ALTER SYSTEM SET {setting}")
    bank.kill()
    bank.start()
    bank.ask("CREATE DATABASE \"a 'b'\"")
    with bank.connect() as connection:
        connection.execute(TABLES)
        connection.execute("INSERT INTO booking (id) VALUES (1)")
        connection.execute("BEGIN; INSERT INTO account VALUES (1000, 1); PREPARE TRANSACTION 'one'")
    made = program(here, bank)
    return Atp({**made.env, "LEDGER_ADDRESS": rf"host={bank.home} user=atp dbname='a \'b\''"})
