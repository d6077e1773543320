"""The fence, with the namespaces of this kernel: each wall is tried from behind, and one that is missing is named."""

import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from tempfile import mkdtemp

import pytest

from atp.ops.drills.act import fence
from atp.ops.drills.act.asking import sockets_here
from atp.ops.drills.act.fence import can_fence, fence_words
from atp.ops.drills.evidence.figures import Done
from atp.ops.drills.evidence.measure import FENCED, UNFENCED, Walls, judge_fence
from tests.ops.drills.world import World, no_fence, verdicts

_PYTHON = Path("/usr/bin/python3")
_NOBODY = 65_534
_MEASURES = """
import json, os, socket, sys
from pathlib import Path
def tried(act):
    try:
        act()
    except OSError as error:
        return type(error).__name__
    return "done"
def connect(path):
    socket.socket(socket.AF_UNIX).connect(path)
scratch, outside, listener = sys.argv[1:]
print(json.dumps({
    "scratch": tried(lambda: Path(scratch, "x").write_text("x")),
    "outside": tried(lambda: Path(outside, "x").write_text("x")),
    "tmp": tried(lambda: Path("/tmp/written-behind-the-fence").write_text("x")),
    "sysctl": tried(lambda: Path("/proc/sys/vm/swappiness").write_text("60")),
    "socket": tried(lambda: connect(listener)),
    "first": os.getppid() == 0,
    "processes": len([name for name in os.listdir("/proc") if name.isdigit()]),
    "devices": sorted(os.listdir("/dev")),
    "ids": [os.getuid(), os.stat(scratch).st_uid],
    "net": os.readlink("/proc/self/ns/net"),
    "capabilities": int(Path("/proc/self/status").read_text().split("CapEff:")[1].split()[0], 16),
}))
"""


@pytest.fixture
def place() -> Iterator[Path]:
    """A directory that is in none of the private ones, with a short name; production's socket is below it."""
    found = Path(mkdtemp(prefix="atp-fence-", dir="/srv" if os.access("/srv", os.W_OK) else Path.home()))
    (found / "scratch").mkdir()
    (found / "production").mkdir()
    found.chmod(0o755)
    yield found
    shutil.rmtree(found)


@pytest.fixture
def production(place: Path) -> Iterator[Path]:
    path = place / "production" / "sql"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()
        path.chmod(0o777)
        yield path


@pytest.fixture(autouse=True)
def granted(place: Path) -> None:
    if not can_fence(place / "scratch"):
        pytest.skip("this kernel grants no namespaces (allow user namespaces, or run as root)")


def measured(place: Path, production: Path, words: Sequence[str], *, user: int | None = None) -> dict[str, object]:
    python = sys.executable if user is None else _PYTHON
    argv = [*words, python, "-I", "-c", _MEASURES, str(place / "scratch"), str(place), str(production)]
    ran = subprocess.run(argv, capture_output=True, env={}, user=user, group=user)
    assert ran.returncode == 0, ran.stderr
    found: dict[str, object] = json.loads(ran.stdout)
    return found


def check_walls(found: dict[str, object]) -> None:
    assert (found["scratch"], found["tmp"]) == ("done", "done")
    assert found["outside"] != "done" and found["sysctl"] != "done" and found["socket"] != "done"
    assert found["first"] and found["processes"] == 1
    assert "sda" not in str(found["devices"]) and "null" in str(found["devices"])
    assert found["net"] != os.readlink("/proc/self/ns/net")


def test_what_runs_behind_it_reaches_nothing_and_writes_in_one_directory_alone(place: Path, production: Path) -> None:
    found = measured(place, production, fence_words(place / "scratch", cover=[production.parent]))
    check_walls(found)
    assert found["ids"] == [os.getuid(), os.getuid()], "owners of files read as they are"
    assert int(str(found["capabilities"])) & ~0b1110 == 0
    assert not Path("/tmp/written-behind-the-fence").exists() and (place / "scratch" / "x").exists()


def test_a_program_that_refuses_to_be_root_has_another_id_and_owns_what_root_owns(
    place: Path, production: Path
) -> None:
    found = measured(place, production, fence_words(place / "scratch", cover=[production.parent], as_user=4_711))
    check_walls(found)
    assert (found["ids"], found["capabilities"]) == ([4_711, 4_711], 0)


