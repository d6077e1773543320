"""The operators' trail: what callers did beyond sending events stands in `operations`, told once and by name."""

import time
from typing import Any

import httpx

from tests.api.calling import caller, connect, event, events_path, read_all, record
from tests.web.serving import Served


def told(root: httpx.Client, action: str, **conditions: str) -> list[dict[str, Any]]:
    """The newest events of the trail with this action, once all that was noted before is published."""
    time.sleep(0.3)
    question = {"action": action, "limit": 1_000, **conditions}
    found: list[dict[str, Any]] = root.get(events_path("operations"), params=question).json()["events"]
    return found


def test_making_a_tenant_and_a_key_and_exporting_are_told_each_time(root: httpx.Client, tenant: str) -> None:
    root.post("/v1/tenants", json={"tenant": f"{tenant}-x"})
    issued = root.post("/v1/keys", json={"person": "dora", "scopes": ["read"], "tenants": [tenant]}).json()
    root.delete(f"/v1/keys/{issued['id']}")
    record(root, tenant, event(1))
    for _ in range(2):
        assert root.get(f"/v1/tenants/{tenant}/export?first=0").status_code == 200
    (made,) = told(root, "tenant.create", resource=f"{tenant}-x")
    assert (made["actor"]["id"], made["by"], made["context"]["ip"]) == ("root", "atp", "127.0.0.1")
    (given,) = told(root, "key.issue", resource=issued["id"])
    assert given["data"] == {"person": "dora", "scopes": ["read"], "tenants": [tenant]}
    assert issued["key"] not in str(given)
    assert len(told(root, "key.revoke", resource=issued["id"])) == 1
    assert [each["data"] for each in told(root, "log.export", resource=tenant)] == [{"first": "0"}] * 2


def test_reading_the_same_twice_is_told_once(served: Served, root: httpx.Client, tenant: str) -> None:
    record(root, tenant, event(1), event(2))
    _, key = served.issue_key(tenant, person="erin")
    with caller(served, key) as erin:
        for _ in range(3):
            erin.get(events_path(tenant), params={"actor": "alice", "limit": 1})
            erin.get(events_path(tenant), params={"actor": "bob"})
            erin.get(f"{events_path(tenant)}/e-1")
            erin.get(f"{events_path(tenant)}/e-1/proof")
            for path in ("checkpoint", "tile/0/000.p/2", "tile/entries/000.p/2"):
                assert erin.get(f"/log/{tenant}/{path}").status_code == 200
    questions = [each["data"]["question"] for each in told(root, "events.query", actor="erin")]
    assert questions == [{"actor": "bob"}, {"actor": "alice", "limit": "1"}]
    for action in ("event.read", "event.prove", "log.read"):
        (seen,) = told(root, action, actor="erin")
        assert seen["resource"] == {"id": tenant, "type": "log"}


def test_who_is_not_let_in_is_told(served: Served, root: httpx.Client, tenant: str) -> None:
    _, key = served.issue_key("default", person="frank")
    with caller(served, key) as frank:
        for _ in range(2):
            frank.get(events_path(tenant))
            frank.post(events_path("default"), json=event(1))
            frank.get("/v1/tenants/default/events/absent")
    with caller(served, "") as nobody:
        nobody.get("/v1/status")
    found = {(each["resource"]["id"], each["data"]["code"]) for each in told(root, "request.refuse", actor="frank")}
    assert found == {
        ("GET /v1/tenants/{tenant}/events", "missing"),
        ("POST /v1/tenants/{tenant}/events", "forbidden"),
    }
    assert all(each["outcome"] == "denied" for each in told(root, "request.refuse"))
    assert any(each["data"]["code"] == "unauthorized" for each in told(root, "request.refuse", actor="nobody"))


def test_reading_the_trail_does_not_feed_it(root: httpx.Client) -> None:
    sizes = []
    for _ in range(4):
        told(root, "events.query")
        sizes.append(root.get(events_path("operations"), params={"limit": 1}).json()["freshness"]["size"])
    assert sizes[1:] == [sizes[1]] * 3


def test_sending_events_tells_the_trail_nothing(root: httpx.Client, tenant: str) -> None:
    def size() -> int:
        return int(root.get(events_path("operations")).json()["freshness"]["size"])

    size()
    time.sleep(0.3)
    before = size()
    for number in range(3):
        record(root, tenant, event(number))
    assert size() == before


def test_a_question_of_any_length_is_answered_and_its_beginning_told(
    served: Served, root: httpx.Client, tenant: str
) -> None:
    question = "&".join(f"{name}={'%01' * 5_000}" for name in ("actor", "action", "resource", "outcome"))
    with connect(served) as connection:
        head = f"GET {events_path(tenant)}?{question} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {served.key}\r\n"
        connection.sendall(f"{head}Connection: close\r\n\r\n".encode())
        assert read_all(connection).startswith(b"HTTP/1.1 200 ")
    (found,) = (each for each in told(root, "events.query", resource=tenant))
    assert found["data"]["question"]["actor"] == "\x01" * 512
