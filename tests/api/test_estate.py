"""The doors of the estate: what is declared, how each dataset stands, drills, what is due; and who may not look."""

import json
import time
from base64 import b64decode
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

import httpx
import pytest

from atp.limits import ESTATE_LOOK_SECONDS
from tests.api.calling import caller, problem
from tests.api.test_openapi import answer_faults
from tests.web.recovering import DAY, ESTATE, drilled, recovering, reviewed
from tests.web.serving import Served, serving

DOORS = [
    "estate",
    "estate/check",
    "estate/impact/catalogue",
    "datasets",
    "datasets/letters",
    "drills",
    "drills/catalogue/5/statement",
    "due",
]


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with recovering(tmp_path_factory.mktemp("estate")) as running:
        yield running


@pytest.fixture(scope="module")
def root(served: Served) -> Iterator[httpx.Client]:
    with caller(served) as client:
        yield client


def test_every_answer_is_as_the_document_says(root: httpx.Client) -> None:
    calls = [
        ("readEstate", root.get("/v1/estate")),
        ("checkEstate", root.get("/v1/estate/check")),
        ("readImpact", root.get("/v1/estate/impact/catalogue")),
        ("readImpact", root.get("/v1/estate/impact/catalog")),
        ("listDatasets", root.get("/v1/datasets")),
        ("readDataset", root.get("/v1/datasets/catalogue")),
        ("readDataset", root.get("/v1/datasets/none")),
        ("listDrills", root.get("/v1/drills", params={"dataset": "catalogue", "limit": 2})),
        ("listDrills", root.get("/v1/drills", params={"colour": "red"})),
        ("readDrill", root.get("/v1/drills/catalogue/5")),
        ("readDrill", root.get("/v1/drills/catalogue/4")),
        ("readDrill", root.get("/v1/drills/catalogue/five")),
        ("readDrillStatement", root.get("/v1/drills/catalogue/5/statement")),
        ("readDrillStatement", root.get("/v1/drills/catalogue/4/statement")),
        ("readDue", root.get("/v1/due")),
    ]
    assert [(name, fault) for name, answer in calls for fault in answer_faults(name, answer)] == []
    assert [answer.status_code for _, answer in calls] == [
        *(200, 200, 200, 404, 200, 200, 404, 200, 422, 200, 404, 422),
        *(200, 404, 200),
    ]


def test_datasets_have_the_colours_of_what_is_known(root: httpx.Client) -> None:
    found = {one["name"]: one for one in root.get("/v1/datasets").json()["datasets"]}
    assert {name: one["colour"] for name, one in found.items()} == {
        "catalogue": "green",
        "letters": "red",
        "pictures": "grey",
    }
    check = root.get("/v1/estate/check").json()
    assert check["datasets"] == {name: one["colour"] for name, one in found.items()}
    assert found["catalogue"]["reasons"] == []
    assert "the last drill of deletion" in found["letters"]["reasons"][0]["sentence"]
    assert found["pictures"]["reasons"][0]["next_move"] == "atp backup run pictures"
    assert {one["scenario"]: one["verdict"] for one in found["catalogue"]["last_drills"]} == {
        "deletion": "pass",
        "corruption": "pass",
    }


def test_what_is_due_is_told_with_when(root: httpx.Client) -> None:
    found = root.get("/v1/due").json()["due"]
    assert {(one["dataset"], one["kind"], one["state"]) for one in found} == {
        ("letters", "verify", "overdue"),
        ("letters", "drill", "overdue"),
        ("pictures", "backup", "overdue"),
    }


def test_drills_come_in_pages_and_lead_to_their_proof(root: httpx.Client) -> None:
    first = root.get("/v1/drills", params={"limit": 3}).json()
    second = root.get("/v1/drills", params={"limit": 3, "cursor": first["next"]}).json()
    assert [one["id"] for one in first["drills"] + second["drills"]] == [
        "letters/1",
        "catalogue/5",
        "catalogue/3",
        "catalogue/2",
        "catalogue/1",
    ]
    assert second["next"] is None
    drill = root.get("/v1/drills/catalogue/3").json()
    proof = root.get(f"/v1/tenants/operations/events/@{drill['index']}/proof")
    assert proof.status_code == 200 and drill["drill"]["rto_seconds"] == 12.25
    assert root.get("/v1/datasets/catalogue").json()["missing_drills"] == [4]


def test_the_statement_of_a_drill_comes_whole_out_of_its_event(root: httpx.Client) -> None:
    drill, answer = root.get("/v1/drills/catalogue/5").json()["drill"], root.get("/v1/drills/catalogue/5/statement")
    assert sha256(answer.content).hexdigest() == drill["statement"]["sha256"]
    said = json.loads(b64decode(answer.json()["payload"]))
    assert said["predicate"] == {name: one for name, one in drill.items() if name != "statement"}


