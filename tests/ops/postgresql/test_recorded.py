"""What strangers put into the repository is left aside, whatever they call it; what a follower recorded comes back."""

import io
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import chdir, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path

import pytest

from atp.ops.backups.act.kinds.postgresql.segments import shipped_name
from atp.ops.backups.format.seal import parse_recipients, seal
from tests.cli.running import Atp
from tests.contracts.vaults import release
from tests.ops.postgresql.bank import Cluster, alone, banking, following, program, shipped, wait_for
from tests.ops.postgresql.test_recovery import bookings
from tests.whole.process import Server

pytestmark = [pytest.mark.whole, pytest.mark.slow]
ROOT = Path(__file__).resolve().parents[3]
FAR = datetime(2900, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Life:
    """A bank, the server whose trail knows what was shipped of it, and the folder of its repository."""

    bank: Cluster
    server: Server
    here: Path

    @property
    def atp(self) -> Atp:
        """The program on the machine that follows."""
        env = {"ATP_URL": self.server.url, "ATP_KEY_FILE": str(self.server.data / "root.key")}
        return Atp({**alone(self.here, self.bank).env, **env})

    @property
    def elsewhere(self) -> Atp:
        """On another machine, which has a key and nothing else."""
        return Atp({**self.atp.env, "ATP_STATE_DIR": str(self.here / "elsewhere")})

    def book(self, *numbers: int) -> None:
        """Rows, each in a segment of its own that is shipped when this returns."""
        for number in numbers:
            sql = f"INSERT INTO booking (id) VALUES ({number}) RETURNING pg_walfile_name(pg_current_wal_insert_lsn())"
            ((segment,),) = self.bank.ask(sql)
            wait_for(self.here / "follow.log", f"{segment} reaches to")

    def recorded(self) -> list[str]:
        """The names in the trail."""
        words = ("query", "--tenant", "operations", "--action", "backup.shipped", "--limit", "1000")
        return [name for event in self.atp.document(*words)["events"] for name in event["data"]["objects"]]

    def stored(self) -> set[str]:
        """The names in the repository."""
        return {str(path.relative_to(self.here / "vault")) for path in (self.here / "vault/ledger/wal").glob("*/*")}

    def forge(self, segment: str, covers: datetime, *, is_partial: bool = False) -> None:
        """Whoever may write to the repository and knows the recipient puts nonsense there, under a good name."""
        recipient = (self.here / "estate.yaml").read_text().partition("recipients: [")[2].partition("]")[0]
        sealed, (system,) = io.BytesIO(), (self.here / "vault/ledger/wal").iterdir()
        seal([os.urandom(100_000)], recipients=parse_recipients([recipient]), into=sealed)
        name = shipped_name(
            f"ledger/wal/{system.name}/",
            segment,
            is_partial=is_partial,
            covers_until=covers,
            sha256=sha256(sealed.getvalue()).hexdigest(),
        )
        (self.here / "vault" / name).write_bytes(sealed.getvalue())


@contextmanager
def living(here: Path) -> Iterator[Life]:
    """A backup, and three segments after it."""
    (here / "bank").mkdir()
    server = Server(here / "server")
    server.start()
    try:
        with banking() as bank, chdir(here / "bank"):
            program(here / "bank", bank)
            life = Life(bank, server, here / "bank")
            with following(life.atp, life.here):
                life.atp.document("backup", "run", "ledger")
                life.atp.document("drill", "heartbeat", "ledger")
                life.book(1, 2, 3)
            yield life
    finally:
        server.kill()
        release(here / "bank")


@pytest.fixture(scope="module")
def lives(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Life]:
    with living(tmp_path_factory.mktemp("recorded")) as life:
        release(life.here)
        yield life


@pytest.fixture
def life(lives: Life, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Life:
    """A copy of it that may be spoilt."""
    here = tmp_path / "here"
    shutil.copytree(lives.here, here)
    estate = here / "estate.yaml"
    estate.write_text(estate.read_text().replace(str(lives.here), str(here)))
    monkeypatch.chdir(here)
    return Life(lives.bank, lives.server, here)


def restored(atp: Atp, place: str, *words: str) -> tuple[list[int], str]:
    """The rows that come back, and what was said."""
    ran = atp("restore", "ledger", "--to", place, "--identity", "KEY.txt", "--yes", *words)
    assert ran.code == 0, ran
    return bookings(Path(place).absolute()), ran.err


def after(segment: str, count: int) -> str:
    return f"{segment[:16]}{int(segment[16:], 16) + count:08X}"


def spoil(life: Life) -> int:
    """One of each kind that a restore without a trail would follow, or break at; how many."""
    names = [path.name[:24] for path in shipped(life.here)]
    middle, last = names[-2], names[-1]
    life.forge(middle, FAR)
    life.forge(after(last, 1), datetime.now(UTC))
    life.forge(after(last, 5), FAR)
    life.forge(after(last, 2), FAR, is_partial=True)
    life.forge("00000002.history", FAR)
    life.forge(f"00000002{after(last, 1)[8:]}", FAR)
    return 6


def test_all_that_is_shipped_is_in_the_trail_before(life: Life) -> None:
    stored = life.stored()
    assert len(stored) > 3 and stored <= set(life.recorded())


def test_forged_segments_are_left_aside_by_restore_drill_and_verify(life: Life) -> None:
    rows, said = restored(life.atp, "before")
    assert rows == [1, 2, 3] and "warning" not in said, said
    count = spoil(life)
    rows, said = restored(life.atp, "after")
    assert rows == [1, 2, 3]
    assert f"{count} objects in the repository that follow the backup are not known to the operators' trail" in said
    assert "reach to 2900-01-01" in said
    ran = life.atp("drill", "run", "ledger", "--identity", "KEY.txt", "--json")
    done = ran.json["drill"]
    assert (done["recorded"]["manifest"], done["recorded"]["others"]) == (True, count), done["recorded"]
    assert next(one["verdict"] for one in done["objectives"] if one["name"] == "content") == "pass", done
    (copy,) = life.atp("backup", "verify", "ledger", "--identity", "KEY.txt", "--json").json["backups"]
    assert any(f"{count} objects" in one for one in copy["verified"]["warnings"])
    assert all("protection was lifted" in one for one in copy["verified"]["faults"]), "which a copy has not got"


def test_a_forged_segment_does_not_come_before_a_recorded_one_even_when_others_are_wanted(life: Life) -> None:
    life.forge(shipped(life.here)[-2].name[:24], FAR)
    rows, said = restored(life.atp, "back", "--unrecorded")
    assert rows == [1, 2, 3] and "nobody tells who made them" in said


def test_a_recorded_segment_that_is_missing_before_the_last_is_a_hole(life: Life) -> None:
    gone = shipped(life.here)[-2]
    gone.rename(life.here / "away")
    life.forge(gone.name[:24], FAR)
    ran = life.atp("restore", "ledger", "--to", "back", "--identity", "KEY.txt", "--yes")
    assert ran.code == 1 and f"{gone.name[:24]} is missing" in ran.err
    assert life.atp("backup", "verify", "ledger").code == 1


def test_an_exchanged_manifest_makes_the_drill_red_and_nothing_is_restored(life: Life) -> None:
    with next(life.here.glob("vault/ledger/2*/manifest.json")).open("ab") as file:
        file.write(b"\n")
    ran = life.atp("drill", "run", "ledger", "--identity", "KEY.txt", "--json")
    done = ran.json["drill"]
    assert (ran.code, done["verdict"], done["cause"]) == (1, "fail", "exchanged"), done
    assert "legs" not in done, "it was not restored"
    source = next(one for one in done["objectives"] if one["name"] == "source")
    assert source["verdict"] != "fail" and life.bank.ask("SELECT count(*) FROM booking") == [(3,)]


def test_where_the_trail_cannot_be_asked_all_is_used_and_that_is_said(life: Life) -> None:
    lonely = Atp({**life.elsewhere.env, "ATP_URL": "http://127.0.0.1:9"})
    rows, said = restored(lonely, "back")
    assert rows == [1, 2, 3]
    assert "the manifest of backup" in said and "were not held against the operators' trail" in said
    done = lonely("drill", "run", "ledger", "--identity", "KEY.txt", "--json").json["drill"]
    assert done["recorded"]["others_used"] and not done["recorded"]["manifest"] and done["recorded"]["reason"]
    assert next(one["verdict"] for one in done["objectives"] if one["name"] == "content") == "pass", done


def test_records_wait_on_the_machine_while_the_server_is_away(tmp_path: Path) -> None:
    with living(tmp_path) as life:
        life.server.kill()
        with following(life.atp, life.here):
            life.book(4, 5)
        life.server.start()
        assert b"backup.shipped" in next(life.here.glob("state/spool/*/lines")).read_bytes()
        rows, said = restored(life.elsewhere, "recorded")
        assert rows == [1, 2, 3] and "were left aside" in said, "another machine knows what the server knows"
        rows, said = restored(life.elsewhere, "all", "--unrecorded")
        assert rows == [1, 2, 3, 4, 5] and "nobody tells who made them" in said
        rows, said = restored(life.atp, "here")
        assert rows == [1, 2, 3, 4, 5] and "warning" not in said, "this one knows what waits here, too"
        rows, said = restored(life.elsewhere, "delivered")
        assert rows == [1, 2, 3, 4, 5] and "warning" not in said


@pytest.mark.parametrize("where", ["recorded", "stored"])
def test_a_follower_that_is_killed_around_storing_leaves_no_hole(tmp_path: Path, where: str) -> None:
    with living(tmp_path) as life:
        life.forge(after(shipped(life.here)[-1].name[:24], 1), datetime.now(UTC))
        life.bank.ask("INSERT INTO booking (id) VALUES (4)")
        words = [sys.executable, "-m", "tests.ops.postgresql.dying_follower", where]
        env = {**os.environ, **life.atp.env, "PYTHONPATH": str(ROOT)}
        died = subprocess.run(words, env=env, capture_output=True, text=True, timeout=60, check=False)
        assert died.returncode == -signal.SIGKILL, died
        (forged,) = life.stored() - set(life.recorded())
        assert bool(set(life.recorded()) - life.stored()) is (where == "recorded")
        with following(life.atp, life.here):
            life.book(5)
        segments = [path.name[:24] for path in shipped(life.here) if path.name not in forged]
        assert (len(set(segments)) < len(segments)) is (where == "stored"), "it is shipped once more"
        rows, said = restored(life.atp, "back")
        assert rows == [1, 2, 3, 4, 5] and "1 object in the repository" in said, "a forged one keeps none from coming"
        assert life.stored() - set(life.recorded()) == {forged}
