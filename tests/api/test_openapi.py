"""The OpenAPI document is complete and true: its doors, bounds, statuses and shapes are those of the server."""

import base64
import hashlib
import json
import re
import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from starlette.routing import Route

from atp import __version__, errors, limits
from atp.api.app import api_routes
from atp.api.batches import FORMAT_OF_MEDIA
from atp.api.events import PATH
from atp.api.gate import Gate
from atp.api.limiter import Limiter
from atp.api.openapi import find, read_document
from atp.api.problems import BUG
from atp.app.health import SERVICES, Health
from atp.app.status import Counter
from atp.app.trail import Trail
from atp.tenants.access import SCOPES
from tests.api.calling import caller, event, events_path, record
from tests.api.schema import Schemas
from tests.api.test_statements import STATEMENT
from tests.web.serving import Served

DOCUMENT = read_document()
SCHEMAS = Schemas(DOCUMENT)
_METHODS = ("get", "post", "delete")
_TAILS = {
    f"{PATH}/{{event:path}}": [f"{PATH}/{{event}}", f"{PATH}/{{event}}/proof", f"{PATH}/{{event}}/entry"],
    "/log/{tenant}/tile/{tile:path}": ["/log/{tenant}/tile/{level}/{index}", "/log/{tenant}/tile/entries/{index}"],
}


def operations() -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, place in DOCUMENT["paths"].items():
        for method in _METHODS:
            if method in place:
                operation = place[method]
                parameters = [*place.get("parameters", ()), *operation.get("parameters", ())]
                yield method.upper(), path, operation | {"parameters": [find(DOCUMENT, each) for each in parameters]}


def parameter(operation_id: str, name: str) -> dict[str, Any]:
    (found,) = (
        each["schema"]
        for _, _, operation in operations()
        if operation["operationId"] == operation_id
        for each in operation["parameters"]
        if each["name"] == name
    )
    return dict(found)


def test_the_document_has_exactly_the_doors_of_the_server(served: Served) -> None:
    platform = served.platform
    trail = Trail(platform.note, now=platform.now, clock=platform.clock, meters=platform.meters)
    gate = Gate(platform, trail, Limiter(1.0, clock=platform.clock))
    built = {
        (method, path)
        for route in api_routes(gate, Health(platform, Counter(platform)))
        if isinstance(route, Route)
        for path in _TAILS.get(route.path, [route.path])
        for method in (route.methods or set()) - {"HEAD"}
    }
    assert {(method, path) for method, path, _ in operations()} == built


def test_every_reference_leads_somewhere_and_every_part_is_used() -> None:
    references = set(re.findall(r'"\$ref":"#/components/(\w+/\w+)"', json.dumps(DOCUMENT, separators=(",", ":"))))
    kinds = ("parameters", "responses", "schemas")
    assert references == {f"{kind}/{name}" for kind in kinds for name in DOCUMENT["components"][kind]}


def test_path_parameters_are_those_of_the_path() -> None:
    for _, path, operation in operations():
        named = {each["name"] for each in operation["parameters"] if each["in"] == "path"}
        assert named == set(re.findall(r"{(\w+)}", path)), path


def test_operations_have_names_of_their_own_and_known_tags_and_scopes() -> None:
    names = [operation["operationId"] for _, _, operation in operations()]
    assert len(set(names)) == len(names)
    assert {tag for _, _, operation in operations() for tag in operation["tags"]} == {
        tag["name"] for tag in DOCUMENT["tags"]
    }
    scopes = {s for _, _, operation in operations() for key in operation.get("security", ()) for s in key["key"]}
    assert scopes == set(SCOPES)


def test_bounds_are_those_of_the_server(served: Served) -> None:
    schemas = DOCUMENT["components"]["schemas"]
    bodies = DOCUMENT["paths"][PATH]["post"]["requestBody"]["content"]
    assert parameter("recordEvents", "wait")["maximum"] == limits.WAIT_SECONDS_MAX
    assert parameter("askEvents", "limit")["maximum"] == limits.PAGE_EVENTS_MAX
    assert schemas["Events"]["properties"]["events"]["maxItems"] == limits.PAGE_EVENTS_MAX
    assert schemas["Reason"]["properties"]["reason"]["maxLength"] == limits.REASON_CHARS_MAX
    assert parameter("askEvents", "limit")["default"] == limits.PAGE_EVENTS_DEFAULT
    assert parameter("askEvents", "text")["maxLength"] == limits.QUERY_TEXT_CHARS_MAX
    assert parameter("askEvents", "actor")["maxLength"] == limits.FIELD_CHARS_MAX == schemas["Text"]["maxLength"]
    assert parameter("listDrills", "limit")["maximum"] == limits.DRILLS_MAX
    assert parameter("listDrills", "limit")["default"] == limits.DRILLS_DEFAULT
    assert parameter("listDeadLetters", "limit")["maximum"] == limits.DEAD_LETTERS_MAX
    assert parameter("listDeadLetters", "limit")["default"] == limits.DEAD_LETTERS_DEFAULT
    assert bodies["application/json"]["schema"]["oneOf"][1]["maxItems"] == limits.BATCH_EVENTS_MAX
    assert schemas["UnfitRecords"]["properties"]["records"]["maxItems"] == limits.BATCH_EVENTS_MAX
    assert schemas["Recorded"]["properties"]["errors"]["maxItems"] == limits.ERRORS_LISTED_MAX
    assert schemas["NewKey"]["properties"]["tenants"]["maxItems"] == limits.KEY_TENANTS_MAX
    assert schemas["Statement"]["properties"]["subject"]["maxItems"] == limits.STATEMENT_SUBJECTS_MAX
    assert set(bodies) == set(FORMAT_OF_MEDIA)
    assert set(parameter("readServiceHealth", "service")["enum"]) == set(SERVICES)
    assert set(schemas["Scopes"]["items"]["enum"]) == set(SCOPES)
    (formats,) = (p for p in DOCUMENT["paths"][PATH]["post"]["parameters"] if p["name"] == "format")
    assert set(formats["examples"]) == {"auto", *served.platform.formats.names}


