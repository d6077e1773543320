"""Lines -> JSON values: whole lines, values over several lines, and what is broken."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atp.formats.documents import Piece, open_brackets, split_values
from atp.formats.lines import read_lines

ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)
OBJECTS = st.dictionaries(st.text(max_size=3), ANY_JSON, max_size=4)


def split(content: bytes) -> list[Piece]:
    return list(split_values(read_lines([content])))


@given(st.lists(st.tuples(OBJECTS, st.sampled_from([None, 0, 2, "\t"]))))
def test_values_on_one_line_and_on_several_are_told_apart(
    written: list[tuple[dict[str, object], int | str | None]],
) -> None:
    content = "\n".join(json.dumps(value, indent=indent or None, ensure_ascii=False) for value, indent in written)
    assert [piece.value for piece in split(content.encode())] == [value for value, _ in written]


def test_a_value_begins_on_the_line_where_it_stands() -> None:
    pieces = split(b'\n{"a":1}\n\n{\n "b": 2\n}\n{"c":3}\n')
    assert [(piece.line, piece.value) for piece in pieces] == [(2, {"a": 1}), (4, {"b": 2}), (7, {"c": 3})]


@pytest.mark.parametrize("broken", [b'{"a":1,', b'{"a": "x', b'{"a": [1, 2,', b'{"a"', b"[1,", b"{"])
def test_a_line_that_breaks_off_takes_no_other_with_it(broken: bytes) -> None:
    pieces = split(b'{"n":1}\n' + broken + b'\n{"n":2}\n{"n":3}\n')
    assert [piece.value for piece in pieces if piece.reason is None] == [{"n": 1}, {"n": 2}, {"n": 3}]
    assert [piece.raw for piece in pieces if piece.reason] == [broken]


def test_a_document_that_breaks_off_is_one_piece() -> None:
    (piece,) = split(b'{\n  "a": [\n    1,\n')
    assert piece.line == 1 and piece.reason == "it begins a JSON value that is not completed"


def test_brackets_in_strings_do_not_count() -> None:
    assert open_brackets(rb'{"a": "}]\"}", "b": [') == 2
    assert open_brackets(b'{"a": "never closed}') is None
    assert open_brackets(rb'{"a": "\\"}') == 0


@pytest.mark.parametrize("text", [b'{"a":1e400}', b'{"a":' + b"9" * 5_000 + b"}", b'{"a":-0.0E-99999}'])
def test_numbers_of_any_size_are_json(text: bytes) -> None:
    (piece,) = split(text)
    assert piece.reason is None and isinstance(piece.value, dict)


@pytest.mark.parametrize(
    "text",
    [
        *(b"text", b"7", b'"x"', b"null", b'{"a":NaN}', b'{"a":1e400,"b":NaN}', b'{"a":01}', b'{"a":1}}', b'{"a":1} x'),
        *(b"{'a':1}", b'{"a":"\xff"}', b'{"a":"\\ud800"}', b'{"a":"tab\there"}'),
        b'{"a":' + b"[" * 5_000 + b"]" * 5_000 + b"}",
    ],
)
def test_what_is_no_json_object_has_a_reason_and_its_bytes(text: bytes) -> None:
    (piece,) = split(text)
    assert piece.reason and piece.raw == text and piece.value is None
