"""Events in: every body that is taken, what refuses a batch, what parking and waiting do."""

import gzip
import json
import threading
import time
from pathlib import Path
from typing import Any

import httpx
import pytest

from atp import limits
from tests.api.calling import caller, connect, event, events_path, faults, lines, problem, record
from tests.web.serving import Served, serving

_SMALL = b'{"actor":{"id":"a"},"action":"x"}'
_CLOUD_EVENT = {
    "specversion": "1.0",
    "id": "c-1",
    "source": "/invoices",
    "type": "com.example.invoice.approved",
    "subject": "inv-7",
    "data": {"user": "alice"},
}


def post(client: httpx.Client, tenant: str, body: bytes, media: str = "application/json", query: str = "") -> Any:
    return client.post(events_path(tenant) + query, content=body, headers={"Content-Type": media})


@pytest.mark.parametrize(
    ("media", "body"),
    [
        ("application/json", json.dumps(event(1)).encode()),
        ("application/json; charset=utf-8", json.dumps([event(1)], indent=2).encode()),
        ("application/x-www-form-urlencoded", json.dumps(event(1)).encode()),
        ("application/x-ndjson", b"\n" + lines([event(1)]) + b"\r\n"),
        ("application/cloudevents+json", json.dumps(_CLOUD_EVENT).encode()),
        ("application/cloudevents-batch+json", json.dumps([_CLOUD_EVENT]).encode()),
        ("application/octet-stream", gzip.compress(lines([event(1)]), mtime=0)),
        ("text/plain", json.dumps(_CLOUD_EVENT).encode()),
    ],
)
def test_every_kind_of_body_is_recorded(root: httpx.Client, tenant: str, media: str, body: bytes) -> None:
    answer = post(root, tenant, body, media)
    assert answer.status_code == 200, answer.text
    assert answer.json().keys() == {"accepted", "duplicates", "receipts"}
    assert answer.json()["accepted"] == 1
    assert post(root, tenant, body, media).json()["duplicates"] == 1


def test_a_body_without_content_type_is_json(root: httpx.Client, tenant: str) -> None:
    request = root.build_request("POST", events_path(tenant), content=json.dumps(event(1)).encode())
    request.headers.pop("Content-Type", None)
    assert root.send(request).status_code == 200


def test_receipts_stand_in_request_order(root: httpx.Client, tenant: str) -> None:
    record(root, tenant, event(1), event(2))
    receipts = record(root, tenant, event(3), event(2), event(4), event(3))
    assert [(r["id"], r["index"], r["duplicate"]) for r in receipts] == [
        ("e-3", 2, False),
        ("e-2", 1, True),
        ("e-4", 3, False),
        ("e-3", 2, True),
    ]


def test_auto_reads_records_of_several_sources_in_one_body(root: httpx.Client, tenant: str) -> None:
    audit = {
        "kind": "Event",
        "apiVersion": "audit.k8s.io/v1",
        "auditID": "k-1",
        "verb": "delete",
        "stage": "ResponseComplete",
        "user": {"username": "bob"},
        "requestURI": "/api/v1/pods/p",
    }
    answer = post(root, tenant, lines([event(1), _CLOUD_EVENT, audit]), query="?format=auto&wait=10")
    assert answer.json()["accepted"] == 3, answer.text
    found = root.get(events_path(tenant)).json()["events"]
    assert {each["actor"]["id"] for each in found} >= {"alice", "bob"}


def test_data_is_kept_byte_for_byte(root: httpx.Client, tenant: str) -> None:
    deep = "[" * 200 + "1" + "]" * 200
    data = f'{{"z":9007199254740993,"a":1.10,"e":1E400,"z":"\\u00e9é\\/","n":[ ],"deep":{deep}}}'
    body = f'{{"id":"x","actor":{{"id":"Zoë 🙂"}},"action":"löschen","data":{data}}}'
    assert post(root, tenant, body.encode(), query="?wait=10").status_code == 200
    answer = root.get(f"{events_path(tenant)}/x").text
    assert answer.endswith(f',"data":{data}}}')
    assert '"actor":{"id":"Zoë 🙂"},"action":"löschen"' in answer
    assert f'"data":{data}}}' in root.get(events_path(tenant), params={"text": "löschen"}).text


