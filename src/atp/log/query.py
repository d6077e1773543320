"""6/8 query: a question -> a page of entries, each with its index.

Read models narrow a question down to frames; each entry of those is read from the log and compared exactly, so what is
answered is true whatever a view says. What no view holds yet is read from the log itself: everything published is
answered. A page ends when it is full, or when `SCAN_FRAMES_MAX` frames were read for it; its cursor says where to go on
and which size of the log is listed, so pages neither repeat nor skip an entry while the log grows. A page with a cursor
and few events, or none, is no end: whoever wants more asks on.
"""

import base64
import struct
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from hashlib import blake2b
from typing import Literal

import numpy as np

from atp.errors import MalformedError
from atp.limits import (
    FRAME_ENTRIES,
    PAGE_EVENTS_DEFAULT,
    PAGE_EVENTS_MAX,
    QUERY_TEXT_CHARS_MAX,
    QUERY_WORDS_MAX,
    SCAN_FRAMES_MAX,
)
from atp.log.project.follow import Log
from atp.log.project.frames import Facts, event_text, read_facts
from atp.log.terms import Fields, field_term, fold_phrase, fold_plain, has_word, plain, word_term
from atp.ports.read_models import Narrowing, ReadModels

_CURSOR = struct.Struct(">8sQQ")  # digest of the question, size of the log that is listed, index to go on with
_CURSOR_CHARS = 32
_NEVER = 1 << 63
_LINE_BREAK = ord("\n")
_CASE = np.uint8(0x20)  # the bit that parts a capital from its letter; with it, `_` and three more are as another one

Answers = Callable[[list[bytes], range], Iterable[tuple[int, bytes]]]
"""Which of a frame's entries answer: asked for some indexes, it gives those of them that do, with their entries."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What is asked of one log. None leaves a condition out; the others all have to hold.

    Fields are equal character by character. Instants are microseconds since 1970 UTC, `since` included and `until` not;
    an event without a time has that of its receipt. `text` is plain text: it is parted at white space, and the words of
    each part stand one after another in the event, whatever is between them there, in upper or lower case. Parts
    without a letter, digit or symbol are left out.
    """

    actor: str | None = None
    action: str | None = None
    resource: str | None = None
    outcome: str | None = None
    since: int | None = None
    until: int | None = None
    received_since: int | None = None
    received_until: int | None = None
    text: str | None = None
    order: Literal["-index", "index"] = "-index"
    limit: int = PAGE_EVENTS_DEFAULT
    cursor: str | None = None

    @property
    def fields(self) -> Fields:
        """The four field conditions, in the order of `Facts.fields`."""
        return self.actor, self.action, self.resource, self.outcome


@dataclass(frozen=True, slots=True)
class Page:
    """Answers in the order that was asked for: (index, the entry's bytes).

    `next` is the cursor of the following page; None when all entries below `viewed_size` are answered, the size of the
    log when its first page was asked for. `size` is what is published now.
    """

    events: list[tuple[int, bytes]]
    next: str | None
    size: int
    viewed_size: int


def ask(question: Question, *, tenant: str, reader: Log, read_models: ReadModels) -> Page:
    """Answer one page. Costs about 0.4 ms for each candidate frame, and never more than `SCAN_FRAMES_MAX` of them.

    MalformedError for a question without meaning, and for a cursor that belongs to another one.
    """
    phrases, digest, size = _phrases(question), _digest(question, tenant=tenant), reader.size()
    viewed_size, index = _read_cursor(question.cursor, digest=digest, size=size) if question.cursor else (size, None)
    span = _span(question, reader=reader, size=viewed_size)
    if index is not None:
        span = span[span.index(index) :] if index in span else span[:0]
    numbers = _candidates(question, phrases, tenant=tenant, span=span, size=size, read_models=read_models)
    answers_in = _condition(question, phrases)
    events, index = _scan(numbers, span=span, limit=question.limit, answers_in=answers_in, reader=reader)
    is_done = index is None or index not in span
    following = None if is_done else base64.urlsafe_b64encode(_CURSOR.pack(digest, viewed_size, index)).decode()
    return Page(events, following, size, viewed_size)


