"""Pages against the naive answer: every entry of a list, read by the rules and compared one by one."""

import base64
import json
import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atp.adapters.memory_models import MemoryReadModels
from atp.adapters.signatures import Signatures
from atp.errors import MalformedError
from atp.limits import PAGE_EVENTS_MAX, QUERY_TEXT_CHARS_MAX, QUERY_WORDS_MAX, SCAN_FRAMES_MAX
from atp.log.event import parse_instant
from atp.log.project.follow import follow_once
from atp.log.query import Page, Question, ask
from atp.ports.read_models import ReadModels
from tests.log import reading
from tests.log.listed import KINDS, RECEIVED_AT, ListedLog, entry_of, event_with, real_entries

MINUTE = 60_000_000


@pytest.fixture(params=["memory", "signatures"])
def read_models(request: pytest.FixtureRequest, tmp_path: Path) -> ReadModels:
    return MemoryReadModels() if request.param == "memory" else Signatures(tmp_path)


def follow(log: ListedLog, read_models: ReadModels) -> int:
    followed = 0
    while step := follow_once(tenant="acme", reader=log, read_models=read_models):
        followed += step
    return followed


def page(question: Question, log: ListedLog, read_models: ReadModels) -> Page:
    return ask(question, tenant="acme", reader=log, read_models=read_models)


def answers(question: Question, log: ListedLog, read_models: ReadModels) -> list[tuple[int, bytes]]:
    """The events of all pages."""
    found: list[tuple[int, bytes]] = []
    while True:
        one = page(question, log, read_models)
        assert len(one.events) <= question.limit
        found += one.events
        if one.next is None:
            return found
        question = replace(question, cursor=one.next)


def indexes(question: Question, log: ListedLog, read_models: ReadModels) -> list[int]:
    return [index for index, _ in answers(question, log, read_models)]


def naive(question: Question, entries: list[bytes]) -> list[tuple[int, bytes]]:
    found = [(index, entry) for index, entry in enumerate(entries) if is_answer(question, entry)]
    return found if question.order == "index" else found[::-1]


def is_answer(question: Question, entry: bytes) -> bool:
    values, (at, received_at) = reading.fields(entry), reading.instants(entry)
    asked = {name: getattr(question, name) for name in reading.NAMES}
    return (
        all(values.get(name) == value for name, value in asked.items() if value is not None)
        and is_between(question.since, at, question.until)
        and is_between(question.received_since, received_at, question.received_until)
        and all(occurs(reading.words_of(part), reading.words(entry)) for part in (question.text or "").split())
    )


def is_between(since: int | None, instant: int, until: int | None) -> bool:
    return (since is None or since <= instant) and (until is None or instant < until)


def occurs(phrase: list[str], words: list[str]) -> bool:
    return any(words[start : start + len(phrase)] == phrase for start in range(len(words) - len(phrase) + 1))


def random_question(rng: random.Random, entries: list[bytes]) -> Question:
    """A question around one of the entries, so that many have answers; sometimes with a value of another one."""
    conditions: dict[str, Any] = {}
    for name in reading.NAMES:
        if rng.random() < 0.3:
            conditions[name] = reading.fields(rng.choice(entries)).get(name)
    at, received_at = reading.instants(rng.choice(entries))
    if rng.random() < 0.2:
        conditions |= {"since": at - rng.randrange(400) * MINUTE, "until": at + rng.randrange(400) * MINUTE}
    if rng.random() < 0.2:
        conditions["received_since"] = received_at - rng.randrange(50) * 1_000_000
    if rng.random() < 0.2:
        conditions["received_until"] = received_at + rng.randrange(50) * 1_000_000
    if rng.random() < 0.6:
        conditions["text"] = random_text(rng, entries)
    order = rng.choice(("-index", "index"))
    return Question(**conditions, order=order, limit=rng.choice((1, 7, 50)))