def test_without_root_it_stands_as_well(place: Path, production: Path) -> None:
    if os.geteuid() != 0 or not _PYTHON.exists():
        pytest.skip(f"only root can become nobody, who needs {_PYTHON} (without root the other tests show it)")
    os.chown(place / "scratch", _NOBODY, _NOBODY)
    place.chmod(0o777)
    program = place / "a" / "program" / "fence.py"  # where nobody can read it
    program.parent.mkdir(parents=True)
    shutil.copy(fence.__file__, program)
    *_, spec = fence_words(place / "scratch", cover=[production.parent])
    found = measured(place, production, [str(_PYTHON), "-I", str(program), spec], user=_NOBODY)
    check_walls(found)
    assert (found["ids"], found["capabilities"]) == ([_NOBODY, _NOBODY], 0)


def test_nothing_that_was_started_behind_it_survives(place: Path) -> None:
    beating = "while true; do date +%s%N >> beat; sleep 0.05; done & sleep 0.3"
    words = [*fence_words(place / "scratch"), "/bin/sh", "-c", beating]
    assert subprocess.run(words, env={"PATH": "/usr/bin:/bin"}).returncode == 0
    last = (place / "scratch" / "beat").read_text()
    time.sleep(0.3)
    assert last and (place / "scratch" / "beat").read_text() == last


def test_who_kills_the_asker_ends_what_runs_behind_it(place: Path) -> None:
    words = [*fence_words(place / "scratch"), "/bin/sh", "-c", "while true; do date +%s%N >> beat; sleep 0.05; done"]
    asker = subprocess.Popen(words, env={"PATH": "/usr/bin:/bin"})
    beat = place / "scratch" / "beat"
    while not beat.exists():
        time.sleep(0.02)
    asker.kill()
    asker.wait()
    time.sleep(0.2)
    last = beat.read_text()
    time.sleep(0.3)
    assert beat.read_text() == last


def drilled(world: World, **options: object) -> Done:
    world.beat()
    world.back_up()
    return world.drill(**options)  # type: ignore[arg-type]


def test_with_all_walls_a_drill_passes(world: World, production: Path) -> None:
    assert str(production) in sockets_here()
    done = drilled(world, addresses=(str(production), "127.0.0.1:9", "sql.example.org:5432"))
    assert (done.fence, done.verdict) == (FENCED, "pass")


def test_without_a_fence_nothing_is_claimed_and_the_drill_is_not_green(world: World) -> None:
    done = drilled(world, fence=no_fence)
    assert (done.fence, verdicts(done)["fence"], done.verdict) == (UNFENCED, "insufficient", "insufficient")


def test_a_fence_with_one_wall_alone_names_it_and_what_came_through_the_others(world: World) -> None:
    if os.geteuid() != 0 or shutil.which("unshare") is None:
        pytest.skip("needs root and unshare(1)")
    done = drilled(world, fence=lambda scratch, cover=(), as_user=None: ("/usr/bin/env", "unshare", "--net"))
    assert done.fence.startswith("unfenced: own network alone; reached /")
    assert f"no wall before {world.scratch}" in done.fence
    assert (verdicts(done)["fence"], done.verdict) == ("insufficient", "insufficient")


def test_a_socket_of_production_that_is_not_covered_is_found_and_named(world: World, production: Path) -> None:
    def leaky(scratch: Path, *, cover: Sequence[Path] = (), as_user: int | None = None) -> Sequence[str]:
        return fence_words(scratch, cover=[path for path in cover if path != production.parent])

    done = drilled(world, fence=leaky)
    assert done.fence.startswith("unfenced: own network, read-only") and done.fence.endswith(f"; reached {production}")
    assert (verdicts(done)["fence"], done.verdict) == ("insufficient", "insufficient")


def test_the_verdict_needs_every_wall() -> None:
    assert judge_fence(Walls(network=True, sockets=True, files=True).told).verdict == "pass"
    for walls in (Walls(True, True, False), Walls(True, False, True), Walls(False, True, True), Walls()):
        assert judge_fence(walls.told).verdict == "insufficient"
