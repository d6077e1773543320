"""A server whose configuration, libraries and commands lie elsewhere comes back without them, and says what is gone."""

import os
import pwd
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from tests.cli.running import Atp
from tests.contracts.vaults import release
from tests.ops.postgresql.bank import TABLES, Cluster, cluster, program
from tests.services.absent import APT_LINE, AbsentError

pytestmark = [pytest.mark.whole, pytest.mark.slow]

CONFIGURATION = ("postgresql.conf", "pg_hba.conf", "pg_ident.conf")
SETTINGS = """\
data_directory = '{data}'
hba_file = '{etc}/pg_hba.conf'
ident_file = '{etc}/pg_ident.conf'
include_dir = 'conf.d'
ssl = on
ssl_cert_file = '{etc}/cert.pem'
ssl_key_file = '{etc}/key.pem'
archive_mode = on
archive_command = 'touch {touched}/archived'
shared_preload_libraries = '{etc}/mine.so'
"""
LEFT_BEHIND = """\
restore_command = 'touch {touched}/fetched; false'
recovery_end_command = 'touch {touched}/ended'
recovery_target_time = '2020-01-01'
recovery_target_action = 'shutdown'
"""


@contextmanager
def debian(*options: str) -> Iterator[Cluster]:
    """A bank as Debian lays it out: its configuration, a library and its certificate are not in its data directory; and
    an earlier recovery left its orders there."""
    try:
        with cluster("--locale-provider=icu", "--icu-locale=de-DE", *options) as bank:
            bank.kill()
            move_configuration(bank)
            bank.words = (f"--config_file={bank.home}/etc/postgresql.conf",)
            bank.start()
            with bank.connect() as connection:
                connection.execute(TABLES)
                connection.execute("INSERT INTO booking (id) VALUES (1)")
                if connection.info.server_version >= 150_000:
                    connection.execute("UPDATE pg_database SET datcollversion = '1' WHERE datname = 'postgres'")
            yield bank
    except AbsentError as error:
        pytest.skip(str(error))


def move_configuration(bank: Cluster) -> None:
    etc, touched = bank.home / "etc", bank.home / "touched"
    (etc / "conf.d").mkdir(parents=True)
    touched.mkdir()
    for name in CONFIGURATION:
        (bank.data / name).rename(etc / name)
    (library,) = bank.programs.parent.rglob("auto_explain.so")
    shutil.copy(library, etc / "mine.so")
    words = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=bank"]
    words += ["-keyout", str(etc / "key.pem"), "-out", str(etc / "cert.pem")]
    subprocess.run(words, check=True, capture_output=True)
    (etc / "conf.d/more.conf").write_text("work_mem = '5MB'\n")
    with (etc / "postgresql.conf").open("a") as file:
        file.write(SETTINGS.format(data=bank.data, etc=etc, touched=touched))
    with (bank.data / "postgresql.auto.conf").open("a") as file:
        file.write(LEFT_BEHIND.format(touched=touched))
    if bank.user is not None:
        subprocess.run(["chown", "-R", str(bank.user), bank.home], check=True)


def lose_everything(bank: Cluster) -> None:
    """The machine with its configuration is gone; what its server touched so far counts for nothing."""
    bank.destroy()
    shutil.rmtree(bank.home / "etc")
    for path in (bank.home / "touched").iterdir():
        path.unlink()


def test_a_cluster_of_debian_comes_back_and_what_lay_elsewhere_is_named(here: Path) -> None:
    try:
        with debian() as bank:
            atp = program(here, bank)
            ran = atp("backup", "run", "ledger")
            etc = bank.home / "etc"
            assert ran.code == 0
            assert all(f"{etc}/{name}" in ran.err for name in (*CONFIGURATION, "conf.d/more.conf", "key.pem")), ran.err
            check_is_named_until_declared(atp, etc)
            lose_everything(bank)
            restored = atp("restore", "ledger", "--to", "back", "--identity", "KEY.txt", "--yes")
            assert restored.code == 0 and "not in it: postgresql.conf, pg_hba.conf" in restored.out, restored
            assert (
                "by which texts are sorted: postgres" in restored.out or int(Path("back/PG_VERSION").read_text()) < 15
            )
            assert bank.user is None or f"it belongs to {pwd.getpwuid(bank.user).pw_name}" in restored.out
            assert "recovery_target_time" in Path("back/postgresql.auto.conf").read_text(), "it has its own again"
            assert not Path("back/postmaster.opts").exists(), "nothing of how we started it is left"
            drilled = atp("drill", "run", "ledger", "--identity", "KEY.txt", "--json").json["drill"]
            content = next(one for one in drilled["objectives"] if one["name"] == "content")
            assert content["verdict"] == "pass", drilled
            assert not os.listdir(bank.home / "touched"), "no command that came with the backup was run"
            start_again(bank)
    finally:
        release(here / "vault")


@pytest.fixture
def locales() -> Iterator[Path]:
    """A directory with a locale that nobody else has, for everybody to read."""
    with TemporaryDirectory(dir="/tmp") as folder:
        Path(folder).chmod(0o755)
        make_locale(Path(folder))
        yield Path(folder)


def make_locale(locales: Path) -> None:
    if subprocess.run(["localedef", "-i", "de_DE", "-f", "UTF-8", locales / "xx_XX.UTF-8"]).returncode != 0:
        pytest.skip(f"could not make a locale (hint: {APT_LINE})")


def test_a_locale_that_this_machine_has_not_got_is_named(
    here: Path, locales: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    try:
        with monkeypatch.context() as there, strange(there, locales) as bank:
            atp = program(here, bank)
            atp.document("backup", "run", "ledger")
        restored = atp("restore", "ledger", "--to", "back", "--identity", "KEY.txt", "--yes")
        assert restored.code == 0 and "cannot be entered on this machine" in restored.out, restored
        assert "xx_XX.UTF-8" in restored.out and "locale-gen" in restored.out
        drilled = atp("drill", "run", "ledger", "--identity", "KEY.txt", "--json").json["drill"]
        assert (drilled["verdict"], drilled["cause"]) == ("fail", "does-not-open") and "xx_XX" in drilled["reason"]
    finally:
        release(here / "vault")


@contextmanager
def strange(there: pytest.MonkeyPatch, locales: Path) -> Iterator[Cluster]:
    """A server whose machine has a locale of its own."""
    there.setenv("LOCPATH", str(locales))
    try:
        with cluster("--locale=xx_XX.UTF-8") as bank:
            yield bank
    except AbsentError as error:
        pytest.skip(str(error))


def check_is_named_until_declared(atp: Atp, etc: Path) -> None:
    """Once another dataset holds them, nobody is told any more."""
    estate = Path("estate.yaml").read_text()
    other = f"  etc: {{kind: configuration, source: {{place: {etc}}}}}\nrepositories:"
    Path("estate.yaml").write_text(estate.replace("repositories:", other))
    ran = atp("backup", "run", "ledger")
    assert ran.code == 0 and "it does not hold" not in ran.err
    Path("estate.yaml").write_text(estate)


def start_again(bank: Cluster) -> None:
    """As a person would: with a configuration of its own, and without what the dead one wanted."""
    place = bank.home / "data"
    shutil.copytree("back", place)
    place.chmod(0o700)
    (place / "postgresql.conf").touch()
    (place / "postgresql.auto.conf").write_text("")
    (place / "pg_hba.conf").write_text("local all all trust\n")
    if bank.user is not None:
        subprocess.run(["chown", "-R", str(bank.user), place], check=True)
    bank.words = ()
    bank.start()
    assert bank.ask("SELECT count(*) FROM booking") == [(1,)]
