"""`expect` is the lock of acts: who decided on an older state of a resource is refused, and nothing is recorded."""

import json
import threading
from typing import Any

import httpx
import pytest

from atp.limits import EXPECT_EVENTS_MAX, EXPECT_RESOURCES_MAX
from tests.api.calling import caller, event, events_path, problem
from tests.web.serving import Served

PATH = events_path("operations")


def act(number: int, resource: str) -> dict[str, Any]:
    return event(
        number, id=f"{resource}-{number}", action="incident.update", resource={"id": resource, "type": "incident"}
    )


def post(
    client: httpx.Client, expect: object, *events: dict[str, Any], path: str = PATH, **more: str
) -> httpx.Response:
    return client.post(path, params={"expect": json.dumps(expect), **more}, json=list(events))


def index_of(answer: httpx.Response) -> int:
    assert answer.status_code == 200, answer.text
    return int(answer.json()["receipts"][-1]["index"])


@pytest.mark.parametrize("wait", ["0", "10"], ids=["at once", "when published"])
def test_the_first_of_two_that_decided_on_the_same_state_wins(root: httpx.Client, wait: str) -> None:
    name = f"inc-{wait}"
    first = index_of(post(root, {name: -1}, act(1, name), wait=wait))
    late = problem(post(root, {name: -1}, act(2, name)), 409, "conflict")
    assert f"{name} has a newer entry, index {first}" in late["detail"]
    assert late["hint"] == "read it, decide again, and expect that index"
    second = index_of(post(root, {name: first}, act(2, name), wait=wait))
    problem(post(root, {name: first}, act(3, name)), 409, "conflict")
    index_of(post(root, {name: second, "inc-other": -1}, act(3, name)))


@pytest.mark.parametrize("wait", ["0", "10"], ids=["at once", "when published"])
def test_the_same_request_may_be_sent_again(root: httpx.Client, wait: str) -> None:
    name = f"again-{wait}"
    first = index_of(post(root, {name: -1}, act(1, name), act(2, name), wait=wait))
    answer = post(root, {name: -1}, act(1, name), act(2, name))
    assert (index_of(answer), answer.json()["duplicates"]) == (first, 2)


def test_of_many_at_once_exactly_one_gets_through(served: Served) -> None:
    codes = list[int]()

    def send(number: int) -> None:
        with caller(served) as client:
            codes.append(post(client, {"race": -1}, act(number, "race")).status_code)

    threads = [threading.Thread(target=send, args=(number,)) for number in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(codes) == [200, *[409] * 11]


def test_other_entries_of_the_log_are_no_news(root: httpx.Client) -> None:
    first = index_of(post(root, {"quiet": -1}, act(1, "quiet")))
    post(root, {"loud": -1}, act(1, "loud"), wait="10")
    index_of(post(root, {"quiet": first}, act(2, "quiet")))


@pytest.mark.parametrize(
    "expect",
    [
        "",
        "7",
        "{}",
        "[]",
        '{"a":-2}',
        '{"a":1.5}',
        '{"a":"1"}',
        '{"a":99999999999999999999}',
        '{"":1}',
        "[" * 5_000,
        json.dumps({f"r-{number}": 1 for number in range(EXPECT_RESOURCES_MAX + 1)}),
    ],
)
def test_what_is_no_expectation_is_refused(root: httpx.Client, expect: str) -> None:
    answer = root.post(PATH, params={"expect": expect}, json=[act(1, "never")])
    assert problem(answer, 422, "invalid")["detail"].startswith("could not use the parameter 'expect'")


def test_it_is_for_the_trail_of_operators_and_for_few_events(root: httpx.Client, tenant: str) -> None:
    for answer in (
        post(root, {"a": -1}, act(1, "a"), path=events_path(tenant)),
        post(root, {"a": -1}, act(1, "a"), invalid="park"),
        post(root, {"a": -1}, *(act(number, "a") for number in range(EXPECT_EVENTS_MAX + 1))),
    ):
        problem(answer, 422, "invalid")


def test_who_may_not_read_the_trail_cannot_learn_from_it(served: Served) -> None:
    _, key = served.issue_key("operations", scopes=("ingest",), person="dave")
    with caller(served, key) as dave:
        problem(post(dave, {"secret": -1}, act(1, "secret")), 403, "forbidden")


def test_a_caller_is_told_whose_key_it_is(served: Served) -> None:
    key_id, key = served.issue_key("operations", scopes=("read", "ingest"), person="erin")
    with caller(served, key) as erin:
        assert erin.get("/v1/caller").json() == {
            "person": "erin",
            "key_id": key_id,
            "scopes": ["read", "ingest"],
            "tenants": ["operations"],
        }
    with caller(served, "") as nobody:
        problem(nobody.get("/v1/caller"), 401, "unauthorized")
