"""`atp drill` from nothing to a green drill, without a server and with one."""

import json
import socket
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from atp.limits import ESTATE_PART_CHARS, PAGE_EVENTS_MAX
from atp.ops.estate.evidence.declared import estate_text
from tests.cli.running import Atp
from tests.contracts.vaults import release
from tests.ops.drills.world import filled

ESTATE = """\
version: atp.estate/1
name: A small archive
environments: [production]
datasets:
  catalogue:
    kind: sqlite
    source: {{place: {here}/catalogue.db}}
    rpo: 1h
    rto: 1h
    retention: 35d
    backup: {{repository: vault, schedule: 30min, recipients: [{recipient}]}}
    drill:
      place: {here}/scratch
      checks: [{{rows: {{table: letter, at_least: 100}}}}]
      scenarios: [deletion, corruption]
      heartbeat: {{every: 1min, ledger: {here}/ledger}}
repositories:
  vault: {{kind: directory, place: {here}/vault}}
"""


@pytest.fixture
def archive(alone: Atp, here: Path) -> Iterator[Path]:
    """A catalogue with a backup and a heartbeat in it."""
    filled(here / "catalogue.db")
    (here / "vault").mkdir()
    recipient = alone.document("backup", "key", "-o", "KEY.txt")["recipient"]
    (here / "estate.yaml").write_text(ESTATE.format(here=here, recipient=recipient))
    alone.document("drill", "heartbeat", "catalogue")
    alone.document("backup", "run", "catalogue")
    yield here
    release(here / "vault")


def run(atp: Atp, *words: str) -> dict[str, object]:
    ran = atp("drill", "run", "catalogue", "--identity", "KEY.txt", *words, "--json")
    found = ran.json["drill"]
    assert ran.code == (0 if found["verdict"] == "pass" else 1), ran
    assert isinstance(found, dict)
    return found


def test_a_drill_is_run_listed_shown_reported_and_no_longer_due(alone: Atp, archive: Path) -> None:
    assert alone("drill", "due").code == 1
    found = run(alone)
    assert (found["scenario"], found["number"]) == ("deletion", 1)
    listed = alone.document("drill", "list")
    assert [one["id"] for one in listed["drills"]] == ["catalogue/1"] and listed["missing"] == {}
    shown = alone.document("drill", "show", "catalogue/1")
    assert shown["drill"] == found and shown["statement_proof"].startswith("intact")
    due = alone("drill", "due", "--json")
    [one] = due.json["datasets"]
    green = found["verdict"] == "pass"
    assert (due.code, one["state"], one["scenario"]) == (
        (0, "ok", "corruption") if green else (1, "overdue", "deletion")
    )
    alone.document("drill", "report", "-o", "drills.html")
    assert "<svg" in (archive / "drills.html").read_text()
    assert "catalogue/1" in alone("drill", "report").out


def test_a_dry_run_prints_the_steps_and_does_none_of_them(alone: Atp, archive: Path) -> None:
    planned = alone.document("drill", "run", "catalogue", "--identity", "KEY.txt", "--dry-run")["plan"]
    assert [step["step"] for step in planned][:3] == ["challenge", "declare", "choose"]
    assert alone.document("drill", "list")["drills"] == [] and not (archive / "scratch").exists()
    copies = alone.document("backup", "list")["backups"]
    planned = alone.document("backup", "run", "catalogue", "--dry-run")["plan"]
    assert [step["step"] for step in planned] == ["copy", "store", "lock", "publish"]
    assert alone.document("backup", "list")["backups"] == copies and len(copies) == 1
    assert run(alone)["number"] == 1, "no number was used up"


def test_each_drill_follows_the_one_before(alone: Atp, archive: Path) -> None:
    first, second = run(alone), run(alone)
    assert second["previous_sha256"] == first["statement"]["sha256"]  # type: ignore[index]
    listed = alone.document("drill", "list")
    assert (listed["broken"], listed["missing"], listed["missed_slots"]) == ({}, {}, {})
    assert alone.document("drill", "due")["datasets"][0]["missed_slots"] == []


def test_the_review_of_the_estate_reads_what_waits_on_this_machine(alone: Atp, archive: Path) -> None:
    def drilled() -> str:
        review = json.loads(alone("estate", "check", "--json").out)
        return next(str(one["colour"]) for one in review["findings"] if one["check"] == "drilled")

    assert drilled() == "grey"
    found = run(alone)
    assert drilled() == {"pass": "green", "insufficient": "amber"}[str(found["verdict"])]
    [lines] = archive.parent.glob("state/spool/*/lines")
    lines.write_bytes(lines.read_bytes().replace(b'"verdict":"', b'"verdict": "'))
    assert drilled() == "grey" and "was changed" in alone("estate", "check").err


