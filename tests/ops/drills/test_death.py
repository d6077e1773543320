"""kill -9 in every phase of a drill: production is untouched, and the next drill removes what the dead one left."""

import os
import signal
import subprocess
import sys

import pytest

from atp.ops.drills.act.kinds.choose import production_of
from atp.ops.drills.act.scratch import scratch, sweep
from tests.ops.drills.world import CLOCK, World, left_in, verdicts
from tests.tidy.sources import ROOT

PHASES = [
    *("begin declare", "end choose", "begin restore/fetch", "end restore/fetch", "end restore", "begin ask", "end ask"),
    *("end measure", "begin remove", "end remove", "begin evidence"),
]


@pytest.mark.slow
@pytest.mark.parametrize("where", PHASES)
def test_what_a_killed_drill_left_is_removed_by_the_next_one(world: World, where: str) -> None:
    world.beat()
    world.back_up()
    before = production_of(world.declared).look()
    script = [sys.executable, "-m", "tests.ops.drills.dying", str(world.root), where]
    died = subprocess.run(script, cwd=ROOT, capture_output=True, text=True, check=False)
    assert died.returncode == -signal.SIGKILL, died
    is_left = where not in ("end remove", "begin evidence")
    assert len(left_in(world.scratch)) == int(is_left)
    assert before == production_of(world.declared).look()
    done = world.drill()
    assert (verdicts(done)["content"], done.number) == ("pass", 2)
    assert done.swept == ((died.stdout.strip(),) if is_left else ())
    assert left_in(world.scratch) == []
    assert world.history().missing == {"catalogue": (1,)}, "the number of the dead one is not given away again"


def test_what_is_not_surely_ours_and_dead_stays(world: World) -> None:
    name = "atp-drill-0123456789abcdef"
    (world.scratch / name).mkdir(mode=0o700)
    (world.scratch / name / "letters").write_text("of somebody else")
    (world.scratch / "atp-drill-photographs").mkdir()
    (world.scratch / "atp-drill-00000000000000ff").symlink_to(world.root / "vault")
    (world.root / "vault" / ".drill").write_text('{"format":"atp.drill-scratch/1","act":"a","dataset":"d"}')
    with scratch(world.scratch, act="alive", dataset="catalogue", clock=CLOCK) as alive:
        before = left_in(world.scratch)
        assert sweep(world.scratch) == []
        assert left_in(world.scratch) == before and alive.folder.is_dir()
    assert not alive.folder.exists()


def test_a_directory_of_a_drill_that_died_before_it_wrote_its_name_is_removed(world: World) -> None:
    (world.scratch / "atp-drill-0123456789abcdef").mkdir(mode=0o700)
    assert sweep(world.scratch) == [""]
    assert left_in(world.scratch) == []


def test_a_directory_that_others_may_write_to_stays(world: World) -> None:
    (world.scratch / "atp-drill-0123456789abcdef").mkdir()
    os.chmod(world.scratch / "atp-drill-0123456789abcdef", 0o770)
    assert sweep(world.scratch) == [] and len(left_in(world.scratch)) == 1
