"""What the pages say, and to whom."""

import re
import shlex
import subprocess
import sys
from collections.abc import Callable
from html import unescape
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from atp.cli.main import program
from atp.limits import FRAME_ENTRIES, LOGS_SHOWN_MAX, SCAN_FRAMES_MAX
from atp.log.query import Question
from atp.web.events import verify_steps
from tests.web.serving import Served, csrf_of, serving

EVENT = {"actor": {"id": "alice"}, "action": "invoice.approve", "resource": {"id": "inv-7"}, "outcome": "success"}
ODD = [
    "<script>alert(1)</script>",
    "'\"><img src=x onerror=alert(1)>",
    "a\u202eb",
    "%00&tenant=x",
    "{{7*7}}",
    "😀",
]


def _indexes(page: str) -> list[int]:
    return [int(index) for index in re.findall(r'data-index="(\d+)"', page)]


def _commands(page: str) -> list[str]:
    return [
        unescape(re.sub("<[^>]+>", "", code)) for code in re.findall(r"<pre[^>]*><code>(.*?)</code>", page, re.DOTALL)
    ]


@pytest.fixture
def empty(served: Served, request: pytest.FixtureRequest) -> str:
    """A tenant of this test alone."""
    return served.tenant(re.sub("[^a-z0-9]+", "-", request.node.name.lower())[:60].strip("-"))


def test_a_timeline_looks_further_until_it_has_a_page(served: Served, empty: str) -> None:
    meets, fails = {**EVENT, "data": "wire fraud"}, {**EVENT, "data": "fraud wire"}
    served.record(meets, *[fails] * (FRAME_ENTRIES * (SCAN_FRAMES_MAX + 1)), tenant=empty)
    question = Question(text="wire-fraud")
    first = served.platform.ask(question, by=served.root, tenant=empty)
    assert first.events == [] and first.next, "every frame holds both words: one page is not enough"
    page = served.visitor().get("/", params={"tenant": empty, "text": question.text}).text
    assert _indexes(page) == [0] and "Look further" not in page


def test_an_empty_timeline_shows_a_command_that_records_the_first_event(served: Served, empty: str) -> None:
    page = served.visitor().get(f"/?tenant={empty}").text
    command = next(command for command in _commands(page) if command.startswith("curl"))
    assert served.key not in page
    done = subprocess.run(["sh", "-c", command], capture_output=True, text=True, check=True)
    assert '"accepted":1' in done.stdout


