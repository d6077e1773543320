"""Whatever is sent, the answer is one that the document describes: never a bug, never half a batch."""

import json
from typing import Any
from urllib.parse import quote

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from atp.api.batches import FORMAT_OF_MEDIA
from atp.merkle.tiles import parse_path
from tests.api.calling import events_path
from tests.api.test_openapi import answer_faults
from tests.web.serving import Served

_LEAVES = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=30)
_VALUES = st.recursive(_LEAVES, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=9), inner))
_MEMBERS = st.sampled_from(["schema", "id", "time", "actor", "action", "resource", "outcome", "context", "data", "x"])
_PARTIES = st.dictionaries(st.sampled_from(["id", "type", "name", "x"]), _LEAVES)
_NEARLY_EVENTS = st.fixed_dictionaries(
    {"actor": st.just({"id": "a"}) | _PARTIES, "action": st.just("x") | _LEAVES},
    optional={"data": _VALUES, "id": st.text(max_size=9), "time": st.datetimes().map(str), "resource": _PARTIES},
)
_RECORDS = _NEARLY_EVENTS | st.dictionaries(_MEMBERS, _VALUES) | _VALUES
_BATCHES = (_RECORDS | st.lists(_RECORDS, max_size=6)).map(lambda value: json.dumps(value).encode())
_LINES = st.lists(_RECORDS, max_size=6).map(lambda rows: b"\n".join(json.dumps(row).encode() for row in rows))
_BODIES = _BATCHES | _LINES | st.binary(max_size=200)
_FORMATS = st.sampled_from(["auto", "atp", "okta"])
_CHANGES = st.lists(st.tuples(st.integers(0, 400), st.integers(0, 255)), max_size=3)


@pytest.fixture(scope="module")
def target(served: Served) -> str:
    """A tenant for all that is sent here."""
    return served.tenant("fuzzed")


def changed(body: bytes, changes: list[tuple[int, int]]) -> bytes:
    """The body with some of its bytes replaced."""
    text = bytearray(body)
    for at, byte in changes:
        if text:
            text[at % len(text)] = byte
    return bytes(text)


@given(
    body=_BODIES,
    changes=_CHANGES,
    media=st.sampled_from(sorted(FORMAT_OF_MEDIA)),
    query=st.fixed_dictionaries({}, optional={"invalid": st.just("park"), "format": _FORMATS}),
)
def test_any_body_has_an_answer_that_is_described(
    root: httpx.Client, target: str, body: bytes, changes: list[tuple[int, int]], media: str, query: dict[str, str]
) -> None:
    sent = changed(body, changes)
    answer = root.post(events_path(target), params=query, content=sent, headers={"Content-Type": media})
    assert answer.status_code in (200, 400, 409, 413, 422), answer.text
    assert answer_faults("recordEvents", answer) == []


@given(
    query=st.dictionaries(
        st.sampled_from(["actor", "text", "since", "received_until", "order", "limit", "cursor", "x"]),
        st.text(max_size=40) | st.sampled_from(["index", "5", "2026-01-01T00:00:00Z"]),
    )
)
def test_any_question_has_an_answer_that_is_described(root: httpx.Client, target: str, query: dict[str, str]) -> None:
    answer = root.get(events_path(target), params=query)
    assert answer.status_code in (200, 400, 422), answer.text
    assert answer_faults("askEvents", answer) == []


@given(name=(st.text(max_size=30) | st.binary(max_size=30)).map(lambda name: quote(name, safe="")))
def test_any_event_name_has_an_answer_that_is_described(root: httpx.Client, target: str, name: str) -> None:
    answer = root.get(f"{events_path(target)}/x{name}")
    assert answer_faults("readEvent", answer) == []


@given(path=st.from_regex(r"(entries|[0-9]{1,3})/(x?[0-9]{1,4}/?){1,8}(\.p/[0-9]{0,4})?", fullmatch=True))
def test_any_tile_path_has_an_answer_that_is_described(root: httpx.Client, target: str, path: str) -> None:
    answer = root.get(f"/log/{target}/tile/{path}")
    assert answer_faults("readTile", answer) == []
    if answer.status_code == 200:
        assert parse_path(f"tile/{path}").path == f"tile/{path}"


@given(body=_VALUES.map(lambda value: json.dumps(value).encode()) | st.binary(max_size=60))
def test_any_small_body_has_an_answer_that_is_described(root: httpx.Client, target: str, body: bytes) -> None:
    doors: list[tuple[str, str]] = [
        ("createTenant", "/v1/tenants"),
        ("issueKey", "/v1/keys"),
        ("parkRecords", f"/v1/tenants/{target}/dlq"),
    ]
    faults: list[Any] = [answer_faults(name, root.post(path, content=body)) for name, path in doors]
    assert faults == [[], [], []]