def test_a_red_drill_exits_with_1_and_stays_in_the_list(alone: Atp, archive: Path) -> None:
    with closing(sqlite3.connect(archive / "catalogue.db")) as database:
        database.execute("DELETE FROM letter")
        database.commit()
    text = (archive / "estate.yaml").read_text()
    (archive / "estate.yaml").write_text(text.replace("at_least: 100", "at_least: 501"))
    found = run(alone, "--scenario", "corruption")
    assert (found["verdict"], found["cause"]) == ("fail", "wrong-answer")
    assert "fewer than 501" in alone("drill", "list").out


def test_a_manifest_that_was_exchanged_is_red_and_what_was_not_held_against_the_trail_is_said(
    alone: Atp, archive: Path, tmp_path: Path
) -> None:
    assert run(alone)["recorded"] == {"manifest": True, "reason": "no server was asked, there is no key"}
    assert "the manifest is the one in the trail" in alone("drill", "report").out
    release(archive / "vault")
    with next(archive.glob("vault/catalogue/*/manifest.json")).open("ab") as file:
        file.write(b"\n")
    before = (archive / "catalogue.db").read_bytes()
    found = run(alone)
    assert (found["verdict"], found["cause"]) == ("fail", "exchanged") and "is not the one that was recorded" in str(
        found
    )
    assert (archive / "catalogue.db").read_bytes() == before and not list((archive / "scratch").iterdir())
    elsewhere = Atp({**alone.env, "ATP_STATE_DIR": str(tmp_path / "elsewhere")})
    found = run(elsewhere)
    assert found["verdict"] == "insufficient" and found["recorded"]["manifest"] is False  # type: ignore[index]


def test_revenue_hours_refuse_a_drill_until_it_is_forced_with_a_reason(alone: Atp, archive: Path) -> None:
    text = (archive / "estate.yaml").read_text()
    hours = (
        '\nrevenue_hours: {zone: UTC, weekdays: [mon, tue, wed, thu, fri, sat, sun], opens: "00:00", closes: "24:00"}\n'
    )
    (archive / "estate.yaml").write_text(text + hours)
    refused = alone("drill", "run", "catalogue", "--identity", "KEY.txt")
    assert refused.code == 2 and "revenue hours" in refused.err
    assert alone("drill", "run", "catalogue", "--identity", "KEY.txt", "--force").code == 2, "a reason is needed"
    assert run(alone, "--force", "--reason", "a rehearsal of the board")["forced"] == "a rehearsal of the board"


def declare(archive: Path, host: str) -> None:
    file = archive / "estate.yaml"
    file.write_text(file.read_text().replace("scenarios: [d", f"runs_on: {host}\n      scenarios: [d"))


def test_a_drill_that_another_machine_is_declared_for_is_refused_here_until_it_is_forced(
    alone: Atp, archive: Path
) -> None:
    declare(archive, "safe-1")
    refused = alone("drill", "run", "catalogue", "--identity", "KEY.txt")
    assert refused.code == 2 and "its drills run on safe-1" in refused.err
    assert "on safe-1: atp drill run catalogue" in refused.err and "--force --reason" in refused.err
    assert alone.document("drill", "list")["drills"] == [] and not (archive / "scratch").exists()
    due = alone("drill", "due")
    assert "runs on" in due.out and "safe-1" in due.out
    assert json.loads(alone("drill", "due", "--json").out)["datasets"][0]["runs_on"] == "safe-1"
    forced = run(alone, "--force", "--reason", "safe-1 burnt")
    assert (forced["forced"], forced["host"], forced["key_beside"]) == ("safe-1 burnt", socket.gethostname(), True)
    assert _objective(forced, "source")["verdict"] == "pass", "it is here, and was looked at"
    (archive / "catalogue.db").rename(archive / "elsewhere.db")
    forced = run(alone, "--force", "--reason", "and the data is lost")
    assert "key_beside" not in forced and _encrypted(alone)["colour"] == "amber", "that it is lost shows nothing"


def test_what_lies_in_the_place_of_the_data_on_the_machine_of_the_drills_is_not_taken_for_it(
    alone: Atp, archive: Path
) -> None:
    declare(archive, socket.gethostname())
    found = run(alone)
    assert "key_beside" not in found, "nobody can tell"
    assert _objective(found, "source")["verdict"] == "insufficient" and found["source"] == {}
    assert _encrypted(alone)["colour"] == "amber"
    (archive / "catalogue.db").rename(archive / "elsewhere.db")
    found = run(alone)
    assert found["key_beside"] is False and _objective(found, "source")["verdict"] == "insufficient"
    assert _encrypted(alone)["colour"] == "green"


