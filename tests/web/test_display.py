"""What is shown is what was sent: nothing hidden, nothing understood, nothing alive."""

import json
import re

from hypothesis import given
from hypothesis import strategies as st
from markupsafe import Markup

from atp.web.display import HEX_BYTES_MAX, JSON_LINES_MAX, hex_dump, instant, pretty_json, visible, visible_lines

_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
)


def _text(markup: Markup) -> str:
    return str(markup.striptags()) if "\n" not in markup else str(Markup(re.sub("<[^>]+>", "", markup)).unescape())


def test_hidden_characters_are_shown_as_code_points() -> None:
    shown = visible("a\u202eb\u200bc\x00d\u2028e\ufeff\ue000\U000e0041")
    assert _text(shown) == "aU+202EbU+200BcU+0000dU+2028eU+FEFFU+E000U+E0041"
    assert 'title="right-to-left override"' in shown


def test_letters_of_every_script_stay_as_they_are() -> None:
    assert visible("Zoë 中文 עברית 😀") == "Zoë 中文 עברית 😀"


@given(st.text())
def test_no_text_is_markup_and_none_is_invisible(text: str) -> None:
    shown = visible(text)
    inside = re.sub('<span class="hidden-char" title="[^"<>]*">U\\+[0-9A-F]{4,6}</span>', "", shown)
    assert not set(inside) & set("<>'\"")
    assert inside.isprintable()


def test_lines_stay_lines() -> None:
    assert visible_lines("a\n<b>\n") == "a\n&lt;b&gt;\n"


@given(_JSON)
def test_json_is_laid_out_token_for_token(value: object) -> None:
    text = json.dumps(value, ensure_ascii=True)
    shown = Markup(re.sub("<[^>]+>", "", pretty_json(text))).unescape()
    assert json.dumps(json.loads(shown)) == json.dumps(json.loads(text))


def test_repeated_keys_and_large_numbers_are_shown_as_they_were_sent() -> None:
    shown = re.sub("<[^>]+>", "", pretty_json('{"k":1,"k":1e400,"n":12345678901234567890.10,"e":[],"o":{}}'))
    lines = Markup(shown).unescape().split("\n")
    assert lines == [
        "{",
        '  "k": 1,',
        '  "k": 1e400,',
        '  "n": 12345678901234567890.10,',
        '  "e": [],',
        '  "o": {}',
        "}",
    ]


def test_long_and_deep_json_is_bounded() -> None:
    shown = pretty_json("[" * 200 + ",".join("1" * 10_000) + "]" * 200)
    assert shown.count("\n") == JSON_LINES_MAX
    assert "see the bytes of the entry" in shown
    assert len(shown) < 500_000


@given(st.binary(max_size=200))
def test_a_hex_dump_holds_every_byte(data: bytes) -> None:
    assert b"".join(bytes.fromhex(line[8:56]) for line in hex_dump(data).split("\n") if line) == data


def test_a_hex_dump_is_bounded() -> None:
    assert hex_dump(b"x" * (HEX_BYTES_MAX + 1)).count("\n") == HEX_BYTES_MAX // 16 - 1


def test_an_instant_is_shown_in_utc() -> None:
    assert _text(instant("2026-01-31T23:59:59.5+01:00", digits=6)) == "2026-01-31 22:59:59.500000"
    assert _text(instant("2026-01-31T23:59:59.5+01:00")) == "2026-01-31 22:59:59"
    assert 'datetime="2026-01-31T22:59:59.500000Z"' in instant("2026-01-31T23:59:59.5+01:00")
    assert instant("<soon>") == "&lt;soon&gt;"
