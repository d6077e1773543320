"""`atp estate` from a shell: the example through every command, exit codes, refusals, evidence of a real server."""

import json
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from atp.app.config import Runs
from tests.api.calling import caller
from tests.cli.conftest import Platform
from tests.cli.running import Atp
from tests.ops.estate.estates import EXAMPLE, SMALL, small
from tests.services.loopback import free_port
from tests.web.recovering import recovering

AS_OF = "2026-11-26T10:00:00Z"


@pytest.fixture
def estate(here: Path) -> Path:
    """The example as `estate.yaml` in the working directory."""
    (here / "estate.yaml").write_bytes(EXAMPLE)
    return here / "estate.yaml"


def words(text: str) -> str:
    return " ".join(text.split())


def test_the_example_is_printed_and_accepted(alone: Atp, here: Path) -> None:
    ran = alone("estate", "schema", "--example")
    (here / "estate.yaml").write_text(ran.out)
    assert alone("estate", "check", "--at", AS_OF).code == 0
    assert alone.document("estate", "show") == alone.document("estate", "schema", "--example")


def test_the_schema_is_json_either_way(alone: Atp) -> None:
    assert json.loads(alone("estate", "schema").out) == alone.document("estate", "schema")


def test_without_a_server_evidence_is_unknown_and_said_to_be(alone: Atp, estate: Path) -> None:
    ran = alone("estate", "check", "--at", AS_OF)
    assert ran.code == 0, "nothing is red"
    assert "evidence of backups and drills is unknown: there is no key" in ran.out
    assert "Ferry bookings is amber as of 2026-11-26T10:00:00Z" in ran.out
    document = alone.document("estate", "check", "--at", AS_OF)
    assert document["evidence_at"] is None and document["evidence_unknown"].startswith("there is no key")
    assert set(document["datasets"].values()) == {"grey"}
    assert document["proven"]["percent"] == 0
    assert document["score"]["counts"]["red"] == 0


@pytest.mark.parametrize("given", [["--offline"], ["--url", f"http://127.0.0.1:{free_port()}"]])
def test_a_server_that_does_not_answer_is_no_failure(alone: Atp, estate: Path, given: list[str]) -> None:
    ran = alone("estate", "check", "--at", AS_OF, *given, "--json", ATP_API_KEY="atp_key")
    assert ran.code == 0, ran
    assert ran.json["evidence_unknown"]


def test_strict_fails_on_whatever_is_not_green(alone: Atp, estate: Path) -> None:
    assert alone("estate", "check", "--strict", "--at", AS_OF).code == 1
    assert alone.document("estate", "check", "--strict", "--at", AS_OF, code=1)["colour"] == "amber"


def test_red_is_exit_code_one(alone: Atp, estate: Path) -> None:
    """The acceptance in the example has expired by then."""
    document = alone.document("estate", "check", "--at", "2027-08-31", code=1)
    (red,) = [one for one in document["findings"] if one["colour"] == "red"]
    assert red["subject"] == "hard failure hosting-region-lost" and "has expired" in red["sentence"]


def test_show_lists_what_there_is(alone: Atp, estate: Path) -> None:
    out = words(alone("estate", "show").out)
    for row in ("bookings postgresql 15min 2h platform-engineer vault", "name-service critical hosting-support"):
        assert row in out


def test_impact_draws_and_counts(alone: Atp, estate: Path) -> None:
    ran = alone("estate", "impact", "bookings", "--at", AS_OF)
    assert ran.code == 0
    assert "└─ booking-api (service, critical)" in ran.out
    assert "cuts the critical path board-a-ferry: [boarding-scanners] -> [booking-api] -> [bookings]" in ran.out
    assert "115.5 hours of a week" in ran.out and "it is one of them now" in ran.out
    document = alone.document("estate", "impact", "bookings", "--at", AS_OF)
    assert [one["name"] for one in document["fallen"]] == ["bookings", "booking-api", "website", "boarding-scanners"]
    assert document["revenue"]["hours_of_week"] == 115.5 and document["revenue"]["is_now"] is True
    assert document["objectives"] == [{"dataset": "bookings", "role": "falls", "rpo": "15min", "rto": "2h"}]
    assert alone("estate", "impact", "bookings", "--mermaid").out.rstrip("\n") == document["mermaid"]


