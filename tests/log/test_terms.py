"""What events are found by: read twice, by whole frames and by the rules, on real and on odd texts."""

import json
from itertools import product
from pathlib import Path
from typing import cast

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from atp.log.event import parse_instant
from atp.log.project.frames import event_text, instant_of, make_frame, read_facts
from atp.log.terms import (
    Fields,
    field_term,
    field_terms,
    fold,
    fold_phrase,
    fold_plain,
    has_word,
    plain,
    text_terms,
    word_term,
)
from tests.log import reading
from tests.log.listed import KINDS, entry_of, event_with, real_entries

PIECES = (
    "word",
    "W_1",
    "é",
    "É",
    "\u200e",
    "\\",
    '"',
    "/",
    "\n",
    "\t",
    "\0",
    "K",
    "ſ",
    "ﬁ",
    "한국",
    "漢字",
    "😀",
    "—",
    " ",
)
ODD = st.lists(st.sampled_from(PIECES) | st.text(max_size=3), max_size=12).map("".join)


@pytest.mark.parametrize("kind", KINDS)
def test_real_frames_have_the_terms_and_times_of_their_events(shared: Path, kind: str) -> None:
    entries = real_entries(shared, kind, count=320)
    for start in range(0, len(entries), 64):
        events = entries[start : start + 64]
        frame = make_frame(start // 64, events)
        assert sorted(frame.terms.tolist()) == sorted(set().union(*map(reading.terms, events)))
        times = [reading.instants(event)[0] for event in events]
        assert (frame.time_min, frame.time_max) == (min(times), max(times))


@given(st.lists(st.tuples(ODD, st.booleans()), min_size=1, max_size=8))
def test_odd_texts_have_the_same_terms_in_a_frame_and_alone(texts: list[tuple[str, bool]]) -> None:
    data = [json.dumps({"k": text}, ensure_ascii=is_ascii, allow_nan=False) for text, is_ascii in texts]
    entries = [entry_of(event_with(_encoded(one), number=number)) for number, one in enumerate(data)]
    assert set(make_frame(0, entries).terms.tolist()) == set().union(*map(reading.terms, entries))
    for entry in entries:
        assert fold(event_text(entry)).decode().split() == reading.words(entry)


@given(ODD)
def test_a_phrase_is_read_as_the_rules_say(text: str) -> None:
    words = reading.words_of(text.encode("utf-8", "replace").decode())
    assert fold_phrase(text.encode("utf-8", "replace").decode()).decode().split() == words


@given(ODD | st.text(alphabet='\\nu"a01éK ,:<\u0338\u200b', max_size=16), st.booleans(), st.booleans())
def test_words_stand_as_they_are_in_the_plain_text(text: str, is_json: bool, is_ascii: bool) -> None:
    raw = _encoded(json.dumps(text, ensure_ascii=is_ascii) if is_json else text)
    rest = plain(raw).lower()
    for word in fold(raw).split():
        assert word in rest, "in the order of the text"
        rest = rest[rest.index(word) + len(word) :]


@given(st.lists(st.binary(max_size=40), max_size=6))
def test_texts_that_are_no_json_are_read_alike_in_a_frame_and_alone(texts: list[bytes]) -> None:
    alone = {word_term(word) for text in texts for word in fold(text).split()}
    assert set(text_terms(texts).tolist()) == alone


@given(st.lists(st.text(alphabet='\\nu"a01é ,:<\u0338', max_size=16).map(str.encode), max_size=6))
def test_backslashes_are_counted_alike_in_a_frame_and_alone(texts: list[bytes]) -> None:
    alone = {word_term(word) for text in texts for word in fold(text).split()}
    assert set(text_terms(texts).tolist()) == alone


def test_long_texts_are_read_to_their_end() -> None:
    texts = [b'"%b end%d"' % (b"word%d " % number * 9_000, number) for number in range(4)]
    texts += ['"﷽ end4"'.encode() * 9_000, b'"' + b"x" * 65_000 + b' end5\\n"']
    assert {word_term(b"end%d" % number) for number in range(6)} <= set(text_terms(texts).tolist())
    assert word_term(b"x" * 65_000) in text_terms(texts).tolist()


def test_words_are_never_cut_where_long_texts_are() -> None:
    words = [b"w%d" % number * (1 + number % 50) for number in range(9_000)]
    for between in (b" ", b",", b"\\n", b'":"', b"\\u0020", " \u00e9 ".encode()):
        text = between.join(words)
        assert len(text) > 1 << 17
        alone = {word_term(word) for word in fold(text).split()}
        assert set(text_terms([text]).tolist()) == alone


def test_folding_that_makes_a_text_much_longer_is_followed() -> None:
    texts = ['"\ufdfa"'.encode() * 12_000, b'"behind\\tit"']
    assert len(fold(texts[0])) > 1 << 17
    alone = {word_term(word) for text in texts for word in fold(text).split()}
    assert set(text_terms(texts).tolist()) == alone


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (rb'"a\nb\tc\"d\\e\/f\r\b\fg"', b"a b c d e f g"),
        (rb'"C:\\new\\table"', b"c new table"),
        (rb'"\\\\nas\\\nx"', b"nas x"),
        (rb'"\u0041\u00e9\u0000z"', "aé z".encode()),
        (rb'"\ud83d\ude00"', "😀".encode()),
        (rb'"\ud83d x"', "\ufffd x".encode()),
        ('"ＡＢＣ Straße İ"'.encode(), "abc strasse i\u0307".replace("\u0307", " \u0307").encode()),
        ('"ad\u200bmin \u200e2020\u200e-\u200e05"'.encode(), b"admin 2020 05"),
        ('"“quoted” – 漢字 로그인 👩\u200d💻"'.encode(), "quoted 漢 字 로그인 👩 💻".encode()),
        (b'{"snake_case":"kebab-case 1.5e-7 ::1"}', b"snake_case kebab case 1 5e 7 1"),
        (b"", b""),
    ],
)
def test_words_are_what_people_take_for_words(text: bytes, words: bytes) -> None:
    assert fold(text).decode().split() == words.decode().split()