def random_text(rng: random.Random, entries: list[bytes]) -> str:
    parts = []
    for _ in range(rng.choice((1, 1, 2))):
        words = reading.words(rng.choice(entries))
        start = rng.randrange(len(words))
        phrase = words[start : start + rng.choice((1, 1, 2, 4))]
        parts.append(rng.choice(("-", ".", "/", '"')).join(rng.choice((word, word.upper())) for word in phrase))
    return rng.choice((" ", "  ", "\t")).join(parts)[:QUERY_TEXT_CHARS_MAX]


@pytest.mark.parametrize("kind", KINDS)
def test_pages_are_what_a_list_filter_finds(
    shared: Path, kind: str, read_models: ReadModels, rng: random.Random, count: Callable[..., int]
) -> None:
    entries = list(real_entries(shared, kind, count=200))
    log = ListedLog(entries[: rng.randrange(len(entries))])
    follow(log, read_models)
    log.published = entries
    for _ in range(count(bounded=25, soak=500)):
        question = random_question(rng, entries)
        assert answers(question, log, read_models) == naive(question, entries), question


def texts(*values: object, log_of: Callable[[list[bytes]], ListedLog] = ListedLog) -> ListedLog:
    """A log with one event for each value of `data`, both spellings of what is beyond ASCII taking turns."""
    data = [json.dumps(value, ensure_ascii=number % 2 == 0) for number, value in enumerate(values)]
    return log_of([entry_of(event_with(one.encode(), number=2 * number)) for number, one in enumerate(data)])


VALUES = [
    "550e8400-e29b-41d4-a716-446655440000",
    "41d4-550e8400",
    "from 10.20.30.40 port 22",
    "10.20.30.400",
    r"C:\Windows\System32\notepad.exe",
    'he said "stop", and left',
    "café RÉSUMÉ",
    "한국어 로그인 실패",
    "deploy 🚀 done",
    "‎6‎/‎1‎/‎2020",
    "zero\0byte",
    {"path": "/etc/passwd", "n": [1.5, -9218868437227405312]},
    "line one\nline two\ttabbed",
    "ｆｕｌｌwidth Ⅷ",
    "ad\u200bmin",
    "漢字かな交じり文",
]


@pytest.mark.parametrize(
    ("text", "positions"),
    [
        ("550E8400-E29B-41D4-A716-446655440000", [0]),
        ("550e8400", [0, 1]),
        ("41d4-a716", [0]),
        ("a716-41d4", []),
        ("10.20.30.40", [2]),
        ("10.20.30", [2, 3]),
        ("20.10", []),
        (r"windows\system32", [4]),
        ("Windows/System32", [4]),
        ("notepad.exe windows", [4]),
        ('"stop", and', [5]),
        ("said stop", [5]),
        ("said-stop", [5]),
        ("said-left", []),
        ("CAFÉ", [6]),
        ("cafe", []),
        ("résumé cafe\u0301", [6]),
        ("로그인", [7]),
        ("🚀", [8]),
        ("deploy-🚀-done", [8]),
        ("6/1/2020", [9]),
        ("\u200e2020", [9]),
        ("zero byte", [10]),
        ("zerobyte", []),
        ("/etc/passwd", [11]),
        ("-9218868437227405312", [11]),
        ("1.5 path", [11]),
        ("one-line", [12]),
        ("nline", []),
        ("fullwidth viii", [13]),
        ("admin", [14]),
        ("字か", [15]),
        ("café AND résumé", []),
        ("caf*", []),
        ("--- 🚀 ...", [8]),
        ("collector", []),
    ],
)
def test_text_is_plain_text(text: str, positions: list[int], read_models: ReadModels) -> None:
    log = texts(*VALUES, *["filler"] * 100)
    follow(log, read_models)
    found = indexes(Question(text=text, order="index"), log, read_models)
    assert found == positions
    unfollowed = texts("filler", *VALUES)
    assert indexes(Question(text=text, order="index"), unfollowed, MemoryReadModels()) == [p + 1 for p in positions]


