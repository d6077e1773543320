"""A bank is written to, destroyed, and comes back: judged by its rows against an independent count."""

import json
import shutil
import subprocess
import time
from datetime import datetime
from pathlib import Path

import pytest

from atp.ops.backups.act.kinds.postgresql.instance import running
from atp.ops.backups.format.contents import Names
from tests.cli.running import Atp
from tests.ops.postgresql.bank import Cluster, Writer, covered, following, shipped, wait_for
from tests.services.absent import APT_LINE

pytestmark = [pytest.mark.whole, pytest.mark.slow]
SECONDS_MIN, SECONDS_MAX, ENOUGH = 3.0, 120.0, 100
NAMES = Names(superuser="atp", database="postgres")


def bookings(data: Path) -> list[int]:
    """The rows of a restored cluster, asked of a server that is started over it."""
    with running(data, NAMES) as server:
        return [int(row[0]) for row in server.ask("SELECT id FROM booking ORDER BY id")]


def restore(atp: Atp, *words: str) -> Path:
    atp.document("restore", "ledger", "--to", "back", "--identity", "KEY.txt", "--yes", *words)
    return Path("back").absolute()


def lived(atp: Atp, bank: Cluster, here: Path) -> list[tuple[int, datetime]]:
    """A backup, a life under writes and heartbeats, and a sudden end; what was acknowledged. However slow the machine
    is: it lives on until enough of that is covered by segments in the repository.

    The server waits with each acknowledgement until the follower has it: else the last ones would be on their way.
    """
    writer = Writer(bank)
    with following(atp, here):
        bank.ask("ALTER SYSTEM SET synchronous_standby_names = 'atp_ledger'")
        bank.ask("SELECT pg_reload_conf()")
        with writer.writing():
            atp.document("backup", "run", "ledger")
            began, until = time.monotonic(), time.monotonic() + SECONDS_MAX
            while time.monotonic() < began + SECONDS_MIN or len(covered_by_log(here, writer.acknowledged)) <= ENOUGH:
                assert time.monotonic() < until, (here / "follow.log").read_text()
                atp.document("drill", "heartbeat", "ledger")
                time.sleep(0.3)
            bank.kill()
        bank.destroy()
        wait_for(here / "follow.log", ".partial reaches to")
    return writer.acknowledged


def covered_by_log(here: Path, acknowledged: list[tuple[int, datetime]]) -> list[tuple[int, datetime]]:
    """What was acknowledged before the moment to which the whole segments in the repository reach."""
    reach = max((covered(path) for path in shipped(here)), default=None)
    return [(number, at) for number, at in [*acknowledged] if reach is not None and at < reach]


def test_a_destroyed_cluster_comes_back_with_every_acknowledged_row(atp: Atp, bank: Cluster, here: Path) -> None:
    acknowledged = lived(atp, bank, here)
    found = bookings(restore(atp))
    assert len(acknowledged) > ENOUGH
    assert found == list(range(1, len(found) + 1)), "no hole"
    assert {number for number, _ in acknowledged} <= set(found), "what was acknowledged is there"
    assert len(found) - len(acknowledged) <= 1, "and at most the one that was under way"