def test_a_cycle_is_told(alone: Atp, here: Path) -> None:
    cyclic = small(("[data], crit", "[api, data], crit"), ("services:", "services:\n  api: {depends_on: [web]}"))
    (here / "estate.yaml").write_bytes(cyclic)
    assert "cycle: api, web depend on each other" in alone("estate", "impact", "data").out
    assert alone.document("estate", "impact", "data")["cycles"] == [["api", "web"]]


def test_the_dossier_is_written_as_its_name_says(alone: Atp, estate: Path, here: Path) -> None:
    for name, begin in (("dossier.html", "<!doctype html>"), ("dossier.md", "# Dossier of the estate Ferry bookings")):
        assert alone("estate", "dossier", "-o", name, "--at", AS_OF).code == 0
        assert (here / name).read_text().startswith(begin)
    assert alone("estate", "dossier", "--at", AS_OF).out == (here / "dossier.md").read_text()
    assert (
        alone("estate", "dossier", "--html", "--at", AS_OF).out.strip() == (here / "dossier.html").read_text().strip()
    )
    assert alone.document("estate", "dossier")["title"] == "Ferry bookings"
    ran = alone("estate", "dossier", "-o", "dossier.pdf")
    assert (ran.code, "neither .md nor .html" in ran.err) == (2, True)


def test_a_wrong_file_is_refused_with_every_place(alone: Atp, here: Path) -> None:
    (here / "estate.yaml").write_bytes(small(("name: Small", "nmae: Small"), ("rpo: 1h", "rpo: soon")))
    for verb in (["check"], ["show"], ["impact", "web"], ["dossier"]):
        ran = alone("estate", *verb)
        assert (ran.code, ran.out) == (2, "")
        assert "estate.yaml:2:1: nmae: the key is unknown (hint: did you mean name?)" in ran.err
        assert "estate.yaml:13:10: datasets.data.rpo: it is no duration" in ran.err
    error = alone.document("estate", "check", code=2)["error"]
    assert error["code"] == "invalid"
    assert [(one["line"], one["column"], one["field"]) for one in error["errors"]] == [
        (1, 1, "name"),
        (2, 1, "nmae"),
        (13, 10, "datasets.data.rpo"),
    ]


def test_a_secret_in_the_file_is_on_no_stream(alone: Atp, here: Path) -> None:
    (here / "estate.yaml").write_bytes(small(("{place: /var/lib/data.db}", "{place: 'x://u:" + "hunter2@h'}")))
    ran = alone("estate", "check", "--json")
    assert ran.code == 2 and "a password in an address" in ran.out
    assert "hunter2" not in ran.out + ran.err


def test_what_is_missing_is_exit_code_three(alone: Atp, here: Path, estate: Path) -> None:
    assert alone("estate", "impact", "bokings").code == 3
    ran = alone("estate", "check", "-f", "none.yaml")
    assert ran.code == 3 and "atp estate schema --example" in ran.err
    assert alone("estate", "check", "-f", here).code == 2
    assert alone("estate", "check", "--at", "yesterday").code == 2


def test_the_file_is_found_by_the_environment(alone: Atp, tmp_path: Path, here: Path) -> None:
    (tmp_path / "elsewhere.yaml").write_text(SMALL)
    ran = alone("estate", "show", "--json", ATP_ESTATE=str(tmp_path / "elsewhere.yaml"))
    assert ran.json["name"] == "Small"


def tell(atp: Atp, here: Path, dataset: str, told: list[tuple[str, timedelta, dict[str, Any]]]) -> None:
    """Send events to the operators' trail, as backups and drills do."""
    now = datetime.now(UTC)
    lines = [
        json.dumps(
            {
                "time": (now - ago).isoformat(),
                "actor": {"id": "night-shift"},
                "action": action,
                "resource": {"id": dataset, "type": "dataset"},
                "data": {"verdict": "pass", "backup": "b-1", "repository": "vault", **data},
            }
        )
        for action, ago, data in told
    ]
    (here / "told.ndjson").write_text("\n".join(lines))
    assert atp("ingest", "--tenant", "operations", "told.ndjson").code == 0
    os.unlink(here / "told.ndjson")


