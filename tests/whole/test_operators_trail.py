"""The operators' trail over a real server that goes down and comes back, and is verified by strangers afterwards."""

from pathlib import Path

import pytest

from atp.client import Client
from atp.ops.record.act import Act
from atp.ops.record.deliver import deliver
from atp.ops.record.spool import check_spool
from tests.ops.desk import Desk, acts_in
from tests.whole.process import Server, verify

pytestmark = [pytest.mark.whole, pytest.mark.slow]

STEPS = 60


def test_an_act_goes_on_while_the_server_is_killed_and_comes_back(tmp_path: Path) -> None:
    server = Server(tmp_path / "server")
    desk = Desk(tmp_path / "desk", server.url)
    server.start()
    with server.client() as client:
        recording = desk.begin(client)
        for number in range(STEPS):
            if number == 20:
                server.kill()
            if number == STEPS - 20:
                server.start()
            recording.intend(f"s-{number}")
            recording.outcome(f"s-{number}")
            if number == 30:
                assert len(check_spool(desk.spool().lines())) == 2 * 11 + 1
        recording.end("done")
        assert deliver(desk.spool(), client, desk.memory) == 0
        act = _act(desk, client, recording.act.id)
    assert (act.state, act.remarks, len(act.steps)) == ("done", (), STEPS)
    assert list(act.steps) == [f"s-{number}" for number in range(STEPS)]
    assert {(step.state, step.attempts) for step in act.steps.values()} == {("done", 1)}
    assert server.stop() == 0
    report = verify(server.data)
    assert report.returncode == 0, report.stdout + report.stderr


def _act(desk: Desk, client: Client, act_id: str) -> Act:
    """The act as soon as its end is published."""
    while (act := acts_in(desk.sink(client).told(act_id))[act_id]).ended_at is None:
        pass
    return act
