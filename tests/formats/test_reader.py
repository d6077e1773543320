"""Files, streams and bodies -> records: every shape in which sources deliver."""

import csv
import gzip
import io
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atp import limits
from atp.errors import InvalidError
from atp.formats import read_records
from tests.formats.converting import FORMATS, read, rejection

TRAIL = {"eventSource": "iam.amazonaws.com", "eventName": "GetUser", "eventID": "1"}
REPORT = {"kind": "admin#reports#activity", "id": {"applicationName": "admin", "time": "2022-08-15T16:24:44Z"}}
LOGON = {"Channel": "Security", "EventID": 4624, "Hostname": "h"}


@pytest.mark.parametrize("indent", [None, 2])
@pytest.mark.parametrize(
    ("envelope", "name"),
    [
        ([TRAIL, TRAIL], "cloudtrail"),
        ({"Records": [TRAIL, TRAIL]}, "cloudtrail"),
        ({"kind": "admin#reports#activities", "items": [REPORT, REPORT]}, "google-workspace"),
        ({"data": {"events": [{"eventType": "user.login", "severity": "INFO", "version": "0"}] * 2}}, "okta"),
        ({"kind": "EventList", "items": [{"kind": "Event", "verb": "get"}] * 2}, "kubernetes"),
    ],
)
def test_an_envelope_gives_its_records(envelope: object, name: str, indent: int | None) -> None:
    content = json.dumps(envelope, indent=indent).encode()
    for wanted in ("auto", name):
        records = read(content, name=wanted)
        assert [(record.number, record.format, record.reason) for record in records] == [
            (1, name, None),
            (2, name, None),
        ]
        assert all(record.raw in content for record in records)


def test_a_record_in_a_document_has_its_own_line() -> None:
    content = json.dumps({"Records": [TRAIL, TRAIL]}, indent=1).encode()
    first, second = read(content)
    lines = content.split(b"\n")
    assert lines[first.line - 1] == lines[second.line - 1] == b"  {"
    assert (first.line, second.line) == (3, 8)


def test_an_unknown_object_with_a_list_is_kept_whole() -> None:
    (record,) = read(b'{"items":[{"sku":1},{"sku":2}],"order":7}')
    assert record.reason == "no format recognises it (hint: name its format)"
    assert record.raw == b'{"items":[{"sku":1},{"sku":2}],"order":7}'


def test_a_csv_export_gives_the_cells_of_its_column() -> None:
    audit = [
        {"CreationTime": "2021-05-18T21:13:35", "Operation": 'Set "x"', "RecordType": 1, "Id": str(n)} for n in (1, 2)
    ]
    table = io.StringIO()
    writer = csv.writer(table)
    writer.writerow(["CreationDate", "UserIds", "AuditData"])
    writer.writerows([["2021", "alice", json.dumps(one)] for one in audit])
    table.write("2021,bob\n2021,carol,no json\n")
    for content in (table.getvalue().encode(), gzip.compress(b"\xef\xbb\xbf" + table.getvalue().encode())):
        first, second, short, no_json = read(content)
        assert [json.loads(one.raw) for one in (first, second)] == audit
        assert [(one.format, one.line) for one in (first, second)] == [("m365", 2), ("m365", 3)]
        assert "CSV row" in (short.reason or "") and short.raw == b"2021,bob"
        assert "CSV cell" in (no_json.reason or "") and no_json.line == 5


def test_a_record_too_large_for_an_entry_is_rejected_and_the_next_is_read() -> None:
    large = json.dumps(LOGON | {"Message": "x" * limits.ENTRY_BYTES_MAX}).encode()
    first, second = read(large + b"\n" + json.dumps(LOGON).encode())
    assert "an entry takes 65,535" in (first.reason or "") and first.raw == large
    assert second.format == "windows"


def test_an_envelope_may_be_larger_than_an_entry() -> None:
    content = json.dumps({"Records": [TRAIL] * 2_000}).encode()
    assert len(content) > limits.ENTRY_BYTES_MAX
    assert [record.format for record in read(content)] == ["cloudtrail"] * 2_000


def test_elements_that_are_no_objects_are_rejected_one_by_one() -> None:
    records = read(json.dumps([TRAIL, 7, [TRAIL], None]).encode())
    assert [record.reason for record in records] == [None, *["it is not a JSON object"] * 3]


def test_blank_lines_are_no_records_and_all_others_are() -> None:
    records = read(b"\n \r\n" + json.dumps(LOGON).encode() + b"\n\nplain text\n\n\t\n")
    assert [(record.number, record.line, record.format) for record in records] == [(1, 3, "windows"), (2, 5, None)]


def test_a_broken_line_takes_no_audit_line_with_it() -> None:
    audit = b"type=LOGIN msg=audit(1481077043.057:414): pid=1298 uid=0 res=1"
    content = b'{"a": [1,\n' + audit + b"\n" + json.dumps(LOGON).encode() + b'\n{"b":\n' + audit.replace(b"414", b"415")
    made = sorted((record.line, record.format) for record in read(content) if record.reason is None)
    assert made == [(2, "auditd"), (3, "windows"), (5, "auditd")]


def test_nothing_at_all_gives_no_records() -> None:
    assert read(b"") == read([]) == read(b"\n\n") == read(gzip.compress(b"")) == []


def test_an_unknown_format_is_refused_at_once() -> None:
    with pytest.raises(InvalidError, match="could not use format 'csv'"):
        read_records([], format="csv", formats=FORMATS)  # not only when the first record is asked for


@given(st.lists(st.binary(max_size=60), max_size=6))
def test_no_bytes_raise_and_every_one_is_read_or_rejected(chunks: list[bytes]) -> None:
    records = read(chunks)
    assert [record.number for record in records] == list(range(1, len(records) + 1))
    assert all((record.format is None) == (record.reason is not None) for record in records)


def test_a_stream_that_is_no_gzip_after_all_is_told() -> None:
    assert "gzip stream breaks off" in rejection(b"\x1f\x8bnot gzip").reason
