"""Alternatives, templates and conditions."""

import pytest

from atp.formats.fields import Alternative, Field, compile_condition, compile_field

RECORD = {"kind": "Event", "code": 403, "user": {"name": "alice"}, "roles": ["Reader", "Owner"], "host": None}


def read(field: Field) -> str:
    return compile_field(field, absent=frozenset())(RECORD)


def test_the_first_alternative_that_applies_wins() -> None:
    assert read(["{missing}", "{user.name}", "{kind}"]) == "alice"
    assert read(["{missing}", "{host}", "{kind}"]) == "Event"
    assert read([]) == ""


def test_a_template_needs_all_its_paths() -> None:
    assert read(["{kind}:{missing}", "{kind|lower}/{user.name}"]) == "event/alice"
    assert read("fixed") == "fixed"


def test_an_alternative_may_have_a_condition() -> None:
    denied = Alternative(text="denied", when={"code": ["401", "403"]})
    assert read([denied, "success"]) == "denied"
    assert read([Alternative(text="denied", when={"code": "5*"}), "success"]) == "success"


@pytest.mark.parametrize(
    ("table", "holds"),
    [
        ({"kind": "event"}, True),
        ({"kind": "Even"}, False),
        ({"kind": "E*t", "code": "4*"}, True),
        ({"kind": "E*t", "code": "5*"}, False),
        ({"roles[]": "own*"}, True),
        ({"roles[]": "writer"}, False),
        ({"user": "*"}, True),
        ({"host": "*"}, False),
        ({"user.name": ["bob", "alice"]}, True),
        ({"kind": "Event.*"}, False),
    ],
)
def test_a_condition_holds_when_all_its_patterns_match(table: dict[str, str | list[str]], holds: bool) -> None:
    assert compile_condition(table)(RECORD) is holds


@pytest.mark.parametrize("field", ["{a", "a}", "{a.}", "{}", "{a|upper}", "{{a}}"])
def test_a_malformed_template_is_refused(field: str) -> None:
    with pytest.raises(ValueError, match=r"brace|not a path|filter"):
        read(field)


def test_a_condition_that_nothing_can_match_is_refused() -> None:
    with pytest.raises(ValueError, match="empty list"):
        compile_condition({"kind": []})