@pytest.mark.parametrize(("name", "actions"), [("Python", "invoice.approve"), ("Python logging", "invoice.approve")])
def test_a_snippet_runs_as_it_is(served: Served, empty: str, tmp_path: Path, name: str, actions: str) -> None:
    page = served.visitor().get(f"/logs?tenant={empty}").text
    section = page.partition(f"<h3>{name}</h3>")[2]
    (tmp_path / "snippet.py").write_text(_commands(section)[0])
    done = subprocess.run([sys.executable, tmp_path / "snippet.py"], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    served.record({"actor": {"id": "x"}, "action": "after"}, tenant=empty)
    found = served.platform.ask(Question(action=actions, actor="alice"), by=served.root, tenant=empty)
    assert len(found.events) == 1


def test_the_logging_handler_never_breaks_the_program(served: Served, empty: str, tmp_path: Path) -> None:
    page = served.visitor().get(f"/logs?tenant={empty}").text
    snippet = _commands(page.partition("<h3>Python logging</h3>")[2])[0]
    (tmp_path / "snippet.py").write_text(snippet.replace(served.url, "http://127.0.0.1:9") + "\nprint('went on')\n")
    done = subprocess.run([sys.executable, tmp_path / "snippet.py"], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "went on\n")
    assert "Logging error" in done.stderr


def test_a_log_of_somebody_else_names_no_file_of_the_server(served: Served, empty: str) -> None:
    key_id, _ = served.issue_key(empty, scopes=("read", "ingest"))
    page = served.visitor(key_id).get("/").text
    assert "root.key" not in page
    assert "atp.key" in page


def test_filters_narrow_and_each_one_can_be_taken_off(served: Served, empty: str) -> None:
    other = {"actor": {"id": "bob"}, "action": "login", "outcome": "denied", "time": "2020-01-01T00:00:00Z"}
    served.record(EVENT, other, EVENT, tenant=empty)
    visitor = served.visitor()

    def shown(**asked: str) -> list[int]:
        return _indexes(visitor.get("/", params={"tenant": empty, **asked}).text)

    assert shown() == [2, 1, 0]
    assert shown(actor="alice") == [2, 0]
    assert shown(action="login") == [1]
    assert shown(resource="inv-7", outcome="success") == [2, 0]
    assert shown(outcome="denied") == [1]
    assert shown(since="2020-01-01", until="2020-01-01T00:00:01") == [1]
    assert shown(until="2020-01-01T00:00:00Z") == []
    assert shown(text="INVOICE approve") == [2, 0]
    page = visitor.get("/", params={"tenant": empty, "actor": "bob", "outcome": "denied"}).text
    assert f'href="/?tenant={empty}&amp;outcome=denied" aria-label="Remove actor: bob"' in page


def test_older_pages_follow_without_gap_or_repeat(served: Served, empty: str) -> None:
    served.record(*[EVENT] * 120, tenant=empty)
    visitor, seen, address = served.visitor(), list[int](), f"/?tenant={empty}&actor=alice"
    while address:
        page = visitor.get(address).text
        seen += _indexes(page)
        found = re.search(r'href="([^"]+)" rel="next"', page)
        address = unescape(found[1]) if found else ""
    assert seen == list(range(119, -1, -1))


@pytest.mark.parametrize("value", ODD)
@pytest.mark.parametrize("name", ["text", "actor", "action", "resource"])
def test_odd_values_of_a_filter_come_back_inert(served: Served, empty: str, name: str, value: str) -> None:
    served.record({"actor": {"id": value}, "action": value, "resource": {"id": value}}, EVENT, tenant=empty)
    answer = served.visitor().get("/", params={"tenant": empty, name: value})
    assert answer.status_code == 200
    assert _indexes(answer.text) == [0]
    assert "<script>alert" not in answer.text
    assert "<img" not in answer.text
    assert "\u202e" not in re.sub('(value|href|label)="[^"]*"', "", answer.text)


@pytest.mark.parametrize(
    ("name", "value"),
    [("since", "yesterday"), ("until", "2026-13-01"), ("text", "..."), ("text", "x" * 1001), ("cursor", "AAAA")],
)
def test_a_question_without_meaning_is_answered_with_the_reason(served: Served, name: str, value: str) -> None:
    answer = served.visitor().get("/", params={name: value})
    assert answer.status_code in (400, 422)
    assert 'role="alert"' in answer.text
    assert "could not" in answer.text
    assert '<form class="filters"' in answer.text


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.dictionaries(
        st.sampled_from(["tenant", "actor", "since", "until", "text", "cursor", "outcome", "x"]), st.text(max_size=50)
    )
)
def test_no_question_makes_the_timeline_fail(served: Served, asked: dict[str, str]) -> None:
    visitor = served.visitor()
    assert visitor.get("/", params=asked).status_code < 500
    assert visitor.get("/new", params=asked | {"after": "0"}).status_code < 500


def test_nothing_found_offers_the_same_question_for_the_terminal(served: Served, empty: str) -> None:
    served.record(EVENT, tenant=empty)
    page = served.visitor().get("/", params={"tenant": empty, "actor": 'it\'s "me"', "since": "2026-01-01"}).text
    command = next(command for command in _commands(page) if command.startswith("atp query"))
    words = shlex.split(command)
    since = "2026-01-01T00:00:00.000000Z"
    assert words[2:] == ["--tenant", empty, "--actor", 'it\'s "me"', "--since", since]
    program(words[1:]).commands["query"].make_context("query", words[2:])


def test_a_page_hears_of_new_events_that_it_would_show(served: Served, empty: str) -> None:
    served.record(EVENT, tenant=empty)
    visitor = served.visitor()

    def new(**asked: str) -> str:
        answer = visitor.get("/new", params={"tenant": empty, "after": "1", **asked}, headers={"X-ATP-Live": "1"})
        return re.sub("<[^>]+>", "", answer.text).strip() if answer.status_code == 200 else str(answer.status_code)

    assert new() == "204"
    served.record(EVENT, {"actor": {"id": "bob"}, "action": "login"}, tenant=empty)
    assert new() == "2 new events"
    assert new(actor="bob") == "1 new event"
    assert new(actor="nobody") == "204"
    served.record(*[EVENT] * 300, tenant=empty)
    assert new() == "100 or more new events"
    assert new(after="x") == new(after="9" * 30) == "204"