@given(st.lists(st.tuples(*[st.none() | st.sampled_from(["a", "b", "x" * 600]) | st.text(max_size=3)] * 4), max_size=9))
def test_fields_have_the_same_terms_in_a_frame_and_alone(events: list[Fields]) -> None:
    alone = set()
    for event, given_of in product(events, product((False, True), repeat=4)):
        chosen = tuple(value if given else None for value, given in zip(event, given_of, strict=True))
        if any(given_of) and all(value is not None for value, given in zip(event, given_of, strict=True) if given):
            alone.add(field_term(cast(Fields, chosen)))
    terms = field_terms(events).tolist()
    assert set(terms) == alone and len(terms) == len(alone)


def test_a_conjunction_of_fields_is_one_term_of_exactly_its_events() -> None:
    terms = field_terms([("a", "x", None, "success"), ("b", "y", "r", None)]).tolist()
    assert len(terms) == 14
    assert field_term(("a", "x", None, "success")) in terms and field_term((None, "y", "r", None)) in terms
    assert field_term(("a", "y", None, None)) not in terms, "both values occur, in different events"
    assert field_term(("x", "a", None, None)) not in terms, "a value counts in its own field"
    assert field_terms([]).tolist() == field_terms([(None, None, None, None)]).tolist() == []
    with pytest.raises(ValueError, match="no field"):
        field_term((None, None, None, None))


@pytest.mark.parametrize("entry", [b"", b"\xff\xfe", b'{"format":1', b'{"event":{"actor":7}}', b"[" * 5_000])
def test_an_entry_that_is_not_ours_is_found_by_its_text_alone(entry: bytes) -> None:
    good = entry_of(event_with(b'"good"', number=1))
    frame = make_frame(0, [good, entry + b" needle"])
    assert read_facts(entry) is None
    assert {word_term(b"good"), word_term(b"needle")} <= set(frame.terms.tolist())
    assert frame.time_min == frame.time_max == reading.instants(good)[0]
    assert make_frame(0, [entry]).time_max == 0