def test_the_codes_of_problems_are_those_of_the_errors() -> None:
    kinds = {kind.code for kind in vars(errors).values() if hasattr(kind, "code")}
    of_http = {"method_not_allowed", "timeout", "unsupported_media_type", BUG}
    codes = set(DOCUMENT["components"]["schemas"]["Problem"]["properties"]["code"]["enum"])
    assert codes == kinds - {errors.AtpError.code} | of_http


def test_real_answers_are_as_the_document_says(served: Served, root: httpx.Client, tenant: str) -> None:
    context = {"ip": "192.0.2.1", "user_agent": "x"}
    record(root, tenant, event(1, context=context, data=[1, None], schema="atp.event/1"), event(2, outcome="denied"))
    root.post(f"{events_path(tenant)}?invalid=park&wait=5", json=[{"action": "x"}, event(3)])
    key_id, _ = served.issue_key(tenant)
    calls = [
        ("askEvents", root.get(events_path(tenant), params={"limit": 2})),
        ("readEvent", root.get(f"{events_path(tenant)}/e-1")),
        ("readEvent", root.get(f"{events_path(tenant)}/nothing")),
        ("proveEvent", root.get(f"{events_path(tenant)}/@1/proof")),
        ("readEntry", root.get(f"{events_path(tenant)}/e-1/entry")),
        ("recordEvents", root.post(f"{events_path(tenant)}?invalid=park&wait=5", json=[{"action": "x"}, event(4)])),
        ("recordEvents", root.post(events_path(tenant), json=[{"action": "x"}])),
        ("recordEvents", root.post(events_path(tenant), content=b"{")),
        ("recordEvents", root.post(events_path(tenant), json=event(1, action="other"))),
        ("exportEvents", root.get(f"/v1/tenants/{tenant}/export")),
        ("readCheckpoint", root.get(f"/log/{tenant}/checkpoint")),
        ("readVerifierKeys", root.get(f"/log/{tenant}/vkey")),
        ("readTile", root.get(f"/log/{tenant}/tile/0/000.p/1")),
        ("readEntryBundle", root.get(f"/log/{tenant}/tile/entries/000.p/1")),
        ("listTenants", root.get("/v1/tenants")),
        ("createTenant", root.post("/v1/tenants", json={"tenant": f"{tenant}-b"})),
        ("createTenant", root.post("/v1/tenants", json={"tenant": "Not A Name"})),
        ("listDeadLetters", root.get(f"/v1/tenants/{tenant}/dlq")),
        ("parkRecords", root.post(f"/v1/tenants/{tenant}/dlq", json={"records": [{"reason": "r", "body": "aGk="}]})),
        ("readStatus", root.get("/v1/status")),
        ("issueKey", root.post("/v1/keys", json={"person": "p", "scopes": ["read"], "tenants": [tenant]})),
        ("revokeKey", root.delete(f"/v1/keys/{key_id}")),
        ("revokeKey", root.delete(f"/v1/keys/{key_id}x")),
        ("readCaller", root.get("/v1/caller")),
        ("listKeys", root.get("/v1/keys")),
        ("addLogKey", added := root.post(f"/v1/tenants/{tenant}/log-keys")),
        ("retireLogKey", root.delete(f"/v1/tenants/{tenant}/log-keys/{added.json()['vkeys'][1].split('+')[1]}")),
        ("beginRun", begun := root.post("/v1/integrity/runs", json={"tenant": tenant, "level": "payload"})),
        ("readRun", finished(root, begun.json()["number"])),
        ("rebuild", root.post("/v1/rebuild", json={"tenant": tenant})),
        ("freeze", root.post("/v1/integrity/freeze", json={"reason": "a test"})),
        ("readIntegrity", root.get("/v1/integrity")),
        ("recordEvents", root.post(events_path(tenant), json=event(5))),
        ("unfreeze", root.post("/v1/integrity/unfreeze", json={"reason": "a test"})),
        ("beginMaintenance", root.post("/v1/maintenance/on", json={"reason": "a test"})),
        ("endMaintenance", root.post("/v1/maintenance/off", json={"reason": "a test"})),
        ("signStatement", root.post("/v1/statements", json=STATEMENT)),
        ("signStatement", root.post("/v1/statements", json=STATEMENT | {"predicateType": "https://slsa.dev/x"})),
        ("signStatement", root.post("/v1/statements", json=STATEMENT | {"subject": []})),
        ("readEstate", root.get("/v1/estate")),
        ("checkEstate", root.get("/v1/estate/check")),
        ("readImpact", root.get("/v1/estate/impact/x")),
        ("listDatasets", root.get("/v1/datasets")),
        ("readDataset", root.get("/v1/datasets/x")),
        ("listDrills", root.get("/v1/drills")),
        ("readDrill", root.get("/v1/drills/x/1")),
        ("readDrillStatement", root.get("/v1/drills/x/1/statement")),
        ("readDue", root.get("/v1/due")),
        ("readHealth", root.get("/health")),
        ("readServiceHealth", root.get("/health/integrity")),
        ("readMetrics", root.get("/metrics")),
        ("readDocument", root.get("/openapi.json")),
        ("showDocument", root.get("/swagger")),
    ]
    assert {name for name, _ in calls} == {operation["operationId"] for _, _, operation in operations()}
    assert [(name, fault) for name, answer in calls for fault in answer_faults(name, answer)] == []