def test_a_page_that_refreshes_itself_leaves_no_trace(served: Served, empty: str) -> None:
    served.record(EVENT, tenant=empty)
    before = served.platform.stores.events.size("operations")
    for _ in range(5):
        served.visitor().get("/new", params={"tenant": empty, "after": "0"})
    assert served.platform.stores.events.size("operations") == before


def test_looking_is_told_to_the_operators(served: Served, empty: str) -> None:
    (index,) = served.record(EVENT, tenant=empty)
    visitor = served.visitor()
    visitor.get(f"/?tenant={empty}&actor=alice")
    visitor.get(f"/events/{empty}/{index}")
    visitor.get(f"/events/{empty}/{index}/proof")
    served.record(EVENT, tenant="operations")
    page = served.platform.ask(Question(resource=empty), by=served.root, tenant="operations")
    actions = [action for _, entry in page.events for action in re.findall(rb'"action":"([^"]+)"', entry)]
    assert sorted(actions) == [b"event.prove", b"event.read", b"events.query"]


def test_an_event_is_shown_with_its_bytes(served: Served, empty: str) -> None:
    raw = b'{"actor":{"id":"a","type":"user","name":"A<b>"},"action":"x","data":{"k":1,"k":12345678901234567890.50}}'
    (index,) = served.record(raw, tenant=empty)
    visitor = served.visitor()
    page = visitor.get(f"/events/{empty}/{index}").text
    record = served.platform.find(f"@{index}", by=served.root, tenant=empty)
    assert "12345678901234567890.50" in page
    assert "A&lt;b&gt;" in page
    assert record.entry.decode() in _commands(page)
    assert visitor.get(f"/events/{empty}/{index}/entry").content == record.entry
    assert (
        visitor.get(f"/events/{empty}/{index}/entry").headers["content-disposition"].endswith(f'"{empty}-{index}.json"')
    )


def test_verifying_shows_each_step_with_its_numbers(served: Served, empty: str) -> None:
    served.record(*[EVENT] * 10, tenant=empty)
    visitor = served.visitor()
    token = csrf_of(visitor.get(f"/events/{empty}/3").text)
    page = visitor.post(f"/events/{empty}/3/verify", data={"csrf": token}).text
    assert "Verified: the log holds exactly these bytes" in page
    assert page.count('aria-label="holds"') == 3
    assert "leaf 3 and 4 hashes give" in page


def test_a_step_that_fails_is_named_and_ends_the_verification(served: Served, empty: str) -> None:
    served.record(*[EVENT] * 10, tenant=empty)
    entry = served.platform.find("@3", by=served.root, tenant=empty).entry
    proof = served.platform.prove("@3", by=served.root, tenant=empty).encode()
    mine, other = (served.platform.vkeys(tenant, by=served.root) for tenant in (empty, "default"))

    def held(*given: Any) -> list[bool]:
        return [step.is_ok for step in verify_steps(*given)]

    assert held(entry, proof, mine) == [True, True, True]
    assert held(entry + b" ", proof, mine) == [True, True, False]
    assert held(entry, proof.replace(b"index 3", b"index 4"), mine) == [True, True, False]
    assert held(entry, proof, other) == [True, False]
    assert held(entry, proof.replace(b"\n10\n", b"\n11\n"), mine) == [True, False]
    assert held(entry, b"", mine) == [True, False]


Address = Callable[[str], str]
FOREIGN: list[Address] = [
    lambda tenant: f"/?tenant={tenant}",
    lambda tenant: f"/new?tenant={tenant}&after=0",
    lambda tenant: f"/logs?tenant={tenant}",
    lambda tenant: f"/logs/{tenant}/vkey",
    lambda tenant: f"/events/{tenant}/0",
    lambda tenant: f"/events/{tenant}/0/entry",
    lambda tenant: f"/events/{tenant}/0/proof",
]