def test_reviews_come_with_the_drill_that_they_are_of(root: httpx.Client, served: Served) -> None:
    drill = root.get("/v1/drills/catalogue/5").json()
    own, other = drill["reviews"]
    assert (own["by"], own["is_own"], own["follow_up"]) == ("keeper (sent by root)", True, "a second <disk>, by May")
    assert (other["by"], other["is_own"], other["follow_up"]) == ("auditor (sent by root)", False, None)
    assert root.get(f"/v1/tenants/operations/events/@{other['index']}").json()["action"] == "drill.reviewed"
    assert drill["drill"]["recorded"] == {"manifest": True, "objects": 3}
    listed = root.get("/v1/drills", params={"dataset": "catalogue"}).json()["drills"]
    assert [len(one["reviews"]) for one in listed] == [2, 0, 0, 0]
    served.record(
        reviewed({**drilled("catalogue", 5, ago=DAY, rto=1.0)}, ago=DAY, by="x", note="y"), tenant="operations"
    )
    time.sleep(1.1)
    assert len(root.get("/v1/drills/catalogue/5").json()["reviews"]) == 2, "that one looked at another statement"


def test_an_event_that_comes_later_is_seen(root: httpx.Client, served: Served) -> None:
    before = len(root.get("/v1/drills").json()["drills"])
    late = {"verdict": "pass", "scenario": "deletion", "number": "seven"}
    served.record(
        {"actor": {"id": "x"}, "action": "drill.done", "resource": {"id": "pictures"}, "data": late},
        {"actor": {"id": "x"}, "action": "drill.done", "resource": {"id": "elsewhere"}, "data": late},
        {"actor": {"id": "x"}, "action": "backup.done", "resource": {"id": "pictures"}, "data": {"verdict": "error"}},
        tenant="operations",
    )
    time.sleep(1.1)
    assert len(root.get("/v1/drills").json()["drills"]) == before, "it has no figures that could be shown"
    assert root.get("/v1/estate/check").json()["findings"]


@pytest.mark.parametrize("door", DOORS)
def test_who_may_not_read_the_operators_log_learns_nothing(served: Served, door: str) -> None:
    _, foreign = served.issue_key("default")
    _, sender = served.issue_key("operations", scopes=("ingest",))
    for key, status, code in ((foreign, 404, "missing"), (sender, 403, "forbidden"), ("", 401, "unauthorized")):
        with caller(served, key) as client:
            problem(client.get(f"/v1/{door}"), status, code)
    _, reader = served.issue_key("operations")
    with caller(served, reader) as client:
        assert client.get(f"/v1/{door}").status_code == 200


@pytest.mark.parametrize("door", DOORS)
def test_without_a_file_the_next_command_is_told(empty: httpx.Client, door: str) -> None:
    assert "atp serve --estate" in problem(empty.get(f"/v1/{door}"), 404, "missing")["hint"]


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    with serving(tmp_path_factory.mktemp("empty") / "data") as bare, caller(bare) as client:
        yield client


def test_a_file_that_became_wrong_keeps_the_last_good_one_and_is_told(tmp_path: Path) -> None:
    with recovering(tmp_path, is_told=False) as served, caller(served) as root:
        good = root.get("/v1/estate").json()
        assert (
            good["problem"] is None and root.get("/health/recovery").json()["entries"]["estate"]["status"] == "Healthy"
        )
        (tmp_path / "estate.yaml").write_text(ESTATE.replace("rpo: 24h", "rpo: 24 h", 1))
        time.sleep(ESTATE_LOOK_SECONDS + 1.1)
        found = root.get("/v1/estate").json()
        assert found["estate"] == good["estate"] and found["sha256"] == good["sha256"]
        (fault,) = found["faults"]
        assert (fault["line"], fault["field"]) == (15, "datasets.catalogue.rpo")
        report = root.get("/health/recovery")
        assert report.status_code == 200 and report.json()["status"] == "Degraded"
        assert "line 15: datasets.catalogue.rpo" in report.json()["entries"]["estate"]["description"]
        (tmp_path / "estate.yaml").unlink()
        time.sleep(ESTATE_LOOK_SECONDS + 1.1)
        found = root.get("/v1/estate").json()
        assert "does not exist" in found["problem"] and found["estate"] == good["estate"]


def test_a_file_that_was_never_good_is_told(tmp_path: Path) -> None:
    with recovering(tmp_path, estate="version: atp.estate/2\n", is_told=False) as served, caller(served) as root:
        assert root.get("/v1/estate").json()["estate"] is None
        assert "atp estate check" in problem(root.get("/v1/estate/check"), 404, "missing")["hint"]
        assert root.get("/v1/datasets").json()["datasets"] == []
