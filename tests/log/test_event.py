"""What is refused at the door, by name, and what is kept byte for byte."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atp import limits
from atp.errors import AtpError, InvalidError, MalformedError, TooLargeError
from atp.log.event import (
    entry_bytes,
    entry_head,
    format_instant,
    is_same_content,
    parse_instant,
    prepare,
    prepare_array,
    prepare_each,
    read_event,
)

HEAD = entry_head(received_at="2026-01-31T23:59:59.000001Z", by="alice")
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=20,
).filter(lambda value: "\\ud" not in json.dumps(value))


def event(**members: object) -> bytes:
    return json.dumps({"actor": {"id": "alice"}, "action": "login", **members}).encode()


@pytest.mark.parametrize(
    ("raw", "field", "reason"),
    [
        (b'{"actor":{},"action":"a"}', "actor.id", "is missing"),
        (b'{"action":"a"}', "actor", "is missing"),
        (b'{"actor":{"id":"x"}}', "action", "is missing"),
        (b'{"actor":{"id":""},"action":"a"}', "actor.id", "length >= 1"),
        (b'{"actor":{"id":1},"action":"a"}', "actor.id", "expected `str`, got `int`"),
        (b'{"actor":{"id":"x","mail":"y"},"action":"a"}', "actor.mail", "is unknown"),
        (b'{"actor":{"id":"x"},"action":"a","colour":"y"}', "colour", "is unknown"),
        (b'{"actor":{"id":"x"},"action":"a","outcome":"won"}', "outcome", "won"),
        (b'{"actor":{"id":"x"},"action":"a","id":"a b"}', "id", "A-Z a-z 0-9"),
        (b'{"actor":{"id":"x"},"action":"a","time":"yesterday"}', "time", "RFC 3339"),
        (b'{"actor":{"id":"x"},"action":"a","time":"2026-02-30T00:00:00Z"}', "time", "exists"),
        (b'{"actor":{"id":"x"},"action":"a","time":"2026-02-03T00:00:00"}', "time", "RFC 3339"),
        (b'{"actor":{"id":"x"},"action":"atp.erase"}', "action", "reserved"),
        (b'{"actor":{"id":"x"},"action":"a","schema":"atp.event/9"}', "schema", "atp.event/9"),
    ],
)
def test_an_event_against_the_schema_is_refused_with_the_field(raw: bytes, field: str, reason: str) -> None:
    with pytest.raises(InvalidError) as refused:
        prepare(raw)
    assert (refused.value.errors[0].field, reason in refused.value.errors[0].reason) == (field, True)


@pytest.mark.parametrize(
    ("raw", "field"),
    [
        (b"", "event"),
        (b"{", "event"),
        (b"[1]", "event"),
        (b'"text"', "event"),
        (b'{"actor":{"id":"\xff"},"action":"a"}', "body"),
        (b'{"actor":{"id":"x"},"action":"a","data":"\xff"}', "body"),
        (b'{"actor":{"id":"x","id":"y"},"action":"a"}', "actor.id"),
        (b'{"actor":{"id":"x"},"action":"a","action":"b"}', "action"),
        (b'{"actor":{"id":"x"},"\\u0061ction":"a","action":"b"}', "action"),
        (b'{"actor":{"id":"x"},"action":"a","data":1,"data":1}', "data"),
        (b'{"actor":{"id":"x"},"action":"a","data":' + b"[" * 257 + b"]" * 257 + b"}", "data"),
        (b'{"actor":{"id":"x"},"action":"a","data":' + b"[" * 99_999 + b"]" * 99_999 + b"}", "event"),
        (b'{"actor":{"id":"x"},"action":"a","data":NaN}', "event"),
    ],
)
def test_malformed_bytes_are_refused_with_the_field(raw: bytes, field: str) -> None:
    with pytest.raises(MalformedError) as refused:
        prepare(raw)
    assert refused.value.errors[0].field == field


def test_every_fault_of_every_event_is_listed() -> None:
    good, bad = event(), b'{"actor":{"id":3},"colour":1}'
    with pytest.raises(InvalidError) as refused:
        prepare_array(b"[%b,%b,%b]" % (bad, good, bad))
    found = {(fault.position, fault.field) for fault in refused.value.errors}
    assert found == {(p, f) for p in (0, 2) for f in ("actor.id", "action", "colour")}


@pytest.mark.parametrize(
    "data",
    [
        '{"a":1,"a":2}',
        "-9218868437227405312",
        "1.0",
        "1e400",
        '"\\u0000"',
        '{"b":1,  "a":[ 1,2 ]}',
        '"\\u00e9é"',
        "null",
    ],
)
def test_data_is_kept_byte_for_byte(data: str) -> None:
    raw = f'{{"data": {data}, "action":"a","actor":{{"id":"x"}}}}'.encode()
    entry = entry_bytes(HEAD, prepare(raw))
    assert bytes(read_event(entry)[1].data) == data.encode()  # type: ignore[arg-type]


def test_line_breaks_between_tokens_of_data_become_spaces() -> None:
    raw = b'{"actor":{"id":"x"},"action":"a","data":{\r\n"a":\n"b\\n"}}'
    assert b'"data":{  "a": "b\\n"}' in prepare(raw).body


def test_data_may_be_nested_256_deep() -> None:
    prepare(b'{"actor":{"id":"x"},"action":"a","data":' + b"[" * 256 + b"]" * 256 + b"}")


def test_an_entry_over_the_limit_is_refused_by_size() -> None:
    spare = limits.ENTRY_BYTES_MAX - len(HEAD) - 1 - len(prepare(event(data="")).body)
    entry_bytes(HEAD, prepare(event(data="x" * spare)))
    with pytest.raises(TooLargeError, match="65,536 bytes"):
        entry_bytes(HEAD, prepare(event(data="x" * (spare + 1))))


@given(JSON)
def test_a_spaced_and_a_compact_text_of_one_event_are_recorded_alike(data: object) -> None:
    members = {"id": "e", "actor": {"id": "é", "name": '"\n'}, "action": "a", "resource": {"id": "r"}, "data": data}
    spaced = json.dumps(members, indent=1, ensure_ascii=True).encode()
    compact = json.dumps(members, separators=(",", ":"), ensure_ascii=False).encode()
    one, other = prepare(spaced), prepare_array(b"[%b]" % compact)[0]
    assert is_same_content(one.body, other.body)
    assert json.loads(one.body) == members


@given(st.binary() | st.text().map(str.encode) | JSON.map(lambda value: json.dumps(value).encode()))
def test_no_bytes_bring_anything_but_a_refusal(raw: bytes) -> None:
    for read in (prepare, lambda body: prepare_array(body), lambda body: prepare_each([body])):
        try:
            read(raw)
        except AtpError as error:
            assert error.errors


@given(st.integers(0, 60), st.binary(max_size=3))
def test_no_mutated_event_brings_anything_but_a_refusal(at: int, noise: bytes) -> None:
    raw = event(id="e", data={"a": [1, {"b": None}]})
    try:
        prepare(raw[:at] + noise + raw[at + 1 :])
    except AtpError as error:
        assert error.errors


def test_content_is_the_same_as_json_tokens() -> None:
    assert is_same_content(b'{"a":1,"b":[1,2]}', b'{ "b":[1, 2], "a":1}')
    assert is_same_content(b'{"a":"\\u0041"}', b'{"a":"A"}')
    assert not is_same_content(b'{"a":1}', b'{"a":1.0}')
    assert not is_same_content(b'{"a":1}', b'{"a":"1"}')
    assert not is_same_content(b'{"a":1,"a":2}', b'{"a":2,"a":1}')
    assert not is_same_content(b'{"a":true}', b'{"a":1}')
    assert not is_same_content(b'{"a":["number","1"]}', b'{"a":1}')


@pytest.mark.parametrize(
    ("text", "micros"),
    [
        ("1970-01-01T00:00:00Z", 0),
        ("1970-01-01T00:00:00.123456789Z", 123_456),
        ("1970-01-01t01:00:00.5+01:00", 500_000),
        ("2016-12-31T23:59:60Z", 1_483_228_799_000_000),
        ("1969-12-31T23:59:59.999999Z", -1),
    ],
)
def test_instants_are_read_to_the_microsecond(text: str, micros: int) -> None:
    assert parse_instant(text) == micros


@given(st.integers(-(2**50), 2**53))
def test_an_instant_survives_its_text(micros: int) -> None:
    assert parse_instant(format_instant(micros)) == micros


INSTANTS = st.from_regex(
    r"[0-9]{4}-[0-3][0-9]-[0-3][0-9][Tt][0-2][0-9]:[0-6][0-9]:[0-6][0-9](\.[0-9]{1,13})?(Z|[+-]00:00)"
)


@given(INSTANTS | st.sampled_from(["2024-02-29T00:00:00Z", "2023-02-29T00:00:00Z", "٢٠٢٦-01-01T00:00:00Z"]))
def test_a_time_is_accepted_exactly_when_there_is_such_an_instant(text: str) -> None:
    raw = json.dumps({"actor": {"id": "a"}, "action": "b", "time": text}).encode()
    try:
        parse_instant(text)
    except ValueError:
        with pytest.raises(InvalidError):
            prepare(raw)
    else:
        prepare(raw)


@pytest.mark.parametrize("depth", [200, 256, 257, 400])
@pytest.mark.parametrize("noise", ['"[[[{{{"', '"\\\\"', '"a\\"[{"', "[]", "{}"])
def test_data_is_refused_exactly_when_it_is_nested_too_deep(depth: int, noise: str) -> None:
    inner = f"[{noise}]" if depth == 1 else noise
    data = f"[{noise}," * (depth - (noise in ("[]", "{}"))) + inner + "]" * (depth - (noise in ("[]", "{}")))
    raw = b'{"actor":{"id":"a"},"action":"b","data":%b}' % data.encode()
    if depth > 256:
        with pytest.raises(MalformedError, match="nested deeper"):
            prepare(raw)
    else:
        prepare(raw)
