"""Records -> events: bytes kept, fields found, everything else rejected with a reason."""

import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from atp import limits
from atp.formats import Occurrences, Record, Rejected, convert
from atp.log.event import Event, prepare_event
from tests.formats.converting import FORMATS, data_of, event, events, outcomes, rejection
from tests.formats.test_documents import ANY_JSON


@pytest.mark.parametrize(
    "inside",
    [
        b'"Keywords":-9218868437227405312',
        b'"x":1,"x":2',
        b'"x":"\\u0000 \\u200e \\/"',
        b'"x":1682106508.2090,"y":1E+5,"z":-0.0',
        b'"x":1e400',
        b'"z":1,"a":[ 1 , 2 ]',
        '"name":"é \U0001f600"'.encode(),
    ],
)
def test_the_bytes_of_a_record_are_untouched(inside: bytes) -> None:
    raw = b'{"Channel":"Security","EventID":1,' + inside + b"}"
    made = event(raw)
    assert data_of(made) == raw
    assert raw in prepare_event(made).body


@given(st.dictionaries(st.text(max_size=3), ANY_JSON, max_size=4), st.sampled_from([None, 1, "\t"]))
def test_line_breaks_between_tokens_become_blanks_and_nothing_else_changes(
    extra: dict[str, object], indent: int | None
) -> None:
    raw = json.dumps({"Channel": "x", "EventID": 1, "extra": extra}, indent=indent, ensure_ascii=False).encode()
    assert data_of(event(raw)) == raw.replace(b"\n", b" ")


def test_a_record_without_an_actor_is_kept() -> None:
    assert event(b'{"Channel":"Security","EventID":5156,"SubjectUserName":"-"}').actor.id == "unknown"


def test_a_native_id_is_the_id_of_the_event() -> None:
    assert event(b'{"eventSource":"s3.amazonaws.com","eventName":"x","eventID":"293ba626-3be5"}').id == "293ba626-3be5"
    assert event(b'{"kind":"Event","verb":"get","auditID":"a1","stage":"RequestReceived"}').id == "a1:RequestReceived"


def test_a_native_id_that_cannot_be_written_is_digested_and_stays_equal() -> None:
    one, other, same = (
        event(b'{"specversion":"1.0","type":"t","source":"/a?b","id":"%b","x":%d}' % (native, number)).id
        for native, number in ((b"1", 1), (b"2", 2), (b"1", 3))
    )
    assert one == same != other and len(one or "") == 32


def test_without_native_id_true_repeats_stay_and_a_second_import_changes_nothing() -> None:
    lines = [b'{"Channel":"Security","EventID":1}'] * 3 + [b'{"Channel":"Security","EventID":2}']
    first = [made.id for made in events(b"\n".join(lines))]
    assert len(set(first)) == 4
    assert [made.id for made in events(b"\n".join(reversed(lines)))] == [first[3], *first[:3]]
    spaced = b"\n".join(line.replace(b":", b" : ") for line in lines)
    assert [made.id for made in events(spaced)] == first


def test_a_native_event_passes_unchanged_and_is_checked() -> None:
    raw = b'{"actor":{"id":"alice"},"action":"invoice.approve","id":"i-1","data":{"n":1,"n":2}}'
    assert event(raw) == msgspec.json.decode(raw, type=Event)
    assert event(b'{"actor":{"id":"alice"},"action":"x"}').id is None
    assert "reserved" in rejection(b'{"actor":{"id":"alice"},"action":"atp.erase"}').reason
    assert "colour" in rejection(b'{"actor":{"id":"a"},"action":"x","colour":1}', name="atp").reason
    assert "stands twice" in rejection(b'{"actor":{"id":"a"},"action":"x","action":"y"}').reason


def test_a_foreign_record_cannot_take_a_reserved_action() -> None:
    made = rejection(b'{"specversion":"1.0","type":"atp.tenant.erase","source":"s","id":"1"}')
    assert made.reason == "its action begins with 'atp.', which is reserved"


def test_a_cloud_event_is_named_by_source_and_id() -> None:
    made = event(
        b'{"specversion":"1.0","type":"order.paid","source":"/shop","id":"7","subject":"o-1","authid":"alice",'
        b'"authtype":"user","time":"2024-05-05T05:05:05+02:00","traceparent":"00-ab-cd-01","data":{"eur":1}}'
    )
    assert (made.id, made.action, made.time) == ("/shop~7", "order.paid", "2024-05-05T03:05:05Z")
    assert (made.actor.id, made.actor.type, made.resource and made.resource.id) == ("alice", "user", "o-1")
    assert made.context is not None and made.context.trace_id == "00-ab-cd-01"


def test_fields_may_lie_in_a_body_inside_the_record() -> None:
    inner = {"apiVersion": "audit.k8s.io/v1", "kind": "Event", "verb": "create", "user": {"username": "ada"}}
    raw = json.dumps({"category": "kube-audit", "properties": {"log": json.dumps(inner)}}).encode()
    made = event(raw)
    assert (made.action, made.actor.id, data_of(made)) == ("create", "ada", raw)


def test_addresses_lose_their_ports() -> None:
    written = {
        "40.1.2.3:5671": "40.1.2.3",
        "[2a01::1]:993": "2a01::1",
        "[::1]": "::1",
        "::1": "::1",
        "AWS Internal": "AWS Internal",
    }
    for ip, expected in written.items():
        made = event(json.dumps({"CreationTime": "x", "Operation": "o", "RecordType": 1, "ClientIP": ip}).encode())
        assert made.context is not None and made.context.ip == expected


def test_a_text_over_the_limit_is_cut_in_its_field_alone() -> None:
    raw = json.dumps({"Channel": "Security", "EventID": 1, "ObjectName": "x" * 9_000}).encode()
    made = event(raw)
    assert made.resource is not None and len(made.resource.id) == limits.FIELD_CHARS_MAX
    assert data_of(made) == raw
    prepare_event(made)


@pytest.mark.parametrize("depth", [limits.DATA_DEPTH_MAX, limits.DATA_DEPTH_MAX + 1])
def test_a_record_is_rejected_when_nested_too_deep(depth: int) -> None:
    raw = b'{"Channel":"x","EventID":1,"deep":' + b"[" * (depth - 1) + b"]" * (depth - 1) + b"}"
    (made,) = outcomes(raw)
    assert isinstance(made, Rejected) == (depth > limits.DATA_DEPTH_MAX)
    if isinstance(made, Event):
        prepare_event(made)


def test_a_record_of_another_kind_is_rejected_by_the_named_format() -> None:
    made = rejection(b'{"hello":"world"}', name="okta")
    assert made == Rejected("it has nothing that format okta takes for the action", b'{"hello":"world"}')


def test_a_record_can_be_converted_from_its_bytes_alone() -> None:
    raw = b'{"Channel":"Security","EventID":4624,"TargetUserName":"ada"}'
    made = convert(Record(1, 1, raw, "windows"), formats=FORMATS, occurrences=Occurrences())
    assert made == event(raw)
    for broken in (b"{", b"text", b"[1]"):
        assert isinstance(
            convert(Record(1, 1, broken, "windows"), formats=FORMATS, occurrences=Occurrences()), Rejected
        )


@given(
    st.dictionaries(st.sampled_from(["Channel", "EventID", "kind", "verb", "eventName", "eventSource", "id"]), ANY_JSON)
)
def test_no_object_raises(value: dict[str, object]) -> None:
    for name in FORMATS.names:
        for made in outcomes(json.dumps(value).encode(), name=name):
            if isinstance(made, Event):
                prepare_event(made)