WORDS = st.sampled_from(
    ("a", "A", "_", "é", "É", "ß", "ad\u200bmin", "admin", "ﬁ", "fi", "漢", "\n", "\\", "\\u0061", "@", "`")
)


@given(st.lists(st.lists(WORDS | st.text(max_size=2), max_size=6).map("".join), min_size=1, max_size=70), st.data())
def test_odd_texts_are_found_as_a_list_filter_finds_them(values: list[str], data: st.DataObject) -> None:
    log = texts(*(value.encode("utf-8", "replace").decode() for value in values))
    words = reading.words(data.draw(st.sampled_from(log.published)))
    question = Question(text=" ".join(data.draw(st.lists(st.sampled_from(words), min_size=1, max_size=3))))
    assert answers(question, log, MemoryReadModels()) == naive(question, log.published)


TOKENS = (
    "\\u0027",
    "\\u003c",
    "\\u00ae",
    "\\u0338",
    "\\u0061b",
    "®",
    "é",
    "\\\\",
    "\\n",
    '\\"',
    " ",
    "stop",
    "STOP",
    "us",
)


@pytest.mark.parametrize("order", ["-index", "index"])
def test_texts_full_of_escapes_are_found_as_a_list_filter_finds_them(
    order: Any, read_models: ReadModels, rng: random.Random, count: Callable[..., int]
) -> None:
    made = ["".join(rng.choices(TOKENS, k=rng.randrange(12))) for _ in range(64 * 5 + 9)]
    log = ListedLog([entry_of(event_with(f'"{text}"'.encode(), number=n)) for n, text in enumerate(made)])
    follow(log, read_models)
    for _ in range(count(bounded=60, soak=5_000)):
        question = replace(
            random_question(rng, log.published), text=rng.choice(("stop", "us", "ab-stop", "é us", "nus"))
        )
        question = replace(question, order=order)
        assert answers(question, log, read_models) == naive(question, log.published), question


@pytest.mark.parametrize(
    "entry", [b"a\nb needle", rb"\u006eeedle", b"\\" * 3 + b"u006eeedle", b"\nneedle\n", b"@needle"]
)
def test_texts_that_are_no_json_are_found_wherever_they_stand(entry: bytes) -> None:
    for place in range(4):
        log = ListedLog([entry_of(event_with(b'"filler"'))] * 3)
        log.published.insert(place, entry)
        assert indexes(Question(text="needle"), log, MemoryReadModels()) == [place]


def test_a_blank_text_is_no_condition_and_one_without_words_is_refused(read_models: ReadModels) -> None:
    log = texts("a", "b")
    for blank in ("", "  \t"):
        assert indexes(Question(text=blank), log, read_models) == [1, 0]
    for text in ("---", ". , ;", "\u200e"):
        with pytest.raises(MalformedError, match="no letter, digit or symbol"):
            page(Question(text=text), log, read_models)


@pytest.mark.parametrize(
    "wrong",
    [
        Question(limit=0),
        Question(limit=PAGE_EVENTS_MAX + 1),
        Question(order="time"),  # type: ignore[arg-type]
        Question(text="a" * (QUERY_TEXT_CHARS_MAX + 1)),
        Question(text="a." * (QUERY_WORDS_MAX + 1)),
    ],
)
def test_a_question_without_meaning_is_refused(wrong: Question) -> None:
    with pytest.raises(MalformedError, match="could not answer the question"):
        page(wrong, texts("a"), MemoryReadModels())


def test_an_empty_log_answers_nothing(read_models: ReadModels) -> None:
    for question in (Question(), Question(text="a", actor="b"), Question(received_since=0, order="index")):
        assert page(question, ListedLog(), read_models) == Page([], None, 0, 0)


# --- cursors