@pytest.mark.whole
def test_evidence_comes_from_the_operators_trail(atp: Atp, here: Path, platform: Platform, new_name: Any) -> None:
    dataset = new_name()
    text = SMALL.replace("data:\n    kind", f"{dataset}:\n    kind").replace("[data]", f"[{dataset}]")
    text = text.replace("[web, data]", f"[web, {dataset}]").replace("to: data", f"to: {dataset}")
    (here / "estate.yaml").write_text(text)
    document = atp.document("estate", "check")
    assert document["evidence_at"] and document["evidence_unknown"] is None
    assert document["datasets"] == {dataset: "grey"}, "the trail was read, and says nothing"
    day = timedelta(days=1)
    apart = {"host": "safe-1", "key_beside": False}
    facts: list[tuple[str, timedelta, dict[str, Any]]] = [
        ("backup.done", timedelta(minutes=5), {"encrypted": True}),
        ("backup.verified", day, {"read_back": True, "isolated": True, "immutable": True}),
        ("drill.done", 2 * day, {"scenario": "deletion", "rpo_seconds": 5, "rto_seconds": 60}),
        ("drill.done", day, {"scenario": "corruption", "rpo_seconds": 5, "rto_seconds": 60, **apart}),
    ]
    tell(atp, here, dataset, facts)
    found = atp.document("estate", "check")
    of = {one["check"]: one for one in found["findings"] if one["subject"] == f"dataset {dataset}"}
    assert {check for check, one in of.items() if one["colour"] != "green"} == {"3-2-1-1-0"}, "two copies alone"
    assert "by night-shift" in of["drilled"]["sentence"]
    assert atp("estate", "check").code == 0 and atp("estate", "check", "--strict").code == 1
    tell(atp, here, dataset, [("drill.done", timedelta(minutes=1), {"scenario": "deletion", "verdict": "fail"})])
    assert atp.document("estate", "check", code=1)["datasets"] == {dataset: "red"}
    before = (datetime.now(UTC) - timedelta(minutes=2)).isoformat(timespec="seconds")
    assert atp.document("estate", "check", "--at", before)["datasets"] == {dataset: "green"}, "as it stood then"
    ran = atp("estate", "dossier")
    assert "| deletion | fail |" in ran.out and "| corruption | pass | 5s | 1min |" in ran.out


@pytest.mark.whole
@pytest.mark.parametrize("has_key", [False, True])
def test_command_page_and_api_have_one_colour_for_each_dataset(here: Path, tmp_path: Path, has_key: bool) -> None:
    runs = Runs(identity=tmp_path / "KEY.txt" if has_key else None)
    with recovering(here, recovery=runs) as served, caller(served) as root, served.visitor() as visitor:
        env = {"ATP_URL": served.url, "ATP_API_KEY": served.key, "ATP_STATE_DIR": str(tmp_path / "state")}
        said = json.loads(Atp(env)("estate", "check", "--json").out)["datasets"]
        listed = root.get("/v1/datasets").json()["datasets"]
        page = visitor.get("/datasets").text
    assert said == {one["name"]: one["colour"] for one in listed}
    assert said == {"catalogue": "amber" if has_key else "green", "letters": "red", "pictures": "grey"}
    assert ("key and backup on the source machine, as the server has it" in page) == has_key
    assert ("1 proven" in page) != has_key


@pytest.mark.whole
def test_a_key_that_may_not_read_the_trail_is_refused(atp: Atp, here: Path, estate: Path) -> None:
    made = atp.document("key", "create", "--person", "guest", "--scope", "read", "--tenant", "default")
    ran = atp("estate", "check", ATP_API_KEY=made["key"], ATP_KEY_FILE=None)
    assert ran.code in (2, 3), ran
    assert "operations" in ran.err
