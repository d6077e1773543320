"""The doors of an operator's acts: key change, verification, rebuild, brakes; who may, and what others see of it."""

import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.api.calling import caller, event, events_path, problem, record
from tests.web.serving import Served

DOORS = [
    ("POST", "/v1/tenants/{tenant}/log-keys", None),
    ("DELETE", "/v1/tenants/{tenant}/log-keys/01234567", None),
    ("POST", "/v1/integrity/runs", {"tenant": "{tenant}"}),
    ("POST", "/v1/rebuild", {"tenant": "{tenant}"}),
]
BRAKES = ["/v1/integrity/freeze", "/v1/integrity/unfreeze", "/v1/maintenance/on", "/v1/maintenance/off"]


@pytest.fixture
def reader(served: Served, tenant: str) -> Iterator[httpx.Client]:
    """Who may read the tenant's log and no more."""
    with caller(served, served.issue_key(tenant, scopes=("read", "export"))[1]) as client:
        yield client


@pytest.fixture
def stranger(served: Served) -> Iterator[httpx.Client]:
    """An administrator of another tenant."""
    with caller(served, served.issue_key("default", scopes=("admin",))[1]) as client:
        yield client


def send(client: httpx.Client, method: str, path: str, body: Any, tenant: str) -> httpx.Response:
    filled = {name: value.format(tenant=tenant) for name, value in (body or {}).items()}
    return client.request(method, path.format(tenant=tenant), json=filled if body else None)


def done(client: httpx.Client, number: int) -> Any:
    """A run when it is done."""
    deadline = time.monotonic() + 20
    while not (run := client.get(f"/v1/integrity/runs/{number}").json())["finished_at"]:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return run


@pytest.mark.parametrize(("method", "path", "body"), DOORS)
def test_acts_on_a_log_are_for_its_administrators(
    method: str, path: str, body: Any, tenant: str, served: Served, reader: httpx.Client, stranger: httpx.Client
) -> None:
    problem(send(reader, method, path, body, tenant), 403, "forbidden")
    problem(send(stranger, method, path, body, tenant), 404, "missing")
    with caller(served, "") as nobody:
        problem(send(nobody, method, path, body, tenant), 401, "unauthorized")


@pytest.mark.parametrize("path", BRAKES)
def test_brakes_are_for_administrators_of_everything(
    path: str, reader: httpx.Client, stranger: httpx.Client, root: httpx.Client
) -> None:
    for client in (reader, stranger):
        problem(client.post(path, json={"reason": "x"}), 403, "forbidden")
    problem(root.post(path, json={"reason": ""}), 422, "invalid")
    problem(root.post(path, json={}), 422, "invalid")
    problem(root.post(path, json={"reason": "x" * 1_001}), 422, "invalid")
    problem(root.post(path, content=b"{"), 400, "malformed")


def test_a_key_change_is_seen_at_the_public_door(root: httpx.Client, tenant: str, reader: httpx.Client) -> None:
    record(root, tenant, event(1))
    old = reader.get(f"/log/{tenant}/vkey").text.strip()
    added = root.post(f"/v1/tenants/{tenant}/log-keys")
    assert added.status_code == 201
    assert reader.get(f"/log/{tenant}/vkey").text.splitlines() == added.json()["vkeys"]
    assert added.json()["vkeys"][1] == old
    problem(root.post(f"/v1/tenants/{tenant}/log-keys"), 409, "conflict")
    key_id = old.split("+")[1]
    left = root.delete(f"/v1/tenants/{tenant}/log-keys/{key_id}").json()["vkeys"]
    assert reader.get(f"/log/{tenant}/vkey").text.splitlines() == left == added.json()["vkeys"][:1]
    problem(root.delete(f"/v1/tenants/{tenant}/log-keys/{key_id}"), 404, "missing")
    actions = [one["action"] for one in root.get(f"{events_path(tenant)}?order=index").json()["events"]]
    assert actions == ["invoice.approve", "atp.key.add", "atp.key.retire"]


