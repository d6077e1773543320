"""Events out: every filter, pages, and one event with its proof and its entry."""

from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from atp.log.event import read_entry
from atp.merkle.hashes import leaf_hash
from atp.merkle.keys import parse_vkey
from atp.merkle.tlogproof import check_tlog_proof, parse_tlog_proof
from tests.api.calling import event, events_path, faults, problem, record
from tests.web.serving import Served

_HOUR = "2026-03-10T{:02d}:00:00Z"
ODD_IDS = ("with/slash", "ends/proof", "ends/entry", "a:b@c+d=e~f", "@0", "events/", "proof", "/")


@pytest.fixture(scope="module")
def told(served: Served, root: httpx.Client) -> str:
    """A tenant with twelve events: three actors, two actions, one an hour."""
    name = served.tenant("told")
    for hour in range(12):
        resource, outcome = {"id": f"inv-{hour % 4}"}, "success" if hour % 3 else "denied"
        more = {"time": _HOUR.format(hour), "resource": resource, "outcome": outcome, "data": {"note": f"Café {hour}"}}
        record(root, name, event(hour, actor={"id": f"clerk-{hour % 3}"}, action=f"do.{hour % 2}", **more))
    return name


def ask(client: httpx.Client, tenant: str, **question: Any) -> list[int]:
    answer = client.get(events_path(tenant), params=question)
    assert answer.status_code == 200, answer.text
    return [each["index"] for each in answer.json()["events"]]


@pytest.mark.parametrize(
    ("question", "indexes"),
    [
        ({}, [11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0]),
        ({"actor": "clerk-1"}, [10, 7, 4, 1]),
        ({"action": "do.1", "actor": "clerk-1"}, [7, 1]),
        ({"resource": "inv-3", "order": "index"}, [3, 7, 11]),
        ({"outcome": "denied"}, [9, 6, 3, 0]),
        ({"since": _HOUR.format(10)}, [11, 10]),
        ({"until": _HOUR.format(2)}, [1, 0]),
        ({"since": "2026-03-10T03:00:00+02:00", "until": _HOUR.format(3)}, [2, 1]),
        ({"text": "CAFÉ 7"}, [7]),
        ({"text": "café nowhere"}, []),
        ({"text": "* OR 1=1 --"}, []),
        ({"actor": "CLERK-1"}, []),
        ({"received_until": "2020-01-01T00:00:00Z"}, []),
        ({"limit": 2}, [11, 10]),
    ],
)
def test_a_filter_answers_what_holds(
    root: httpx.Client, told: str, question: dict[str, Any], indexes: list[int]
) -> None:
    assert ask(root, told, **question) == indexes


def test_an_event_is_answered_with_its_place_and_its_own_members(root: httpx.Client, told: str) -> None:
    found = root.get(events_path(told), params={"limit": 1}).json()
    (answered,) = found["events"]
    assert list(answered)[:3] == ["index", "received_at", "by"]
    assert (answered["index"], answered["by"], answered["id"]) == (11, "root", "e-11")
    assert answered["data"] == {"note": "Café 11"}
    assert found["freshness"] == {"size": 12, "viewed_size": 12, "lag_seconds": 0.0}


def test_received_at_narrows_to_the_instant(root: httpx.Client, told: str) -> None:
    received_at = root.get(f"{events_path(told)}/@5").json()["received_at"]
    assert ask(root, told, received_since=received_at)[-1] == 5
    assert ask(root, told, received_until=received_at)[0] == 4


@pytest.mark.parametrize("order", ["index", "-index"])
def test_pages_give_every_event_once_while_the_log_grows(root: httpx.Client, tenant: str, order: str) -> None:
    record(root, tenant, *(event(number) for number in range(150)))
    found = [index for page in pages(root, tenant, {"order": order, "limit": 40}) for index in page]
    assert found == sorted(range(150), reverse=order == "-index")