def _encrypted(atp: Atp) -> dict[str, str]:
    findings = json.loads(atp("estate", "check", "--json").out)["findings"]
    return next(one for one in findings if one["check"] == "encrypted")


def test_corruption_is_rehearsed_from_before_a_moment(alone: Atp, archive: Path) -> None:
    before = datetime.now(UTC)
    with closing(sqlite3.connect(archive / "catalogue.db")) as database:
        database.execute("DELETE FROM letter")
        database.commit()
    alone.document("backup", "run", "catalogue")
    assert run(alone, "--scenario", "deletion")["cause"] == "wrong-answer"
    found = run(alone, "--scenario", "corruption", "--at", before.isoformat())
    assert _objective(found, "content")["verdict"] == "pass"
    assert f"corruption of {before:%Y-%m-%dT%H:%M:%S}" in alone("drill", "list").out
    assert "damaged at" in alone("drill", "show", "catalogue/2").out
    refused = alone(
        "drill", "run", "catalogue", "--identity", "KEY.txt", "--scenario", "deletion", "--at", "2026-01-01"
    )
    assert refused.code == 2 and "--scenario corruption --at TIME" in refused.err
    assert alone("drill", "run", "catalogue", "--identity", "KEY.txt", "--at", "soon").code == 2


def test_a_statement_that_was_changed_is_found(alone: Atp, archive: Path, tmp_path: Path) -> None:
    run(alone)
    [kept] = tmp_path.glob("state/drills/catalogue/1.dsse.json")
    kept.write_text(kept.read_text().replace("payload", "PAYLOAD"))
    shown = alone("drill", "show", "catalogue/1", "--json")
    assert shown.code == 1 and shown.json["statement_proof"].startswith("WRONG")


def test_a_statement_can_be_made_again_of_the_event_alone(alone: Atp, archive: Path, tmp_path: Path) -> None:
    run(alone)
    [kept] = tmp_path.glob("state/drills/catalogue/1.dsse.json")
    signed = kept.read_bytes()
    kept.unlink()
    shown = alone.document("drill", "show", "catalogue/1", "--statement", "1.dsse.json")
    assert shown["statement_proof"].startswith("intact") and (archive / "1.dsse.json").read_bytes() == signed


def test_a_drill_is_reviewed_by_somebody_who_says_what_has_to_follow(alone: Atp, archive: Path) -> None:
    run(alone)
    assert alone.document("drill", "show", "catalogue/1")["reviews"] == []
    alone.document("drill", "review", "catalogue/1", "--note", "rows <compared> with the ledger")
    alone.document("drill", "review", "catalogue/1", "--note", "too slow", "--follow-up", "a second disk, by May")
    first, second = alone.document("drill", "show", "catalogue/1")["reviews"]
    assert (first["said"]["note"], first["is_own"]) == ("rows <compared> with the ledger", True)
    assert second["said"]["follow_up"] == "a second disk, by May"
    alone.document("drill", "report", "-o", "drills.html")
    assert "to do: a second disk, by May" in alone("drill", "report").out
    assert "rows &lt;compared&gt; with the ledger" in (archive / "drills.html").read_text()
    assert alone("drill", "review", "catalogue/1", "--note", " ").code == 2
    assert alone("drill", "review", "catalogue/1", "--note", "x" * 10_000).code == 2
    assert alone("drill", "review", "catalogue/2", "--note", "x").code == 3
    assert run(alone)["number"] == 2
    assert alone.document("drill", "show", "catalogue/2")["reviews"] == [], "each is of one drill"
    assert [len(one["reviews"]) for one in alone.document("drill", "list")["drills"]] == [2, 0]
    assert "who ran it" in alone("drill", "list").out