def test_a_verification_is_begun_watched_and_reported(root: httpx.Client, tenant: str) -> None:
    record(root, tenant, *(event(number) for number in range(300)))
    begun = root.post("/v1/integrity/runs", json={"tenant": tenant})
    assert begun.status_code == 202
    run = done(root, begun.json()["number"])
    assert run["tampered"] is False and run["report"]["logs"][0]["size"] == 300
    problem(root.get("/v1/integrity/runs/9999"), 404, "missing")
    problem(root.get("/v1/integrity/runs/one"), 422, "invalid")
    problem(root.post("/v1/integrity/runs", json={"tenant": "none-such"}), 404, "missing")
    problem(root.post("/v1/integrity/runs", json={"level": "deep"}), 422, "invalid")


def test_a_verification_of_everything_is_not_seen_by_an_administrator_of_some(
    root: httpx.Client, stranger: httpx.Client, tenant: str
) -> None:
    number = root.post("/v1/integrity/runs", json={}).json()["number"]
    done(root, number)
    problem(stranger.get(f"/v1/integrity/runs/{number}"), 404, "missing")
    assert stranger.get("/v1/integrity").json()["mismatches"] == []


def test_a_rebuild_brings_the_views_back(root: httpx.Client, tenant: str) -> None:
    record(root, tenant, *(event(number) for number in range(300)))
    answer = root.post("/v1/rebuild", json={"tenant": tenant})
    assert (answer.status_code, answer.json()) == (202, {"logs": [{"tenant": tenant, "size": 300}]})
    assert len(root.get(f"{events_path(tenant)}?actor=alice&limit=1000").json()["events"]) == 300


def test_a_freeze_stops_exports_says_why_and_is_released(root: httpx.Client, tenant: str) -> None:
    record(root, tenant, event(1))
    assert root.post("/v1/integrity/freeze", json={"reason": "case 7"}).status_code == 204
    try:
        found = problem(root.get(f"/v1/tenants/{tenant}/export"), 409, "conflict")
        assert "case 7" in found["detail"] and "unfreeze" in found["hint"]
        for path in ("/v1/integrity", "/v1/status"):
            assert root.get(path).json()["freeze"]["reason"] == "case 7"
        assert root.get("/health/export").json()["entries"]["freeze"]["status"] == "Degraded"
        assert "case 7" not in root.get("/health").text
    finally:
        assert root.post("/v1/integrity/unfreeze", json={"reason": "closed"}).status_code == 204
    assert root.get(f"/v1/tenants/{tenant}/export").status_code == 200
    problem(root.post("/v1/integrity/unfreeze", json={"reason": "again"}), 409, "conflict")


def test_maintenance_sends_senders_away_for_a_while(root: httpx.Client, tenant: str) -> None:
    assert root.post("/v1/maintenance/on", json={"reason": "new disk"}).status_code == 204
    try:
        refused = root.post(events_path(tenant), json=[event(1)])
        assert "new disk" in problem(refused, 503, "unavailable")["detail"]
        assert int(refused.headers["retry-after"]) > 1
        assert root.post(events_path("operations"), json=[event(1)]).status_code == 200
        assert root.get(events_path(tenant)).status_code == 200
        assert root.get("/health/ingestion").json()["status"] == "Degraded"
    finally:
        assert root.post("/v1/maintenance/off", json={"reason": "moved"}).status_code == 204
    assert record(root, tenant, event(1))


def test_acts_stand_in_the_operators_trail(root: httpx.Client, tenant: str) -> None:
    done(root, root.post("/v1/integrity/runs", json={"tenant": tenant}).json()["number"])
    root.post("/v1/rebuild", json={"tenant": tenant})
    for action in ("integrity.verify", "view.rebuild"):
        deadline = time.monotonic() + 10
        while not root.get(f"{events_path('operations')}?action={action}&actor=root").json()["events"]:
            assert time.monotonic() < deadline
            time.sleep(0.05)