def test_one_unfit_event_refuses_the_batch_and_every_fault_is_named(root: httpx.Client, tenant: str) -> None:
    unfit = {"actor": {"id": "", "age": 3}, "colour": "red"}
    answer = root.post(events_path(tenant), json=[event(1), unfit, event(2, time="yesterday"), event(3, id="a b")])
    assert "could not accept 3 of 4 events" in problem(answer, 422, "invalid")["detail"]
    assert {(1, "action"), (1, "colour"), (2, "time"), (3, "id")} <= set(faults(answer))
    assert root.get(events_path(tenant)).json()["events"] == []


@pytest.mark.parametrize(
    ("body", "status", "field"),
    [
        (b'{"actor":{"id":"a"},"action":"x","action":"y"}', 400, "action"),
        (b'{"actor":{"id":"a","id":"b"},"action":"x"}', 400, "actor.id"),
        (b'{"actor":{"id":"\xff"},"action":"x"}', 400, "body"),
        (b'{"actor":{"id":"a"},"action":"x","data":%s1%s}' % (b"[" * 300, b"]" * 300), 400, "data"),
        (b'{"actor":{"id":"a"},"action":"x"', 400, "event"),
        (b"[1, 2]", 400, "event"),
        (b'{"schema":"atp.event/9","actor":{"id":"a"},"action":"x"}', 422, "schema"),
        (b'{"actor":{"id":"a"},"action":"atp.erase"}', 422, "action"),
        (b'{"actor":{"id":"a"},"action":"x","outcome":"maybe"}', 422, "outcome"),
        (b"null", 400, "event"),
    ],
)
def test_what_is_wrong_with_an_event_is_named(
    root: httpx.Client, tenant: str, body: bytes, status: int, field: str
) -> None:
    answer = post(root, tenant, body)
    problem(answer, status, {400: "malformed", 422: "invalid"}[status])
    assert (0, field) in faults(answer)


@pytest.mark.parametrize("body", [b"", b" \n", b"nonsense", b"[", b"{", b'"text"', b"[" * 100_000, b"\x00\x01"])
def test_a_body_that_is_nothing_is_malformed(root: httpx.Client, tenant: str, body: bytes) -> None:
    problem(post(root, tenant, body), 400, "malformed")


def test_a_bad_line_is_named_by_its_position(root: httpx.Client, tenant: str) -> None:
    body = lines([event(0), event(1)]) + b'{"broken\n' + lines([event(3)])
    answer = post(root, tenant, body, "application/x-ndjson")
    problem(answer, 400, "malformed")
    assert [position for position, _ in faults(answer)] == [2]


def test_parking_records_what_is_fit_and_parks_the_rest_once(root: httpx.Client, tenant: str) -> None:
    record(root, tenant, event(7))
    body = lines([event(0), {"action": "x"}, event(7, action="other")]) + b"garbage\n" + lines([event(4)])
    for is_again in (False, True):
        answer = post(root, tenant, body, "application/x-ndjson", "?invalid=park")
        assert answer.status_code == 200, answer.text
        assert [receipt["duplicate"] for receipt in answer.json()["receipts"]] == [is_again, is_again]
        assert answer.json()["parked"] == 3
        assert faults(answer) == [(1, "actor"), (2, "id"), (3, "event")]
    letters = root.get(f"/v1/tenants/{tenant}/dlq").json()
    assert letters["count"] == len(letters["records"]) == 3


def test_a_foreign_record_that_cannot_be_read_is_named_or_parked(root: httpx.Client, tenant: str) -> None:
    body = lines([event(0)]) + b"what is this\n"
    answer = post(root, tenant, body, "text/plain")
    problem(answer, 422, "invalid")
    assert faults(answer) == [(1, "record")]
    assert post(root, tenant, body, "text/plain", "?invalid=park").json()["parked"] == 1


def test_the_same_id_with_other_content_is_a_conflict(root: httpx.Client, tenant: str) -> None:
    record(root, tenant, event(1, data={"a": 1, "b": 2}))
    reordered = b'{ "action": "invoice.approve", "id": "e-1", "data": {"b":2, "a":1}, "actor": {"id": "alice"} }'
    assert post(root, tenant, reordered).json()["duplicates"] == 1
    answer = root.post(events_path(tenant), json=[event(5), event(1, data={"a": 1, "b": 3})])
    problem(answer, 409, "conflict")
    assert faults(answer) == [(1, "id")]
    assert root.get(f"{events_path(tenant)}/e-5").status_code == 404


