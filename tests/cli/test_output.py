"""Whatever somebody wrote into an event, what a terminal is given is harmless, and a document stays the document."""

import io
import json

from hypothesis import given
from hypothesis import strategies as st

from atp.cli.output import fields, safe, safe_json, table
from atp.cli.progress import Progress

TEXTS = st.text(st.characters(codec="utf-8"))
VALUES = st.recursive(st.none() | st.integers() | TEXTS, lambda inner: st.lists(inner) | st.dictionaries(TEXTS, inner))


@given(TEXTS)
def test_text_for_a_terminal_is_printable(text: str) -> None:
    assert safe(text).isprintable()


@given(st.text())
def test_harmless_text_stays(text: str) -> None:
    assert not text.isprintable() or safe(text) == text


@given(VALUES)
def test_a_document_for_a_terminal_is_printable_and_the_same(value: object) -> None:
    shown = safe_json(json.dumps(value, ensure_ascii=False))
    assert shown.isprintable()
    assert json.loads(shown) == value


def test_escapes_bidirectional_and_control_characters() -> None:
    assert safe("a\x1b[31mb\r\nc\u202ed\U000e0041\ud800") == "a\\x1b[31mb\\x0d\\x0ac\\u202ed\\U000e0041\\ud800"


def test_a_table_lines_up_and_keeps_what_is_to_be_copied() -> None:
    shown = table(("actor", "id"), [("alice", "x" * 200), ("b\nob" * 20, "y")]).split("\n")
    assert len(shown) == 3
    assert shown[0].index("id") == shown[1].index("x" * 200) == shown[2].index("y")
    assert "…" in shown[2]


def test_fields_line_up_and_skip_what_is_empty() -> None:
    assert fields([("id", 7), ("none", None), ("action", "a\tb")]) == "id      7\naction  a\\x09b"
    assert fields([]) == ""


class Terminal(io.StringIO):
    """A stream that somebody watches."""

    def isatty(self) -> bool:
        return True


def test_progress_is_told_to_a_terminal_and_erased() -> None:
    stream = Terminal()
    with Progress("records", total=200, stream=stream) as progress:
        progress.show(100, count=7)
    assert "50.0 %  7 records" in stream.getvalue()
    assert stream.getvalue().endswith("\r\x1b[K")


def test_progress_is_silent_when_nobody_watches() -> None:
    stream = io.StringIO()
    with Progress("records", total=200, stream=stream) as progress:
        progress.show(100)
    assert stream.getvalue() == ""