def declared(events: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [event for event in events if event["action"] == "estate.declared"]


def waiting(tmp_path: Path) -> list[dict[str, Any]]:
    [lines] = tmp_path.glob("state/spool/*/lines")
    return [json.loads(line) for line in lines.read_bytes().splitlines()]


def test_the_text_of_the_estate_file_is_told_once_before_a_drill_refers_to_its_digest(
    alone: Atp, archive: Path, tmp_path: Path
) -> None:
    digests = [run(alone)["estate_sha256"], run(alone)["estate_sha256"]]
    text = (archive / "estate.yaml").read_text()
    (archive / "estate.yaml").write_text(text + "# another day\n" + "#\n" * ESTATE_PART_CHARS)
    digests.append(run(alone)["estate_sha256"])
    events = waiting(tmp_path)
    assert [one["resource"]["id"] for one in declared(events)] == [digests[0], *[digests[2]] * 3]
    told = [one["data"] for one in declared(events)]
    assert estate_text(told[:1], digest=digests[0]) == text.encode()
    assert estate_text(told[:0:-1], digest=digests[2]) == (archive / "estate.yaml").read_bytes()
    assert estate_text(told[2:], digest=digests[2]) is None, "a part is missing"
    actions = [one["action"] for one in events]
    assert actions.index("estate.declared") < actions.index("drill.run"), "what counts is set before"


def test_an_estate_file_with_a_secret_in_a_comment_stays_here_and_is_drilled(
    alone: Atp, archive: Path, tmp_path: Path
) -> None:
    with (archive / "estate.yaml").open("a") as file:
        file.write("# postgresql://me:hunter2@db/orders\n")
    ran = alone("drill", "run", "catalogue", "--identity", "KEY.txt")
    assert "a comment in it looks like a secret" in ran.err and "hunter2" not in ran.out + ran.err
    assert declared(waiting(tmp_path)) == [] and b"drill.done" in json.dumps(waiting(tmp_path)).encode()


def test_what_is_not_there_is_said(alone: Atp, archive: Path) -> None:
    assert alone("drill", "show", "catalogue/9").code == 3
    assert alone("drill", "run", "letters", "--identity", "KEY.txt").code == 3
    assert alone("drill", "run", "catalogue", "--identity", "NONE.txt").code == 3
    assert alone("drill", "run", "catalogue", "--identity", "KEY.txt", "--from", "moon").code == 3
    assert alone("drill", "report", "-o", "drills.pdf").code == 2


@pytest.mark.whole
def test_a_server_tells_the_drills_and_the_review_of_the_estate_reads_them(atp: Atp, archive: Path) -> None:
    found = run(atp)
    [listed] = [one for one in atp.document("drill", "list")["drills"] if one["drill"] == found]
    assert listed["index"] is not None and listed["dataset"] == "catalogue"
    signed = found["statement"]
    assert isinstance(signed, dict) and signed["signed_by"].endswith("/evidence") and "installation" in signed["whose"]
    assert atp.document("drill", "show", "catalogue/1")["statement_proof"].startswith("intact")
    review = json.loads(atp("estate", "check", "--json").out)
    [drilled] = [one for one in review["findings"] if one["check"] == "drilled"]
    assert str(found["verdict"]) in drilled["sentence"]
    assert run(atp)["number"] == 2
    question = ("query", "--tenant", "operations", "--resource", found["estate_sha256"])
    [told] = atp.document(*question)["events"]
    assert estate_text([told["data"]], digest=str(found["estate_sha256"])) == (archive / "estate.yaml").read_bytes()


@pytest.mark.whole
def test_drills_beyond_one_page_are_listed(atp: Atp, archive: Path) -> None:
    run(atp)
    [done] = [one for one in atp.document("drill", "list")["drills"] if one["drill"]["place"].startswith(str(archive))]
    count = PAGE_EVENTS_MAX + 5
    events = [
        {
            "id": f"drill.done.archive.{number}",
            "actor": {"id": "alice"},
            "action": "drill.done",
            "resource": {"id": "archive"},
            "data": {**done["drill"], "number": number},
        }
        for number in range(1, count + 1)
    ]
    body = "\n".join(map(json.dumps, events)).encode()
    assert atp("ingest", "-", "--tenant", "operations", stdin=body).code == 0
    listed = atp.document("drill", "list", "archive")
    assert [one["drill"]["number"] for one in listed["drills"]] == [*range(1, count + 1)] and listed["missing"] == {}


@pytest.mark.whole
def test_drills_that_waited_on_the_machine_are_delivered_and_count_once(atp: Atp, archive: Path) -> None:
    keyless = Atp({name: value for name, value in atp.env.items() if name != "ATP_KEY_FILE"})
    run(keyless)
    second = run(atp)
    drills = [one for one in atp.document("drill", "list")["drills"] if one["drill"]["place"].startswith(str(archive))]
    assert [one["drill"]["number"] for one in drills] == [1, second["number"]]


def test_a_backup_that_nobody_told_of_makes_no_green_drill(alone: Atp, archive: Path, tmp_path: Path) -> None:
    elsewhere = Atp({**alone.env, "ATP_STATE_DIR": str(tmp_path / "elsewhere")})
    assert _objective(run(alone), "record")["verdict"] == "pass"
    elsewhere.document("backup", "run", "catalogue")
    found = run(alone)
    assert _objective(found, "record")["verdict"] == "insufficient" and found["verdict"] == "insufficient"


def _objective(found: dict[str, object], name: str) -> dict[str, object]:
    objectives = found["objectives"]
    assert isinstance(objectives, list)
    return next(one for one in objectives if one["name"] == name)
