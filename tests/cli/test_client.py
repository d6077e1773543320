"""The client asks again when that is safe, never records twice, and names every error as the server does."""

import gzip
import json
from pathlib import Path

import pytest

from atp import errors
from atp.client import Client, ServerBugError, log_path, tenant_path
from atp.errors import AtpError, InvalidError, MalformedError, RateLimitedError, TooLargeError, UnavailableError
from tests.cli.scripted import Told, problem, scripted
from tests.services.loopback import free_port

RECEIPTS = Told(body=b'{"accepted":1,"duplicates":0,"receipts":[]}')


def test_an_event_without_an_id_gets_one_before_the_first_try() -> None:
    answers = [Told(0), problem(503, "unavailable"), RECEIPTS]
    with scripted(lambda _, count: answers[count]) as server, Client(server.url, sleep=lambda _: None) as client:
        assert client.record([{"actor": {"id": "a"}, "action": "x"}], tenant="t")["accepted"] == 1
    sent = [json.loads(one.body) for one in server.asked]
    assert len(sent) == 3
    assert sent[0][0]["id"] and sent[0] == sent[1] == sent[2]


def test_an_id_of_the_caller_stays() -> None:
    with scripted(lambda *_: RECEIPTS) as server, Client(server.url) as client:
        client.record([{"id": "mine", "actor": {"id": "a"}, "action": "x"}], tenant="t", wait_seconds=2)
    assert json.loads(server.asked[0].body)[0]["id"] == "mine"
    assert server.asked[0].path == "/v1/tenants/t/events?wait=2"


def test_retry_after_is_honoured_within_bounds() -> None:
    answers = [
        Told(429, problem(429, "rate_limited").body, {"Retry-After": "7"}),
        Told(503, b"<html>", {"Retry-After": "9999"}),
        Told(),
    ]
    pauses: list[float] = []
    with scripted(lambda _, count: answers[count]) as server, Client(server.url, sleep=pauses.append) as client:
        client.get("/v1/status")
    assert pauses == [7, 30]


def test_pauses_grow_and_the_last_error_is_raised() -> None:
    pauses: list[float] = []
    with (
        scripted(lambda *_: problem(503, "unavailable")) as server,
        Client(server.url, tries=6, sleep=pauses.append) as client,
        pytest.raises(UnavailableError, match="could not"),
    ):
        client.get("/v1/status")
    assert len(server.asked) == 6 and len(pauses) == 5
    assert 0.1 <= pauses[0] <= 0.2 and 1.6 <= pauses[4] <= 3.2


def test_what_is_not_repeatable_is_sent_once() -> None:
    with (
        scripted(lambda *_: Told(0)) as server,
        Client(server.url) as client,
        pytest.raises(UnavailableError, match="could not reach"),
    ):
        client.request("POST", "/v1/keys", body=b"{}")
    assert len(server.asked) == 1


def test_nobody_at_home_is_unavailable() -> None:
    pauses: list[float] = []
    with (
        Client(f"http://127.0.0.1:{free_port()}", tries=3, sleep=pauses.append) as client,
        pytest.raises(UnavailableError, match="Connection refused"),
    ):
        client.get("/health")
    assert len(pauses) == 2


def test_a_connection_is_kept_and_bodies_are_packed() -> None:
    with scripted(lambda *_: RECEIPTS) as server, Client(server.url, key="atp_k") as client:
        client.send([b'{"id":"%d"}' % number for number in range(500)], tenant="t")
        client.get("/v1/status", {"limit": 3, "cursor": None})
    assert [one.path for one in server.asked] == ["/v1/tenants/t/events", "/v1/status?limit=3"]
    assert server.asked[0].headers["content-encoding"] == "gzip"
    assert server.asked[0].headers["authorization"] == "Bearer atp_k"
    assert len(json.loads(server.asked[0].body)) == 500