def _phrases(question: Question) -> list[bytes]:
    """The folded parts of the text that hold a word. Checks the question on the way."""
    if not 1 <= question.limit <= PAGE_EVENTS_MAX:
        raise _meaningless(f"limit is {question.limit}, it has to be 1 to {PAGE_EVENTS_MAX}")
    if question.order not in ("-index", "index"):
        raise _meaningless("order has to be -index (newest first) or index")
    parts = (question.text or "")[: QUERY_TEXT_CHARS_MAX + 1].split()
    phrases = [folded for folded in map(fold_phrase, parts) if folded.split()]
    if len(question.text or "") > QUERY_TEXT_CHARS_MAX or len(_words(phrases)) > QUERY_WORDS_MAX:
        raise _meaningless(f"text is over {QUERY_TEXT_CHARS_MAX} characters or {QUERY_WORDS_MAX} words")
    if parts and not phrases:  # neither "nothing" nor "everything" would be a true answer
        raise _meaningless(f"text {question.text!r} holds no letter, digit or symbol to look for")
    return phrases


def _words(phrases: Iterable[bytes]) -> list[bytes]:
    return [word for phrase in phrases for word in phrase.split()]


def _span(question: Question, *, reader: Log, size: int) -> range:
    """The indexes in reach, in the order of the answer. `received_at` never goes back, so it is a range of indexes."""

    def received_at(index: int) -> int:
        number, skipped = divmod(index, FRAME_ENTRIES)
        while entries := reader.frame(number)[skipped:]:
            if readable := next(filter(None, map(read_facts, entries)), None):
                return readable.received_at
            number, skipped = number + 1, 0
        return _NEVER

    def first_since(instant: int | None, otherwise: int) -> int:
        return otherwise if instant is None else bisect_left(range(size), instant, key=received_at)

    span = range(first_since(question.received_since, 0), first_since(question.received_until, size))
    return span if question.order == "index" else span[::-1]


