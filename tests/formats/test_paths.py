"""The path language: names, quotes, elements; and what a value is as text."""

from typing import Any

import pytest

from atp.formats.paths import as_text, find, find_all, parse_path, text_reader

RECORD: dict[str, Any] = {
    "a": {"b.c": [{"d": 1}, {"d": 2}]},
    "empty": "  ",
    "dash": "-",
    "yes": True,
    "list": ["x", "y"],
    "null": None,
}


def test_a_path_follows_names_quotes_and_elements() -> None:
    assert list(find_all(RECORD, parse_path('a."b.c"[].d'))) == [1, 2]
    assert find(RECORD, parse_path("list[]")) == "x"
    assert find(RECORD, parse_path("a.x.y")) is None


def test_a_path_picks_elements_by_a_member() -> None:
    record = {"parameters": [{"name": "doc_id", "value": "d-1"}, {"name": "size", "value": 7}, "plain"]}
    assert list(find_all(record, parse_path("parameters[name=size].value"))) == [7]
    assert text_reader(parse_path("parameters[name=doc_id].value"))(record) == "d-1"
    assert find(record, parse_path("parameters[value=8]")) is None


@pytest.mark.parametrize(
    "text", ["", ".", "a.", ".a", "a..b", "a[0]", "a[=x]", "a[x=]", "a[]b", 'a."', "a b", "a|b", "{a}"]
)
def test_what_is_no_path_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not a path"):
        parse_path(text)


def test_only_scalars_have_a_text() -> None:
    assert [as_text(value) for value in (" x ", 7, 1.5, True, False)] == ["x", "7", "1.5", "true", "false"]
    assert [as_text(RECORD[name]) for name in ("a", "list", "null", "empty")] == ["", "", "", ""]


def test_integers_beyond_doubles_keep_every_digit() -> None:
    assert as_text(-9218868437227405312) == "-9218868437227405312"


def test_absent_and_blank_texts_give_the_next_path_its_turn() -> None:
    paths = [parse_path(text) for text in ("missing", "null", "empty", "dash", "a", "yes")]
    assert text_reader(*paths, absent=frozenset("-"))(RECORD) == "true"
    assert text_reader(parse_path("list[]"), absent=frozenset("x"))(RECORD) == "y"
    assert text_reader(parse_path("a.b.c"))(RECORD) == ""