def grow(log: ListedLog, more: int) -> None:
    start = log.size()
    log.published += [entry_of(event_with(b"1", number=n), number=n) for n in range(start, start + more)]


@pytest.mark.parametrize("order", ["-index", "index"])
def test_pages_list_one_state_of_a_log_that_grows(order: Any, read_models: ReadModels, rng: random.Random) -> None:
    log = ListedLog()
    grow(log, 300)
    question = Question(actor="root", order=order, limit=9)
    expected = naive(question, list(log.published))
    found: list[tuple[int, bytes]] = []
    while True:
        one = page(question, log, read_models)
        assert one.viewed_size == 300 and one.size == log.size()
        found += one.events
        if one.next is None:
            break
        question = replace(question, cursor=one.next)
        grow(log, rng.randrange(150))
        if rng.random() < 0.5:
            follow(log, read_models)
        if rng.random() < 0.2:
            read_models.clear("acme")
    assert found == expected


def test_a_cursor_serves_its_own_question_with_any_limit() -> None:
    log, models = ListedLog(), MemoryReadModels()
    grow(log, 100)
    cursor = page(Question(actor="root", limit=3), log, models).next
    assert [index for index, _ in page(Question(actor="root", limit=2, cursor=cursor), log, models).events] == [95, 93]
    for other in (Question(actor="Zoë"), Question(), Question(actor="root", order="index"), Question(action="root")):
        with pytest.raises(MalformedError, match="another question"):
            page(replace(other, cursor=cursor), log, models)
    with pytest.raises(MalformedError, match="another question"):
        ask(Question(actor="root", cursor=cursor), tenant="globex", reader=log, read_models=models)


def test_a_cursor_of_a_longer_log_is_refused() -> None:
    log, models = ListedLog(), MemoryReadModels()
    grow(log, 100)
    cursor = page(Question(limit=3), log, models).next
    del log.published[50:]
    with pytest.raises(MalformedError, match="not of this log"):
        page(Question(cursor=cursor), log, models)


@pytest.mark.parametrize(
    "cursor", ["x", "é" * 32, "A" * 32, "A" * 31, "A" * 33, "=" * 32, "A" * 10**6, "\udcff" * 32, "-_" * 16]
)
def test_a_cursor_that_nobody_handed_out_is_refused(cursor: str) -> None:
    with pytest.raises(MalformedError, match="cursor"):
        page(Question(cursor=cursor), texts("a"), MemoryReadModels())


def test_a_forged_position_answers_nothing_that_is_not_there() -> None:
    log, models = ListedLog(), MemoryReadModels()
    grow(log, 100)
    cursor = page(Question(limit=3, received_since=RECEIVED_AT + 20_000_000), log, models).next
    assert cursor is not None
    raw = bytearray(base64.urlsafe_b64decode(cursor))
    raw[-1] = 10
    question = Question(received_since=RECEIVED_AT + 20_000_000, cursor=base64.urlsafe_b64encode(raw).decode())
    assert page(question, log, models) == Page([], None, 100, 100)


def test_strings_that_are_no_unicode_text_are_answered_with_nothing(read_models: ReadModels) -> None:
    log = texts("a", "b", "c")
    for question in (Question(actor="\udcff"), Question(text="\udcff"), Question(action="a\0")):
        assert page(question, log, read_models).events == []


# --- what the views cost and may suffer


def test_a_page_reads_a_bounded_number_of_frames_and_says_where_it_stopped() -> None:
    entry = entry_of(event_with(b"1", number=2))
    log, models = ListedLog([entry] * 64 * (SCAN_FRAMES_MAX + 3)), MemoryReadModels()
    log.published[5] = entry_of(event_with(b'"needle"', number=2))
    first = page(Question(text="needle"), log, models)
    assert first.events == [] and first.next is not None
    assert log.frames_read == SCAN_FRAMES_MAX
    assert [index for index, _ in page(Question(text="needle", cursor=first.next), log, models).events] == [5]
    assert indexes(Question(text="needle", order="index"), log, models) == [5]