def test_waiting_answers_when_the_events_are_found(root: httpx.Client, tenant: str) -> None:
    for number in range(5):
        answer = root.post(f"{events_path(tenant)}?wait=10", json=event(number)).json()
        assert answer["published"] is True
        assert root.get(events_path(tenant)).json()["events"][0]["id"] == f"e-{number}"


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("?format=xml", "format"),
        ("?invalid=drop", "invalid"),
        ("?wait=61", "wait"),
        ("?wait=-1", "wait"),
        ("?wait=nan", "wait"),
        ("?wait=1&wait=2", "wait"),
        ("?sort=up", "sort"),
    ],
)
def test_a_wrong_parameter_is_refused_by_name(root: httpx.Client, tenant: str, query: str, field: str) -> None:
    answer = root.post(events_path(tenant) + query, json=event(1))
    problem(answer, 422, "invalid")
    assert faults(answer) == [(0, field)]


@pytest.mark.parametrize("media", ["application/xml", "multipart/form-data", "json"])
def test_another_media_type_is_unsupported(root: httpx.Client, tenant: str, media: str) -> None:
    problem(post(root, tenant, b"{}", media), 415, "unsupported_media_type")


def test_too_many_events_are_refused_before_they_are_read(root: httpx.Client, tenant: str) -> None:
    too_many = b"[%b]" % b",".join([_SMALL] * (limits.BATCH_EVENTS_MAX + 1))
    problem(post(root, tenant, too_many), 413, "too_large")
    problem(post(root, tenant, too_many[1:-1].replace(b"},{", b"}\n{"), "application/x-ndjson"), 413, "too_large")
    problem(post(root, tenant, b"[" + b"[]," * 10_000_000), 413, "too_large")


@pytest.mark.parametrize("size", [limits.ENTRY_BYTES_MAX - 100, limits.ENTRY_BYTES_MAX + 1, 1_000_000])
def test_an_entry_over_its_bound_is_refused_by_size_or_parked(root: httpx.Client, tenant: str, size: int) -> None:
    batch = [event(0), event(1, data="x" * size)]
    answer = root.post(events_path(tenant), json=batch)
    assert "65,535" in problem(answer, 413, "too_large")["errors"][0]["reason"]
    answer = root.post(f"{events_path(tenant)}?invalid=park", json=batch)
    assert (answer.json()["accepted"], answer.json()["parked"], faults(answer)) == (1, 1, [(1, "event")])


def test_a_server_that_is_full_refuses_and_loses_nothing(tmp_path: Path) -> None:
    with serving(tmp_path / "data", is_started=False) as served:
        batch = b"[%b]" % b",".join([_SMALL] * limits.BATCH_EVENTS_MAX)
        answers: list[httpx.Response] = []

        def send() -> None:
            with caller(served) as client:
                answers.append(post(client, "default", batch))

        senders = [threading.Thread(target=send) for _ in range(limits.QUEUE_EVENTS_MAX // limits.BATCH_EVENTS_MAX)]
        for sender in senders:
            sender.start()
        while served.platform.committer.waiting_events() < limits.QUEUE_EVENTS_MAX:
            time.sleep(0.01)
        with caller(served) as client:
            refusal = post(client, "default", json.dumps(event(1)).encode())
            problem(refusal, 503, "unavailable")
            assert int(refusal.headers["retry-after"]) >= 1
            assert client.get("/health/ready").status_code == 503
        served.platform.start()
        for sender in senders:
            sender.join()
        assert sum(answer.json()["accepted"] for answer in answers) == limits.QUEUE_EVENTS_MAX


def test_a_client_that_goes_away_loses_nothing(served: Served, root: httpx.Client, tenant: str) -> None:
    body = json.dumps(event(1)).encode()
    with connect(served) as connection:
        head = f"POST {events_path(tenant)}?wait=10 HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {served.key}\r\n"
        connection.sendall(head.encode() + b"Content-Length: %d\r\n\r\n%b" % (len(body), body))
    deadline = time.monotonic() + 10
    while root.get(f"{events_path(tenant)}/e-1").status_code == 404:
        assert time.monotonic() < deadline
        time.sleep(0.02)
