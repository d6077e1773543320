"""Tenants, dead letters, keys and the status of logs."""

import base64

import httpx
import pytest

from atp import limits
from tests.api.calling import caller, event, events_path, faults, problem, record
from tests.web.serving import Served


def test_a_new_tenant_is_there_at_once_with_an_empty_log(root: httpx.Client) -> None:
    answer = root.post("/v1/tenants", json={"tenant": "newcomer"})
    assert answer.status_code == 201
    assert answer.json()["origin"].endswith("/newcomer")
    assert root.get(events_path("newcomer")).json()["freshness"]["size"] == 0
    problem(root.post("/v1/tenants", json={"tenant": "newcomer"}), 409, "conflict")


@pytest.mark.parametrize("name", ["", "Upper", "a/b", "..", "a..b", "-a", "a" * 64, "é", "a b", "a\x00"])
def test_a_tenant_needs_a_name(root: httpx.Client, name: str) -> None:
    problem(root.post("/v1/tenants", json={"tenant": name}), 422, "invalid")


@pytest.mark.parametrize(
    ("body", "status"),
    [(b"", 400), (b"{", 400), (b'{"tenant":"\xff"}', 400), (b"{}", 422), (b"[]", 422),
     (b'{"tenant":7}', 422), (b'{"tenant":"x","colour":"red"}', 422)],
)  # fmt: skip
def test_a_small_body_is_checked_as_well(root: httpx.Client, body: bytes, status: int) -> None:
    for path in ("/v1/tenants", "/v1/keys", "/v1/tenants/default/dlq"):
        problem(root.post(path, content=body), status, {400: "malformed", 422: "invalid"}[status])


def test_a_key_is_shown_once_and_opens_what_it_is_for(served: Served, root: httpx.Client, tenant: str) -> None:
    issued = root.post("/v1/keys", json={"person": "carol", "scopes": ["ingest"], "tenants": [tenant]}).json()
    with caller(served, issued["key"]) as carol:
        record(carol, tenant, event(1))
        problem(carol.get(events_path(tenant)), 403, "forbidden")
    shown = root.get("/v1/keys")
    assert issued["key"].rpartition("_")[2] not in shown.text
    (row,) = (key for key in shown.json()["keys"] if key["id"] == issued["id"])
    assert row == {name: value for name, value in issued.items() if name != "key"}
    assert root.get(f"{events_path(tenant)}/e-1").json()["by"] == "carol"


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({"person": "carol", "scopes": []}, 422, "invalid"),
        ({"person": "carol", "scopes": ["everything"]}, 422, "invalid"),
        ({"person": "no name", "scopes": ["read"]}, 422, "invalid"),
        ({"person": "carol", "scopes": ["read"], "tenants": ["absent"]}, 404, "missing"),
        ({"person": "p", "scopes": ["read"], "tenants": ["default"] * (limits.KEY_TENANTS_MAX + 1)}, 422, "invalid"),
    ],
)
def test_a_key_needs_a_person_scopes_and_tenants_that_are_there(
    root: httpx.Client, body: dict[str, object], status: int, code: str
) -> None:
    problem(root.post("/v1/keys", json=body), status, code)


def test_a_key_of_many_tenants_is_issued_and_its_trail_is_kept(root: httpx.Client) -> None:
    tenants = ["operations"] * limits.KEY_TENANTS_MAX
    assert root.post("/v1/keys", json={"person": "p", "scopes": ["read"], "tenants": tenants}).status_code == 201


def test_revoking_twice_changes_nothing_and_an_absent_key_is_missing(root: httpx.Client) -> None:
    key_id = root.post("/v1/keys", json={"person": "p", "scopes": ["read"]}).json()["id"]
    revoked = []
    for _ in range(2):
        assert root.delete(f"/v1/keys/{key_id}").status_code == 204
        revoked += [key["revoked_at"] for key in root.get("/v1/keys").json()["keys"] if key["id"] == key_id]
    assert revoked[0] == revoked[1]
    problem(root.delete("/v1/keys/000000000000"), 404, "missing")


def test_parked_records_are_kept_byte_for_byte_and_once(root: httpx.Client, tenant: str) -> None:
    raws = [b"\x00\xff broken", b"{}", "é".encode()]
    letters = {"records": [{"reason": f"r{n}", "body": base64.b64encode(raw).decode()} for n, raw in enumerate(raws)]}
    for _ in range(2):
        assert root.post(f"/v1/tenants/{tenant}/dlq", json=letters).status_code == 200
    found = root.get(f"/v1/tenants/{tenant}/dlq").json()
    assert found["count"] == 3
    assert {base64.b64decode(letter["body"]) for letter in found["records"]} == set(raws)
    assert len(root.get(f"/v1/tenants/{tenant}/dlq?limit=2").json()["records"]) == 2
    for limit in ("0", "1001", "x", "-1"):
        assert faults(root.get(f"/v1/tenants/{tenant}/dlq?limit={limit}")) == [(0, "limit")]


def test_the_status_tells_how_a_log_stands(root: httpx.Client, tenant: str) -> None:
    record(root, tenant, *(event(number) for number in range(70)))
    status = root.get("/v1/status").json()
    (row,) = (log for log in status["logs"] if log["tenant"] == tenant)
    assert (row["size"], row["published_size"], row["stopped"], row["parked"]) == (70, 70, None, 0)
    assert row["origin"] == f"{status['installation']}/{tenant}"
    assert row["complete_to"] == root.get(f"{events_path(tenant)}/@69").json()["received_at"]