def _candidates(
    question: Question, phrases: list[bytes], *, tenant: str, span: range, size: int, read_models: ReadModels
) -> Iterable[int]:
    """The frames to read, in the order of the answer."""
    if not span:
        return ()
    first, last = sorted((span[0] // FRAME_ENTRIES, span[-1] // FRAME_ENTRIES))
    newest_first = span.step < 0
    if read_models.followed(tenant) > size // FRAME_ENTRIES:  # it followed another log: see follow_once
        return range(last, first - 1, -1) if newest_first else range(first, last + 1)
    terms = [word_term(word) for word in dict.fromkeys(_words(phrases))]
    if any(value is not None for value in question.fields):
        terms.append(field_term(question.fields))
    return read_models.candidates(
        tenant, Narrowing(terms, first, last, question.since, question.until, newest_first=newest_first)
    )


def _scan(
    numbers: Iterable[int], *, span: range, limit: int, answers_in: Answers, reader: Log
) -> tuple[list[tuple[int, bytes]], int | None]:
    """The answers in some frames, and the index to go on with when not all frames were read to their end."""
    found: list[tuple[int, bytes]] = []
    for frames_read, number in enumerate(numbers):
        inside = _inside(number, span)
        if frames_read == SCAN_FRAMES_MAX:
            return found, inside[0]
        for index, entry in answers_in(reader.frame(number), inside):
            found.append((index, entry))
            if len(found) == limit:
                return found, index + span.step
    return found, None


def _inside(number: int, span: range) -> range:
    """The indexes of a frame that are in the span, in its order."""
    first, beyond = number * FRAME_ENTRIES, (number + 1) * FRAME_ENTRIES
    if span.step < 0:
        return range(min(beyond - 1, span[0]), max(first, span[-1]) - 1, -1)
    return range(max(first, span[0]), min(beyond - 1, span[-1]) + 1)


def _condition(question: Question, phrases: list[bytes]) -> Answers:
    """The exact test of the entries of a frame."""
    words = sorted(set(_words(phrases)))
    bounds = (question.since, question.until, question.received_since, question.received_until)
    asked = [(place, value) for place, value in enumerate(question.fields) if value is not None]
    is_text_only = not asked and all(bound is None for bound in bounds)

    def answers_in(entries: list[bytes], indexes: range) -> Iterator[tuple[int, bytes]]:
        hopeful = _hopeful(list(map(event_text, entries)), words) if phrases else None
        for index in indexes:
            position = index % FRAME_ENTRIES
            if hopeful is not None and not (position in hopeful and _holds(hopeful[position], phrases)):
                continue
            if is_text_only or _meets(question, asked, read_facts(entries[position])):
                yield index, entries[position]

    return answers_in


def _hopeful(texts: list[bytes], words: list[bytes]) -> dict[int, bytes]:
    """The plain texts of a frame in which all words may stand, by position: one look at all of them. About 0.2 ms.

    The word that comes up last is the rarest, as far as one look tells: the others are looked for around it alone.
    """
    joined = plain(b"\n".join(texts))
    raw = np.frombuffer(joined, np.uint8)
    similar = (raw | _CASE).tobytes()
    wanted = [(np.frombuffer(word, np.uint8) | _CASE).tobytes() for word in words]
    places = list(map(similar.find, wanted))
    if min(places) < 0:
        return {}
    ends = [*np.flatnonzero(raw == _LINE_BREAK).tolist(), len(raw)]
    if len(ends) != len(texts):  # texts that are no JSON may have line breaks of their own
        return dict(enumerate(map(plain, texts)))
    at = max(places)
    rarest = wanted[places.index(at)]
    found = dict[int, bytes]()
    while at >= 0:
        number = bisect_right(ends, at)
        start, end = ends[number - 1] + 1 if number else 0, ends[number]
        if all(similar.find(word, start, end) >= 0 for word in wanted):
            found[number] = joined[start:end]
        at = similar.find(rarest, end)
    return found


def _holds(text: bytes, phrases: list[bytes]) -> bool:
    """Whether all phrases occur in a plain text. Only those of several words are worth folding it."""
    parted = [phrase.split() for phrase in phrases]
    if not all(has_word(text, words[0]) for words in parted if len(words) == 1):
        return False
    folded = fold_plain(text) if any(len(words) > 1 for words in parted) else b""
    return all(phrase in folded for phrase, words in zip(phrases, parted, strict=True) if len(words) > 1)


def _meets(question: Question, asked: list[tuple[int, str]], facts: Facts | None) -> bool:
    if facts is None:
        return False
    for place, value in asked:
        if facts.fields[place] != value:
            return False
    return (
        (question.since is None or question.since <= facts.at)
        and (question.until is None or facts.at < question.until)
        and (question.received_since is None or question.received_since <= facts.received_at)
        and (question.received_until is None or facts.received_at < question.received_until)
    )


def _digest(question: Question, *, tenant: str) -> bytes:
    conditions = repr((tenant, replace(question, limit=1, cursor=None)))
    return blake2b(conditions.encode(), digest_size=8).digest()


def _read_cursor(cursor: str, *, digest: bytes, size: int) -> tuple[int, int]:
    """The listed size and the index to go on with."""
    try:
        made_for, listed, index = _CURSOR.unpack(base64.b64decode(cursor[: _CURSOR_CHARS + 1], b"-_", validate=True))
    except (ValueError, struct.error):
        raise _meaningless("cursor is damaged", hint="begin without one") from None
    if made_for != digest:
        raise _meaningless("cursor belongs to another question", hint="repeat the conditions with it, or begin without")
    if not index < listed <= size:
        raise _meaningless("cursor is not of this log", hint="begin without one")
    return listed, index


def _meaningless(reason: str, *, hint: str | None = None) -> MalformedError:
    return MalformedError(f"could not answer the question: {reason}", hint=hint)
