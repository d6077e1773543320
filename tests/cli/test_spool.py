"""What waits on a machine is listed, verified and delivered by commands, and delivered first by every other one."""

from pathlib import Path

import pytest

from atp.app.machine import machine_clock, open_sink, spool_folder
from atp.client import Client
from atp.ops.record.recording import Recording, begin
from tests.cli.conftest import Platform
from tests.cli.running import Atp


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The state of the same person as that of the commands."""
    monkeypatch.setenv("ATP_STATE_DIR", str(tmp_path / "state"))
    return tmp_path / "state"


def act(platform: Platform, client: Client | None = None) -> Recording:
    """An act whose one step nobody tells the outcome of."""
    sink = open_sink(platform.url, client, tell=lambda words: None)
    recording = begin("backup", "run", by=sink.person(), sink=sink, clock=machine_clock())
    recording.intend("copy")
    return recording


def waiting(atp: Atp) -> list[str]:
    return [record["action"] for record in atp.document("spool", "list")["records"]]


def test_what_waits_is_listed_and_verified(atp: Atp, platform: Platform, state: Path) -> None:
    assert atp("spool", "list").out == "nothing waits\n"
    assert atp("spool", "verify").out == "there is no spool\n"
    begun = act(platform)
    listed = atp.document("spool", "list")["records"]
    assert [(one["number"], one["phase"], one["act"], one["server"]) for one in listed] == [
        (1, "intended", begun.act.id, platform.url),
        (2, "intended", begun.act.id, platform.url),
    ]
    assert begun.act.id not in atp("spool", "list").err and "backup.run" in atp("spool", "list").out
    (report,) = atp.document("spool", "verify")["spools"]
    assert (report["first"], report["whole"], report["fault"]) == (0, 3, None)
    file = spool_folder(platform.url) / "lines"
    assert atp("spool", "verify", file).code == 0
    lines = file.read_bytes().splitlines(keepends=True)
    (state / "copy").write_bytes(lines[0] + lines[2])
    ran = atp("spool", "verify", state / "copy")
    assert ran.code == 1 and "line 2: " in ran.out and "a gap" in ran.out
    assert atp("spool", "verify", file, "--vkey", "somebody+00000000+AQ==").code == 1


def test_acts_are_listed_newest_first_with_how_far_each_got(atp: Atp, platform: Platform, state: Path) -> None:
    first, second = act(platform), act(platform)
    first.outcome("copy")
    first.end("done")
    acts = [one for one in atp.document("act", "list")["acts"] if one["id"] in (first.act.id, second.act.id)]
    assert [(one["id"], one["state"]) for one in acts] == [(second.act.id, "unknown"), (first.act.id, "done")]
    ran = atp("act", "list", "--limit", "2")
    assert ran.out.index(second.act.id) < ran.out.index(first.act.id) and "copy" in ran.out
    assert len(atp.document("act", "list", "--limit", "1")["acts"]) == 1


def test_the_status_tells_what_waits_even_when_no_server_answers(atp: Atp, platform: Platform, state: Path) -> None:
    assert "wait" not in atp("status").out
    away = Atp({**atp.env, "ATP_URL": "http://127.0.0.1:9"})
    away_from = Platform("http://127.0.0.1:9", platform.data)
    act(away_from)
    ran = away("status")
    assert ran.code == 5 and "2 records of 1 acts wait on this machine" in ran.err
    ran = atp("status")
    assert ran.code == 0 and "2 records of 1 acts wait on this machine" in ran.out


def test_delivering_is_a_command(atp: Atp, platform: Platform, state: Path) -> None:
    act(platform)
    assert atp.document("spool", "deliver") == {"delivered": 2}
    assert atp("spool", "deliver").out == "nothing waits\n"
    assert waiting(atp) == []


def test_every_command_that_reaches_the_server_delivers_first(atp: Atp, platform: Platform, state: Path) -> None:
    begun = act(platform)
    ran = atp("act", "show", begun.act.id, "--json")
    assert "2 records that waited on this machine are delivered" in ran.err
    assert waiting(atp) == []
    ran = atp("status")
    assert ran.code == 0 and "delivered" not in ran.err


def test_a_spool_that_does_not_deliver_is_said_and_the_command_goes_on(
    atp: Atp, platform: Platform, state: Path
) -> None:
    act(platform)
    file = spool_folder(platform.url) / "lines"
    file.write_bytes(file.read_bytes().replace(b'"copy"', b'"cope"'))
    ran = atp("tenant", "list")
    assert ran.code == 0 and "warning: could not trust the spool: line 3, number 2" in ran.err
    ran = atp("spool", "deliver")
    assert ran.code == 1 and "(hint: put its folder aside" in ran.err


def test_a_step_that_nobody_told_of_is_settled_by_a_person(atp: Atp, platform: Platform, state: Path) -> None:
    with Client(platform.url, key=(platform.data / "root.key").read_text().strip()) as client:
        begun = act(platform, client)
    shown = _shown(atp, begun.act.id)
    assert (shown["steps"]["copy"]["state"], shown["person"]) == ("unknown", {"id": "root", "is_bound": True})
    text = atp("act", "show", begun.act.id).out
    assert "backup.run" in text and "unknown" in text and "not yet" in text
    words = ("act", "settle", begun.act.id, "copy", "--found", "done", "--reason")
    settled = atp.document(*words, "the files are there")
    assert settled["steps"]["copy"]["settled"] == {"by": "root", "reason": "the files are there", "is_observed": False}
    assert "settled by root: the files are there" in atp("act", "show", begun.act.id).out
    assert atp(*words, "again").code == 4
    assert atp("act", "settle", begun.act.id, "other", "--found", "done", "--reason", "r").code == 3


def test_an_act_that_is_not_there_is_missing(atp: Atp) -> None:
    ran = atp("act", "show", "20260131T235959000001-9f86d081884c7d65")
    assert ran.code == 3 and "could not find the act" in ran.err


def _shown(atp: Atp, act_id: str) -> dict[str, dict[str, dict[str, object]]]:
    """The act as soon as its events are published."""
    while "copy" not in (shown := atp.document("act", "show", act_id))["steps"]:
        pass
    return shown  # type: ignore[no-any-return]