@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [
        (400, "malformed", errors.MalformedError),
        (422, "invalid", errors.InvalidError),
        (401, "unauthorized", errors.UnauthorizedError),
        (403, "forbidden", errors.ForbiddenError),
        (413, "too_large", errors.TooLargeError),
        (404, "missing", errors.MissingError),
        (409, "conflict", errors.ConflictError),
        (500, "tampered", errors.TamperedError),
        (500, "bug", ServerBugError),
        (405, "method_not_allowed", errors.RefusedError),
        (418, "new_in_a_later_version", errors.RefusedError),
    ],
)
def test_an_error_of_the_server_has_its_own_name_here(status: int, code: str, kind: type[AtpError]) -> None:
    faults = [{"position": 3, "field": "actor.id", "reason": "is missing"}, "nonsense", {"position": "x"}]
    told = problem(status, code, hint="do this", errors=faults)
    with scripted(lambda *_: told) as server, Client(server.url) as client, pytest.raises(AtpError) as caught:
        client.get("/x")
    assert type(caught.value) is kind
    assert str(caught.value) == "could not (hint: do this)"
    assert [(one.position, one.field) for one in caught.value.errors] == [(3, "actor.id")]


@pytest.mark.parametrize(("status", "kind"), [(404, errors.MissingError), (302, errors.RefusedError)])
def test_an_answer_of_something_else_is_told_apart(status: int, kind: type[AtpError]) -> None:
    with (
        scripted(lambda *_: Told(status, b"<html>", {"Location": "http://example.org"})) as server,
        Client(server.url) as client,
        pytest.raises(kind, match="check the URL"),
    ):
        client.get("/x")


def test_a_rate_limit_says_when_to_come_again() -> None:
    told = Told(429, problem(429, "rate_limited").body, {"Retry-After": "3"})
    with (
        scripted(lambda *_: told) as server,
        Client(server.url, tries=1) as client,
        pytest.raises(RateLimitedError) as caught,
    ):
        client.get("/x")
    assert caught.value.retry_after_seconds == 3


def test_packed_answers_are_unpacked_and_bounded() -> None:
    bomb = gzip.compress(bytes(300 * 1024 * 1024), 9)
    bodies = [gzip.compress(b'{"a":1}'), b"not gzip", bomb]
    headers = {"Content-Encoding": "gzip"}
    with (
        scripted(lambda _, count: Told(200, bodies[count], headers)) as server,
        Client(server.url, tries=1) as client,
    ):
        assert client.get("/x").json() == {"a": 1}
        with pytest.raises(MalformedError, match="not gzip"):
            client.get("/x")
        with pytest.raises(TooLargeError, match="268,435,456"):
            client.get("/x")


def test_an_answer_that_is_no_json_is_malformed() -> None:
    with (
        scripted(lambda *_: Told(body=b"<html>")) as server,
        Client(server.url) as client,
        pytest.raises(MalformedError, match="not JSON"),
    ):
        client.get("/x").json()


@pytest.mark.parametrize(
    "url",
    [
        "",
        "localhost:8600",
        "ftp://x",
        "http://",
        "http://h:99999",
        "http://u@h",
        "http://h/?a=1",
        "http://h/a b",
        "http://h/\r\nX: y",
        "http://[::1",
        "http://h:0",
    ],
)
def test_a_url_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(InvalidError, match="could not use the URL"):
        Client(url)


@pytest.mark.parametrize("key", ["", "two words", "line\nbreak", "schlüssel"])
def test_a_key_that_is_none_is_refused_without_being_shown(key: str) -> None:
    with pytest.raises(InvalidError) as caught:
        Client("http://h", key=key)
    assert not key or key not in str(caught.value)


def test_paths_keep_what_an_id_may_hold() -> None:
    assert tenant_path("a", "events", "x/../y?z#%/proof") == "/v1/tenants/a/events/x%2F..%2Fy%3Fz%23%25%2Fproof"
    assert tenant_path("a", "events", "a:b@c+d=e~f.g_h-i") == "/v1/tenants/a/events/a:b@c+d=e~f.g_h-i"
    assert log_path("a/b", "tile/0/000") == "/log/a%2Fb/tile/0/000"


def test_a_url_may_have_a_path() -> None:
    with scripted(lambda *_: Told()) as server, Client(server.url + "/atp/") as client:
        client.get("/v1/status")
    assert server.asked[0].path == "/atp/v1/status"


def test_a_download_that_breaks_off_begins_anew(tmp_path: Path) -> None:
    short = Told(200, b"half", {"Content-Length": "8"})
    with (
        scripted(lambda _, count: Told(200, b"complete") if count else short) as server,
        Client(server.url, timeout_seconds=2, sleep=lambda _: None) as client,
        (tmp_path / "file").open("w+b") as file,
    ):
        client.download("/x", {}, into=file)
    assert (tmp_path / "file").read_bytes() == b"complete"
