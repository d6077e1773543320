"""A cluster that was backed up elsewhere is restored and drilled by somebody who is not root, and owns it then."""

import json
import os
import shlex
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from tests.cli.running import Atp
from tests.contracts.vaults import release
from tests.ops.postgresql.bank import Cluster

pytestmark = [pytest.mark.whole, pytest.mark.slow]

ATP = str(Path(sys.executable).parent / "atp")
USER = 54_321  # nobody of this machine
SHOW = """\
mkdir -p {hole} && mount --bind {base} {hole}
mount -t tmpfs -o mode=0755 tmpfs {hidden} && mkdir -p {base} && mount --bind {hole} {base}
"""
# In a changed root the kernel grants nobody a user namespace.
JAIL = "mkdir -p {jail} && mount --rbind / {jail} && cd {jail} && exec chroot {jail} "
AS_USER = (
    'setpriv --reuid {user} --regid {user} --clear-groups --inh-caps=-all sh -c \'cd {home} && exec "$@"\' sh "$@"'
)


@dataclass(frozen=True, slots=True)
class Somebody:
    """Runs the program as one user, who has a home with a copy of the repository, the key and the estate file."""

    home: Path
    user: int

    def run(self, *words: str, in_jail: bool = False) -> "subprocess.CompletedProcess[str]":
        script = self._script(in_jail=in_jail)
        env = {"HOME": str(self.home), "PATH": os.environ["PATH"], "ATP_STATE_DIR": str(self.home / "state")}
        env |= {"ATP_URL": "http://127.0.0.1:9", "LEDGER_ADDRESS": "host=/nowhere"}
        words = ("unshare", "--mount", "sh", "-ec", script, "sh", ATP, *words)
        return subprocess.run(words, env=env, capture_output=True, text=True)

    def _script(self, *, in_jail: bool) -> str:
        base = Path(sys.base_prefix)
        hidden = [path for path in reversed(base.parents) if not path.stat().st_mode & 1]
        hole, jail = self.home.with_name("hole"), self.home.with_name("jail")
        script = SHOW.format(hole=hole, base=base, hidden=hidden[0]) if hidden else ""
        script += JAIL.format(jail=jail) if in_jail else "exec "
        return script + AS_USER.format(user=self.user, home=shlex.quote(str(self.home)))


def test_somebody_who_is_not_root_restores_and_drills_and_what_root_cannot_do_is_said(
    atp: Atp, bank: Cluster, here: Path
) -> None:
    if os.geteuid() != 0:
        pytest.skip("could not become another user (hint: run the tests as root)")
    atp.document("backup", "run", "ledger")
    bank.destroy()
    release(here / "vault")
    with TemporaryDirectory(dir="/tmp") as folder:
        Path(folder).chmod(0o755)
        somebody = moved(here, Path(folder))
        ran = somebody.run("restore", "ledger", "--to", "back", "--identity", "KEY.txt", "--yes", in_jail=True)
        assert ran.returncode == 0 and "without a fence" in ran.stdout, ran
        place = somebody.home / "back"
        assert {path.stat().st_uid for path in [place, *place.rglob("*")]} == {USER}
        assert drilled(somebody) == ("pass", "pass")
        assert drilled(somebody, in_jail=True) == ("pass", "insufficient"), "asked, and without a fence"
        root = Somebody(somebody.home, 0)
        ran = root.run("restore", "ledger", "--to", "root", "--identity", "KEY.txt", "--yes", in_jail=True)
        assert ran.returncode == 5 and "run this as the user postgres" in ran.stderr, ran
        assert not [path for path in somebody.home.iterdir() if "root" in path.name]


def moved(here: Path, folder: Path) -> Somebody:
    """All that is needed for a restore, on another machine."""
    home = folder / "home"
    subprocess.run(["cp", "-a", str(here), str(home)], check=True)
    estate = home / "estate.yaml"
    text = estate.read_text().replace(str(here), str(home))
    estate.write_text(
        text.replace("- rows: {table: public.booking, at_least: 1}", "- rows: {table: public.account, at_least: 1}")
    )
    subprocess.run(["rm", "-rf", str(home / "state")], check=True)
    subprocess.run(["chown", "-R", f"{USER}:{USER}", str(home)], check=True)
    return Somebody(home, USER)


def drilled(somebody: Somebody, *, in_jail: bool = False) -> tuple[str, str]:
    """The verdicts of content and fence."""
    ran = somebody.run("drill", "run", "ledger", "--identity", "KEY.txt", "--json", in_jail=in_jail)
    assert ran.stdout and "Traceback" not in ran.stderr, ran
    verdicts = {one["name"]: one["verdict"] for one in json.loads(ran.stdout)["drill"]["objectives"]}
    assert not list((somebody.home / "scratch").iterdir())
    return verdicts["content"], verdicts["fence"]