def test_a_moment_in_the_past_holds_what_was_acknowledged_by_then(atp: Atp, bank: Cluster, here: Path) -> None:
    acknowledged = covered_by_log(here, lived(atp, bank, here))
    number, at = acknowledged[len(acknowledged) * 2 // 3]
    found = bookings(restore(atp, "--at", at.isoformat()))
    assert found[-1] == number, "the next one began when the clock had been read"
    assert found == list(range(1, len(found) + 1))


def test_the_words_of_the_manifest_alone_bring_it_back(atp: Atp, bank: Cluster, here: Path) -> None:
    """age, zstd, tar and PostgreSQL, as a person would type it, as the user of the server."""
    if shutil.which("age") is None or shutil.which("zstd") is None:
        pytest.skip(f"could not find age and zstd (hint: {APT_LINE})")
    acknowledged = lived(atp, bank, here)
    place = bank.home / "by-hand"  # its user can reach it
    shutil.copytree(next((here / "vault/ledger").glob("2*")), place)
    shutil.copytree(here / "vault/ledger/wal", place / "wal")
    (place / "KEY.txt").write_text((here / "KEY.txt").read_text())
    (place / "PLACE").mkdir()
    (place / "LOG").mkdir()
    manifest = json.loads((place / "manifest.json").read_text())
    words = manifest["how_to_restore"].replace("SYSTEM", manifest["cluster"]["system"]).replace("LOG/", f"{place}/LOG/")
    *commands, start = words.splitlines()
    subprocess.run(["bash", "-ec", "\n".join(commands)], cwd=place, check=True)
    started = (
        start.replace("pg_ctl", str(bank.programs / "pg_ctl")) + f" -w -o '-k {bank.home} -c listen_addresses=' -l log"
    )
    if bank.user is not None:
        subprocess.run(["chown", "-R", str(bank.user), place], check=True)
    subprocess.run(["bash", "-ec", started], cwd=place, user=bank.user, check=True, capture_output=True)
    try:
        until = time.monotonic() + 60
        while bank.ask("SELECT pg_is_in_recovery()") != [(False,)]:
            assert time.monotonic() < until
            time.sleep(0.1)
        assert bank.ask("SELECT count(*) FROM booking")[0][0] >= len(acknowledged)  # type: ignore[operator]
    finally:
        stop = [str(bank.programs / "pg_ctl"), "stop", "-D", "PLACE", "-m", "immediate"]
        subprocess.run(stop, cwd=place, user=bank.user, check=True, capture_output=True)


def test_a_drill_measures_what_an_independent_count_says(atp: Atp, bank: Cluster, here: Path) -> None:
    acknowledged = lived(atp, bank, here)
    ran = atp("drill", "run", "ledger", "--identity", "KEY.txt", "--json")
    done = ran.json["drill"]
    verdicts = {one["name"]: one for one in done["objectives"]}
    assert verdicts["content"]["verdict"] == "pass", done
    beats = (here / "beats").read_text().splitlines()
    assert done["acknowledged"]["recovered"] == len(beats) and done["acknowledged"]["lost"] == 0
    newest = datetime.fromisoformat(beats[-1].split()[1])
    lost_at = datetime.fromisoformat(done["lost_at"])
    assert abs(verdicts["rpo"]["achieved_seconds"] - (lost_at - newest).total_seconds()) < 0.01
    rows = next(answer["told"] for answer in done["answers"] if answer["name"] == "rows of public.booking")
    count = int(rows.split()[0].replace(",", ""))
    assert 0 <= count - len(acknowledged) <= 1, "the rows in the drill are those that were acknowledged"
    assert not list((here / "scratch").iterdir()), "nothing is left"


def test_a_drill_beside_the_living_server_leaves_it_alone(atp: Atp, bank: Cluster, here: Path) -> None:
    estate = here / "estate.yaml"
    estate.write_text(estate.read_text().replace("rpo: 10s", "rpo: 10min"))  # a drill may begin late
    with following(atp, here):
        atp.document("backup", "run", "ledger")
        bank.ask("INSERT INTO booking (id) VALUES (1) RETURNING id")
        atp.document("drill", "heartbeat", "ledger")
        ((segment,),) = bank.ask("SELECT pg_walfile_name(pg_current_wal_insert_lsn() - 1)")
        wait_for(here / "follow.log", f"{segment} reaches to")
        done = atp("drill", "run", "ledger", "--identity", "KEY.txt", "--json").json["drill"]
    verdicts = {one["name"]: one["verdict"] for one in done["objectives"]}
    assert (verdicts["content"], verdicts["rpo"], verdicts["rto"]) == ("pass", "pass", "pass"), done
    assert bank.ask("SELECT count(*) FROM booking") == [(1,)]


def test_no_password_is_ever_seen(atp: Atp, bank: Cluster, here: Path) -> None:
    with following(atp, here):
        ran = [
            atp("backup", "run", "ledger", "--json"),
            atp("drill", "heartbeat", "ledger", "--json"),
            atp("drill", "run", "ledger", "--identity", "KEY.txt", "--json"),
        ]
        argv = b"".join(path.read_bytes() for path in Path("/proc").glob("[0-9]*/cmdline") if is_there(path))
    assert b"pg_receivewal" in argv and b"sesame" not in argv
    assert not any("sesame" in one.out + one.err for one in ran)
    kept = [path for path in here.rglob("*") if path.is_file() and path.name != "KEY.txt"]
    assert not any(b"sesame" in path.read_bytes() for path in kept)


def test_a_server_that_is_gone_or_lets_nobody_in_is_said_in_its_words(atp: Atp, bank: Cluster) -> None:
    bank.kill()
    ran = atp("backup", "run", "ledger", LEDGER_ADDRESS=f"host={bank.home} user=atp password=sesame")
    assert (ran.code == 5 and "Is the server running" in ran.err) or "No such file" in ran.err, ran
    assert "Traceback" not in ran.err and "sesame" not in ran.err
    assert atp("backup", "run", "ledger", LEDGER_ADDRESS=None).code == 3
    assert atp("backup", "run", "ledger", LEDGER_ADDRESS="port").code == 2
    assert atp("backup", "follow", "ledger", "--within", "soon").code == 2


def is_there(path: Path) -> bool:
    try:
        path.read_bytes()
    except OSError:
        return False
    return True