DIGITS = st.integers(0, 99).map("{:02d}".format)
INSTANTS = st.builds(
    "{}-{}-{}{}{}:{}:{}{}{}".format,
    st.sampled_from(["2026", "1969", "0001", "9999", "0000"]),
    st.sampled_from(["01", "02", "12", "13"]),
    st.sampled_from(["01", "29", "31"]),
    st.sampled_from("Tt "),
    st.sampled_from(["00", "23", "24"]),
    DIGITS,
    st.sampled_from(["00", "59", "60", "61"]),
    st.sampled_from(["", "."]) | st.integers(0, 10**13).map(".{}".format),
    st.sampled_from(["Z", "z", "", "+01:00", "-23:59", "+24:00", "-00:60", "Z" * 90]),
)


@given(INSTANTS | st.text(max_size=30))
def test_an_instant_is_its_second_and_what_is_behind_it(text: str) -> None:
    try:
        expected = parse_instant(text)
    except ValueError:
        with pytest.raises(ValueError, match="is not"):
            instant_of(text)
    else:
        assert instant_of(text) == expected


@pytest.mark.parametrize("kind", KINDS)
def test_facts_do_not_need_the_data(shared: Path, kind: str) -> None:
    for entry in real_entries(shared, kind, count=320):
        facts = read_facts(entry)
        assert facts and dict(zip(reading.NAMES, facts.fields, strict=True)).items() >= reading.fields(entry).items()
        assert (facts.at, facts.received_at) == reading.instants(entry)


@pytest.mark.parametrize("data", [b'{"data":1,"data":2}', rb'"\",\"data\":1"', b'{"a":[{"b":1,"data":3}]}'])
def test_members_called_data_inside_of_others_mislead_nobody(data: bytes) -> None:
    entry = entry_of(event_with(data, number=1))
    sealed = entry.replace(b'"event":', b'"sealed":{"class":"a","fields":{"b":"c","data":"d"}},"event":', 1)
    assert read_facts(entry) == read_facts(sealed)
    assert read_facts(entry) == read_facts(entry_of(event_with(b"1", number=1)))


def test_terms_stand_once_in_a_frame() -> None:
    frame = make_frame(0, [entry_of(event_with(b'"same same"', number=1))] * 64)
    assert len(np.unique(frame.terms)) == len(frame.terms)


def _encoded(text: str) -> bytes:
    return text.encode("utf-8", "replace")


TOKENS = (
    *("\\u0027", "\\u003c", "\\u003D", "\\u005c", "\\u00ae", "\\u00AD", "\\u0061", "\\u00df", "\\ud83d", "\\u001z"),
    *("\\u", "\\u00", "\\", "\\n", '"', " ", "\n", "<", ">", "®", "\u00ad", "ª", "ß", "é", "\u0338", "\u200e"),
    *("a", "B", "_", "u", "n", "0027"),
)
RAW = st.lists(st.sampled_from([token.encode() for token in TOKENS]) | st.binary(max_size=3), max_size=12).map(b"".join)


@given(RAW, st.sampled_from((1, 40)))
def test_a_plain_text_has_the_words_of_the_text(text: bytes, repeats: int) -> None:
    repeated = b"\n".join([text] * repeats)
    assert fold_plain(plain(repeated)) == fold(repeated)


@given(RAW, RAW)
def test_a_word_is_found_where_it_stands_and_nowhere_else(text: bytes, other: bytes) -> None:
    words, found = set(fold(text).split()), plain(text)
    for word in {*words, *fold(other).split(), b"a", b"n", b"u"}:
        assert has_word(found, word) == (word in words), word
