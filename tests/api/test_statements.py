"""Statements that the installation signs, and tells the operators' trail of."""

import json
from hashlib import sha256

import httpx
import pytest

from atp.limits import STATEMENT_BYTES_MAX, STATEMENT_SUBJECTS_MAX
from atp.merkle.keys import parse_vkey
from atp.ops.record.statement import check_statement
from tests.api.calling import caller, event, events_path, problem
from tests.web.serving import Served

PATH = "/v1/statements"
STATEMENT = {
    "_type": "https://in-toto.io/Statement/v1",
    "subject": [{"name": "estate.yaml", "digest": {"sha256": "e" * 64}}],
    "predicateType": "urn:atp:drill:1",
    "predicate": {"verdict": "pass"},
}


def test_the_evidence_key_signs_and_the_trail_names_the_digest(served: Served, root: httpx.Client) -> None:
    answer = root.post(PATH, json=STATEMENT)
    assert answer.status_code == 201
    _, _, rest = answer.text.partition('"envelope":')
    envelope, _, _ = rest.partition(',"sha256":"')
    found = answer.json()
    assert sha256(envelope.encode()).hexdigest() == found["sha256"], "the digest is of the bytes in the answer"
    statement = check_statement(envelope.encode(), trusted_keys=[parse_vkey(found["vkey"])])
    assert json.loads(bytes(statement.predicate)) == {"verdict": "pass"}
    root.post(f"{events_path('operations')}?wait=10", json=event(1))  # what was told before is published then
    first = root.get(events_path("operations"), params={"order": "index", "limit": 1}).json()["events"][0]
    assert first["data"]["evidence_vkey"] == found["vkey"]
    [told] = root.get(events_path("operations"), params={"resource": found["sha256"]}).json()["events"]
    assert (told["action"], told["actor"]["id"]) == ("statement.sign", "root")
    assert told["data"]["predicate_type"] == "urn:atp:drill:1" and told["data"]["subjects_sha256"] == ["e" * 64]


def test_only_who_may_write_acts_has_something_signed(served: Served, root: httpx.Client, tenant: str) -> None:
    for scopes, tenants, status, code in (
        (["read", "export"], ["operations"], 403, "forbidden"),
        (["ingest"], [tenant], 404, "missing"),
    ):
        issued = root.post("/v1/keys", json={"person": "carol", "scopes": scopes, "tenants": tenants}).json()
        with caller(served, issued["key"]) as carol:
            problem(carol.post(PATH, json=STATEMENT), status, code)
    with caller(served, "") as nobody:
        problem(nobody.post(PATH, json=STATEMENT), 401, "unauthorized")
    issued = root.post("/v1/keys", json={"person": "dora", "scopes": ["ingest"], "tenants": ["operations"]}).json()
    with caller(served, issued["key"]) as dora:
        assert dora.post(PATH, json=STATEMENT).status_code == 201


@pytest.mark.parametrize(
    ("changes", "status", "code"),
    [
        ({"predicateType": "https://slsa.dev/provenance/v1"}, 422, "invalid"),
        ({"predicateType": "urn:atp:" + "x" * 200}, 422, "invalid"),
        ({"subject": STATEMENT["subject"] * (STATEMENT_SUBJECTS_MAX + 1)}, 422, "invalid"),  # type: ignore[operator]
        ({"subject": []}, 400, "malformed"),
        ({"subject": [{"name": "x", "digest": {"sha256": "short"}}]}, 400, "malformed"),
        ({"predicate": [1]}, 400, "malformed"),
        ({"_type": "something"}, 400, "malformed"),
        ({"predicate": {"x": "x" * STATEMENT_BYTES_MAX}}, 413, "too_large"),
    ],
)
def test_what_the_platform_does_not_make_is_not_signed(
    root: httpx.Client, changes: dict[str, object], status: int, code: str
) -> None:
    problem(root.post(PATH, json=STATEMENT | changes), status, code)
    problem(root.post(PATH, content=b"{"), 400, "malformed")