def finished(root: httpx.Client, number: int) -> httpx.Response:
    """The run once it is done."""
    while (answer := root.get(f"/v1/integrity/runs/{number}")).json()["finished_at"] is None:
        time.sleep(0.05)
    return answer


def answer_faults(operation_id: str, answer: httpx.Response) -> list[str]:
    """What of an answer is not as the document says."""
    (operation,) = (each for _, _, each in operations() if each["operationId"] == operation_id)
    if str(answer.status_code) not in operation["responses"]:
        return [f"{answer.status_code} is not documented: {answer.text[:300]}"]
    described = find(DOCUMENT, operation["responses"][str(answer.status_code)])
    if "content" not in described:
        return [] if not answer.content else ["there is a body"]
    media = answer.headers["content-type"]
    if media not in described["content"]:
        return [f"{media} is not documented"]
    value = answer.json() if "json" in media else answer.text if media.startswith("text/") else ""
    if media.startswith("application/openmetrics"):
        value = answer.text
    return SCHEMAS.faults(value, described["content"][media]["schema"])


@pytest.mark.parametrize(
    "body",
    [
        {"id": None, "schema": None, "time": None, "resource": None, "outcome": None, "context": None},
        {"resource": {"id": "r", "type": None}, "context": {"ip": None, "request_id": "q"}},
        {"resource": {}},
        {"schema": "atp.event/2"},
        {"action": "atp.erase"},
        {"outcome": "maybe"},
        {"id": "white space"},
        {"id": "x" * 201},
        {"actor": {"id": "x" * 8_193}},
        {"actor": {"id": ""}},
        {"context": {"colour": "red"}},
        {"more": 1},
        {"data": None},
    ],
)
def test_the_server_takes_an_event_exactly_when_the_schema_does(
    root: httpx.Client, tenant: str, body: dict[str, Any]
) -> None:
    sent = {"actor": {"id": "a"}, "action": "x"} | body
    is_fit = not SCHEMAS.faults(sent, DOCUMENT["components"]["schemas"]["NewEvent"])
    assert (root.post(events_path(tenant), json=sent).status_code == 200) == is_fit


def test_the_example_of_an_event_is_fit(root: httpx.Client, tenant: str) -> None:
    example = DOCUMENT["paths"][PATH]["post"]["requestBody"]["content"]["application/json"]["example"]
    assert root.post(events_path(tenant), json=example).json()["accepted"] == 1


def test_the_document_is_open_and_of_this_version(served: Served) -> None:
    with caller(served, "") as nobody:
        answer = nobody.get("/openapi.json")
    assert answer.json() == DOCUMENT
    assert (answer.json()["openapi"], answer.json()["info"]["version"]) == ("3.1.0", __version__)


def test_the_page_shows_every_door_and_loads_nothing_from_outside(served: Served) -> None:
    with caller(served, "") as nobody:
        answer = nobody.get("/swagger")
    for _, path, operation in operations():
        assert f'<details id="{operation["operationId"]}">' in answer.text
        assert path in answer.text
    assert not re.search(r"<script|<link|<img|<iframe|\bon\w+=|https?://|@import|url\(", answer.text)
    links = set(re.findall(r'href="#([^"]+)"', answer.text))
    assert links <= set(re.findall(r'id="([^"]+)"', answer.text))


def test_the_page_may_use_its_own_style_and_nothing_else(served: Served) -> None:
    with caller(served, "") as nobody:
        answer = nobody.get("/swagger")
    style = answer.text.partition("<style>")[2].partition("</style>")[0]
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    policy = answer.headers["content-security-policy"]
    assert policy.startswith(f"default-src 'none'; style-src 'sha256-{digest}';")