@pytest.mark.parametrize("address", FOREIGN)
def test_a_tenant_of_others_is_as_if_absent(served: Served, empty: str, address: Address) -> None:
    served.record(EVENT)
    served.record(EVENT, tenant=empty)
    key_id, _ = served.issue_key(empty)
    visitor = served.visitor(key_id)
    assert visitor.get(address(empty)).status_code in (200, 204)
    foreign, absent = visitor.get(address("default")), visitor.get(address("absent"))
    assert (foreign.status_code, absent.status_code) == (404, 404)
    assert foreign.text.replace("default", "absent") == absent.text


def test_a_tenant_of_others_cannot_be_verified(served: Served, empty: str) -> None:
    served.record(EVENT)
    key_id, _ = served.issue_key(empty)
    visitor = served.visitor(key_id)
    token = csrf_of(visitor.get("/").text)
    assert visitor.post("/events/default/0/verify", data={"csrf": token}).status_code == 404
    assert "default" not in visitor.get("/").text
    assert "operations" not in visitor.get("/logs").text


def test_a_key_that_may_not_read_is_told_so(served: Served, empty: str) -> None:
    key_id, _ = served.issue_key(empty, scopes=("ingest",))
    answer = served.visitor(key_id).get("/")
    assert answer.status_code == 403
    assert "lacks the scope" in answer.text
    assert "Sign out" in answer.text


@pytest.mark.parametrize(
    "path",
    [
        "/nothing",
        "/events/default",
        "/events/default/999999999999",
        "/events/default/x",
        "/logs/nothing/vkey",
        "/static/x",
    ],
)
def test_what_is_not_there_is_said_in_a_page(served: Served, path: str) -> None:
    answer = served.visitor().get(path)
    assert answer.status_code == 404
    assert "text/html" in answer.headers["content-type"]
    assert "Nothing here" in answer.text


def test_the_logs_page_shows_how_each_log_stands(served: Served, empty: str) -> None:
    served.record(*[EVENT] * 3, tenant=empty)
    page = served.visitor().get(f"/logs?tenant={empty}").text
    row = page.partition(f">{empty}</a>")[2].partition("</tr>")[0]
    assert re.findall(r'class="number"[^>]*>([^<]+)<', row)[:3] == ["3", "3", "3"]
    commands = _commands(page)
    note = served.platform.reader(empty, by=served.root).checkpoint().decode().strip()
    assert note in commands
    assert served.platform.vkeys(empty, by=served.root)[0] in commands
    assert served.key not in page


def test_a_log_that_was_tampered_with_is_told(tmp_path: Path) -> None:
    with serving(tmp_path / "data") as served:
        served.record(EVENT)
    note = tmp_path / "data" / "logs" / "default" / "checkpoint"
    note.write_bytes(note.read_bytes().replace(b"\n1\n", b"\n9\n"))
    with serving(tmp_path / "data") as served:
        page = served.visitor().get("/logs").text
    assert "its public checkpoint is of size 9" in page
    assert '<span class="status Unhealthy">' in page


def test_many_logs_are_listed_within_bounds(tmp_path: Path) -> None:
    with serving(tmp_path / "data") as served:
        for number in range(LOGS_SHOWN_MAX):
            served.tenant(f"t{number}")
        visitor = served.visitor()
        page = visitor.get("/logs?tenant=t199").text
        assert page.count('<th scope="row">') == LOGS_SHOWN_MAX
        assert "And 2 more" in page
        assert '<h2 id="selected">t199</h2>' in page
        assert '<input id="tenant" name="tenant" value="t199">' in visitor.get("/?tenant=t199").text


def test_style_and_script_are_addressed_by_their_content(served: Served) -> None:
    visitor = served.visitor()
    page = visitor.get("/login").text
    for name in ("style.css", "page.js", "icon.svg"):
        (address,) = set(re.findall(rf"/static/{name}\?v=[0-9a-f]{{12}}", page))
        answer = visitor.get(address)
        assert answer.status_code == 200
        assert "immutable" in answer.headers["cache-control"]
    assert visitor.get("/favicon.ico").headers["content-type"].startswith("image/svg+xml")
