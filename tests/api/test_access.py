"""Who is let in: every door of the document, tried by a stranger, without scope, without key, and by a revoked one."""

from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from atp.api.openapi import read_document
from atp.tenants.access import SCOPES
from tests.api.calling import caller, event, events_path, problem, record
from tests.api.test_statements import STATEMENT
from tests.web.recovering import recovering
from tests.web.serving import Served

_BODIES: dict[str, Any] = {
    "recordEvents": [event(1)],
    "createTenant": {"tenant": "another"},
    "signStatement": STATEMENT,
    "parkRecords": {"records": []},
    "issueKey": {"person": "mallory", "scopes": ["admin"]},
    "beginRun": {"tenant": "acme"},
    "rebuild": {"tenant": "acme"},
    **{name: {"reason": "a test"} for name in ("freeze", "unfreeze", "beginMaintenance", "endMaintenance")},
}
Door = tuple[str, str, dict[str, Any]]


def doors() -> Iterator[Door]:
    """Method, path template and operation of every door that the document has."""
    for path, place in read_document()["paths"].items():
        for method in ("get", "post", "delete"):
            if method in place:
                yield method.upper(), path, place[method]


CLOSED = [door for door in doors() if door[2].get("security") != []]
OF_TENANTS = [door for door in CLOSED if "{tenant}" in door[1]]
WITH_SCOPE = [door for door in CLOSED if door[2].get("security", [{"key": []}])[0]["key"]]
each_closed = pytest.mark.parametrize("door", CLOSED, ids=lambda door: door[2]["operationId"])
each_of_tenants = pytest.mark.parametrize("door", OF_TENANTS, ids=lambda door: door[2]["operationId"])
each_with_scope = pytest.mark.parametrize("door", WITH_SCOPE, ids=lambda door: door[2]["operationId"])


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A server that has something behind every door, an estate too."""
    with recovering(tmp_path_factory.mktemp("doors")) as running:
        yield running


@pytest.fixture(scope="module", autouse=True)
def tenants(served: Served, root: httpx.Client) -> None:
    """A tenant with one event, and another one that strangers belong to."""
    for name in ("acme", "globex"):
        served.tenant(name)
    record(root, "acme", event(1))


def knock(client: httpx.Client, door: Door, *, tenant: str = "acme") -> httpx.Response:
    method, path, operation = door
    places = {"tenant": tenant, "event": "e-1", "level": "0", "index": "000.p/1", "key": "000000000000", "run": "1"}
    places |= {"name": "catalogue", "dataset": "catalogue", "number": "5"}
    body = _BODIES.get(operation["operationId"])
    return client.request(method, path.format(**places), json=body)


def test_there_are_doors_of_every_kind() -> None:
    assert len(OF_TENANTS) >= 12
    assert len(WITH_SCOPE) > len(OF_TENANTS)


@each_closed
def test_nobody_comes_in_without_a_key(served: Served, door: Door) -> None:
    for key in ("", "wrong", "atp_000000000000_" + "0" * 64):
        with caller(served, key) as client:
            answer = knock(client, door)
        problem(answer, 401, "unauthorized")
        assert answer.headers["www-authenticate"] == 'Bearer realm="atp"'


def test_another_scheme_is_no_key(served: Served) -> None:
    with caller(served, "") as client:
        client.headers["Authorization"] = f"Basic {served.key}"
        problem(client.get("/v1/status"), 401, "unauthorized")
        client.headers["Authorization"] = f"bearer {served.key}"
        assert client.get("/v1/status").status_code == 200


@each_of_tenants
def test_a_tenant_of_others_is_as_if_it_were_absent(served: Served, door: Door) -> None:
    for scopes in (SCOPES, ("read",), ("ingest",)):
        _, key = served.issue_key("globex", scopes=scopes)
        with caller(served, key) as stranger:
            foreign, absent = (knock(stranger, door, tenant=name) for name in ("acme", "absent"))
        problem(foreign, 404, "missing")
        assert foreign.text.replace("acme", "absent") == absent.text
        assert without_date(foreign, "acme") == without_date(absent, "absent")


def without_date(answer: httpx.Response, tenant: str) -> dict[str, str]:
    lengths = {"content-length": str(len(answer.content) - len(tenant))}
    return {name: value for name, value in answer.headers.items() if name != "date"} | lengths


@each_with_scope
def test_a_key_without_the_scope_is_forbidden(served: Served, door: Door) -> None:
    (scope,) = door[2]["security"][0]["key"]
    _, key = served.issue_key(scopes=[other for other in SCOPES if other not in (scope, "admin")] or ["read"])
    with caller(served, key) as client:
        assert repr(scope) in problem(knock(client, door), 403, "forbidden")["detail"]


@each_with_scope
def test_a_key_with_the_scope_is_let_in(served: Served, door: Door) -> None:
    (scope,) = door[2]["security"][0]["key"]
    _, key = served.issue_key(scopes=[scope])
    with caller(served, key) as client:
        answer = knock(client, door)
    assert answer.is_success or ("{key}" in door[1] and answer.status_code == 404), answer.text


def test_a_revoked_key_opens_nothing(served: Served, root: httpx.Client) -> None:
    key_id, key = served.issue_key(scopes=SCOPES)
    with caller(served, key) as client:
        assert client.get("/v1/status").status_code == 200
        assert root.delete(f"/v1/keys/{key_id}").status_code == 204
        for door in CLOSED:
            problem(knock(client, door), 401, "unauthorized")


def test_a_key_for_some_tenants_sees_those_alone(served: Served) -> None:
    _, key = served.issue_key("globex", "acme")
    with caller(served, key) as client:
        assert {log["tenant"] for log in client.get("/v1/tenants").json()["tenants"]} == {"acme", "globex"}
        assert {log["tenant"] for log in client.get("/v1/status").json()["logs"]} == {"acme", "globex"}
        assert client.get(events_path("operations")).status_code == 404


def test_an_admin_of_some_tenants_gives_away_no_others(served: Served, root: httpx.Client) -> None:
    own_id, key = served.issue_key("acme", scopes=["admin"])
    foreign_id, _ = served.issue_key("acme", "globex")
    with caller(served, key) as admin:
        problem(admin.post("/v1/keys", json={"person": "eve", "scopes": ["admin"]}), 403, "forbidden")
        wider = {"person": "eve", "scopes": ["read"], "tenants": ["acme", "globex"]}
        problem(admin.post("/v1/keys", json=wider), 404, "missing")
        issued = admin.post("/v1/keys", json={"person": "eve", "scopes": ["read"], "tenants": ["acme"]}).json()
        assert {shown["id"] for shown in admin.get("/v1/keys").json()["keys"]} == {own_id, issued["id"]}
        problem(admin.delete(f"/v1/keys/{foreign_id}"), 404, "missing")
        problem(admin.delete(f"/v1/keys/{served.root.key_id}"), 404, "missing")
        problem(admin.post("/v1/tenants", json={"tenant": "mine"}), 404, "missing")
    assert foreign_id in {shown["id"] for shown in root.get("/v1/keys").json()["keys"]}
