"""The page about drills is true: its commands are run in order, in one place, and print what stands there."""

import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from atp.ops.drills.act.fence import can_fence
from tests.whole.served import PROGRAM

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "recovery.md").read_text()
BLOCK = re.compile(r"^```console\n(.*?)^```$", re.MULTILINE | re.DOTALL)
VARYING = re.compile(r"[0-9a-f]{8,}|\d+(?:[.:,-]\d+)*")


@pytest.mark.slow
def test_from_nothing_to_a_first_green_drill(tmp_path: Path) -> None:
    """Numbers, times and digests may differ; `…` stands for any rest of a line."""
    if not can_fence(tmp_path):
        pytest.skip("could not put up a fence (hint: run the tests as root, or allow user namespaces)")
    env = {name: value for name, value in os.environ.items() if not name.startswith("ATP_")}
    env |= {"PATH": f"{PROGRAM.parent}:{env['PATH']}", "ATP_STATE_DIR": str(tmp_path / "state")}
    place = tmp_path / "here"
    place.mkdir()
    steps = [step for block in BLOCK.findall(PAGE) for step in _steps(block)]
    assert len(steps) >= 10
    for command, expected in steps:
        done = subprocess.run(
            ["bash", "-c", command],
            cwd=place,
            env=env,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            check=False,
        )
        assert done.returncode == 0, (command, done.stdout)
        wanted, found = _constant(expected), _constant(done.stdout)
        assert len(wanted) == len(found), (command, done.stdout)
        for one, other in zip(wanted, found, strict=True):
            assert other.startswith(one.removesuffix("…")) if one.endswith("…") else one == other, command


def _steps(block: str) -> Iterator[tuple[str, str]]:
    """(command, what it prints); a command of several lines is a here-document."""
    for step in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
        lines = step.split("\n")
        length = lines.index("EOF") + 1 if "<<EOF" in lines[0] else 1
        yield "\n".join(lines[:length]), "\n".join(lines[length:])


def _constant(text: str) -> list[str]:
    lines = [re.sub(r"\s+", " ", VARYING.sub("0", line)).strip() for line in text.strip().split("\n")]
    return [line for line in lines if line]