def pages(client: httpx.Client, tenant: str, question: dict[str, Any]) -> Iterator[list[int]]:
    """Every page of a question; before each one more event is recorded, which no page of it may show."""
    cursor: str | None = ""
    while cursor is not None:
        answer = client.get(events_path(tenant), params=question | ({"cursor": cursor} if cursor else {})).json()
        yield [each["index"] for each in answer["events"]]
        cursor = answer["next"]
        record(client, tenant, {"actor": {"id": "late"}, "action": "come"})


@pytest.mark.parametrize(
    ("question", "field"),
    [
        ({"colour": "red"}, "colour"),
        ({"since": "yesterday"}, "since"),
        ({"until": "2026-02-30T00:00:00Z"}, "until"),
        ({"received_since": "2026-01-01"}, "received_since"),
        ({"received_until": "1"}, "received_until"),
        ({"limit": 0}, "limit"),
        ({"limit": 1_001}, "limit"),
        ({"limit": "ten"}, "limit"),
        ({"order": "time"}, "order"),
        ({"actor": ""}, "actor"),
        ({"actor": "a" * 8_193}, "actor"),
        ({"actor": ["a", "b"]}, "actor"),
    ],
)
def test_a_wrong_question_is_refused_by_name(
    root: httpx.Client, told: str, question: dict[str, Any], field: str
) -> None:
    answer = root.get(events_path(told), params=question)
    problem(answer, 422, "invalid")
    assert faults(answer) == [(0, field)]


@pytest.mark.parametrize("cursor", ["", "x", "A" * 32, "é", "%00"])
def test_a_cursor_that_was_not_handed_out_is_malformed(root: httpx.Client, told: str, cursor: str) -> None:
    answer = root.get(events_path(told), params={"cursor": cursor})
    if cursor:
        problem(answer, 400, "malformed")
    else:
        assert answer.status_code == 200


def test_a_cursor_belongs_to_its_question(root: httpx.Client, told: str) -> None:
    cursor = root.get(events_path(told), params={"limit": 1}).json()["next"]
    problem(root.get(events_path(told), params={"limit": 1, "actor": "x", "cursor": cursor}), 400, "malformed")


@pytest.mark.parametrize("event_id", ODD_IDS)
def test_an_event_of_any_id_is_read_proven_and_shown(root: httpx.Client, tenant: str, event_id: str) -> None:
    record(root, tenant, event(0))
    (receipt,) = record(root, tenant, event(1, id=event_id))
    path = f"{events_path(tenant)}/{event_id.replace('/', '%2F')}"
    place = f"{events_path(tenant)}/@1"
    assert root.get(path if event_id != "@0" else place).json()["id"] == event_id
    entry = root.get(f"{place}/entry").content
    assert leaf_hash(entry).hex() == receipt["leaf_hash"]
    vkey = parse_vkey(root.get(f"/log/{tenant}/vkey").text.strip())
    proof = parse_tlog_proof(root.get(f"{place}/proof").content)
    check_tlog_proof(proof, leaf_hash=leaf_hash(entry), origin=vkey.name, log_keys=[vkey])
    assert proof.index == 1
    if event_id != "@0":
        assert root.get(f"{path}/entry").content == entry


def test_a_slash_of_an_id_may_stand_as_it_is(root: httpx.Client, tenant: str) -> None:
    record(root, tenant, event(1, id="a/b/c"))
    assert root.get(f"{events_path(tenant)}/a/b/c").json()["id"] == "a/b/c"
    assert root.get(f"{events_path(tenant)}/a/b/c/proof").headers["content-type"].startswith("text/plain")


def test_an_entry_holds_exactly_what_the_event_said(root: httpx.Client, told: str) -> None:
    entry = root.get(f"{events_path(told)}/e-3/entry").content
    assert root.get(f"{events_path(told)}/e-3").content.endswith(bytes(read_entry(entry).event)[1:])


@pytest.mark.parametrize("name", ["nowhere", "@12", "@-1", "@" + "9" * 5_000, "@", "", "e-1/", "e-1/proofs", "%20"])
@pytest.mark.parametrize("tail", ["", "/proof", "/entry"])
def test_an_event_that_is_not_there_is_missing(root: httpx.Client, told: str, name: str, tail: str) -> None:
    problem(root.get(f"{events_path(told)}/{name}{tail}"), 404, "missing")