def test_a_followed_view_spares_reading_frames_without_the_terms(read_models: ReadModels) -> None:
    log = ListedLog()
    grow(log, 64 * 30)
    log.published[700] = entry_of(event_with(b'"needle"', number=2))
    follow(log, read_models)
    log.frames_read = 0
    assert indexes(Question(text="needle"), log, read_models) == [700]
    assert log.frames_read <= 2


def test_fields_that_never_meet_are_not_looked_for_in_the_log(read_models: ReadModels) -> None:
    log = ListedLog()
    for number in range(64 * 20):
        actor, outcome = ("eve", "success") if number % 2 else ("bob", "denied")
        event = {"actor": {"id": actor}, "action": "login", "outcome": outcome}
        log.published.append(entry_of(json.dumps(event).encode()))
    follow(log, read_models)
    log.frames_read = 0
    assert indexes(Question(actor="eve", action="login", outcome="denied"), log, read_models) == []
    assert log.frames_read <= 1


def test_a_view_that_is_ahead_of_its_log_is_not_believed_and_is_made_again(read_models: ReadModels) -> None:
    other, log = ListedLog(), ListedLog()
    grow(other, 640)
    follow(other, read_models)
    log.published = [entry_of(event_with(b'"needle"', number=number)) for number in range(128)]
    assert len(indexes(Question(text="needle"), log, read_models)) == 128
    assert follow(log, read_models) == 128
    assert read_models.followed("acme") == 2
    assert len(indexes(Question(text="needle"), log, read_models)) == 128


def test_entries_that_are_not_ours_are_found_by_text_and_by_nothing_else(read_models: ReadModels) -> None:
    log = ListedLog()
    grow(log, 200)
    foreign = [b"", b"needle \xff", b'{"format":2,"note":"needle"}', b'{"event":{"actor":{"id":"root"}}} needle']
    for place, entry in zip((0, 63, 64, 199), foreign, strict=True):
        log.published[place] = entry
    assert follow(log, read_models) == 192
    assert indexes(Question(text="needle", order="index"), log, read_models) == [63, 64, 199]
    everyone = indexes(Question(actor="root", since=0), log, read_models)
    assert everyone and not {0, 63, 64, 199} & set(everyone)
    received = indexes(Question(received_since=RECEIVED_AT + 21_000_000, order="index"), log, read_models)
    assert received == [index for index in range(63, 199) if index not in (63, 64)]


def test_a_window_of_time_is_half_open(read_models: ReadModels) -> None:
    instants = ["2026-01-01T00:00:00Z", "2026-01-01T01:00:00+01:00", "2026-01-01T00:00:00.000001Z", None]
    log = ListedLog()
    for time in instants:
        event = {"actor": {"id": "a"}, "action": "b"} | ({"time": time} if time else {})
        log.published.append(entry_of(json.dumps(event).encode()))
    newyear = parse_instant("2026-01-01T00:00:00Z")
    assert indexes(Question(since=newyear, until=newyear + 1), log, read_models) == [1, 0]
    assert indexes(Question(since=newyear + 1, until=newyear + 2), log, read_models) == [2]
    assert indexes(Question(until=newyear), log, read_models) == []
    assert indexes(Question(since=RECEIVED_AT), log, read_models) == [3], "without a time, that of its receipt"


def test_following_is_bounded_and_takes_full_frames_only(read_models: ReadModels) -> None:
    entry = entry_of(event_with(b"1"))
    log = ListedLog([entry] * 63)
    assert follow_once(tenant="acme", reader=log, read_models=read_models) == 0
    log.published += [entry] * (8_192 + 64)
    assert follow_once(tenant="acme", reader=log, read_models=read_models) == 8_192
    assert follow_once(tenant="acme", reader=log, read_models=read_models) == 64
    assert follow_once(tenant="acme", reader=log, read_models=read_models) == 0
