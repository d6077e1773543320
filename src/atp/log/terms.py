"""What an event can be found by: its words and its fields, as 64-bit terms that stay the same for ever.

The text of an event is its JSON bytes. Its *words* are the runs of ASCII letters, digits and `_` in lower case, after
every JSON escape is undone: a line break written `\\n` parts two words, `\\u00e9` is the letter é. Beyond ASCII, texts
are compared by Unicode NFKC and case folding: runs of letters are words, an ideograph, a kana or a symbol is a word by
itself (such scripts write no spaces), and invisible characters (U+200E and the like) are as if they were not there.

A *term* is a hash. Two words may share one, so terms narrow a question down; the text and the fields decide. The term
of a word is the sum of byte[j] * BASE^(j+1) mod 2^32, finished to 64 bits as in SplitMix64 (Steele, Lea, Flood: "Fast
splittable pseudorandom number generators", 2014). The terms of an event's fields: for each non-empty subset of (actor,
action, resource, outcome) that it has, the sum of the BLAKE2b-64 of the values mod 2^64, finished alike. So every
conjunction of fields is one exact term, and never an intersection of frequent ones.
"""

import re
import unicodedata
from collections.abc import Iterable, Iterator
from functools import lru_cache
from hashlib import blake2b
from itertools import product
from string import hexdigits
from struct import Struct
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from atp.ports.read_models import Terms

Fields = tuple[str | None, str | None, str | None, str | None]
"""Actor, action, resource and outcome of one event; None where it has none."""

TERMS_FORMAT = f"atp-terms/2 unicode/{unicodedata.unidata_version}"
"""Names these rules. Terms stored under another name have to be made again: Unicode versions differ in letters."""

Places = npt.NDArray[np.intp]
"""Where something stands in a text."""
Hashes = npt.NDArray[np.uint32]
"""Hashes of words before they are finished."""
Array = TypeVar("Array", Hashes, Terms)

_WRAP = 1 << 64
_WORD_WRAP = 1 << 32
_BASE = 0x9E3779B1
_MIX = (0xBF58476D1CE4E5B9, 0x94D049BB133111EB)
_PIECE_BYTES_MAX = 1 << 17  # hashed at once: the arrays of one piece stay in the processor's cache
_POWERS = np.cumprod(np.full(_PIECE_BYTES_MAX, _BASE, np.uint32), dtype=np.uint32)
_INVERSES = np.cumprod(np.full(_PIECE_BYTES_MAX, pow(_BASE, -1, _WORD_WRAP), np.uint32), dtype=np.uint32)
_SLOTS_BITS = 12
_SUBSETS = np.array([subset for subset in product((0, 1), repeat=4) if any(subset)], np.uint64).T
_PRESENT = np.array([[not subset & ~given for subset in range(1, 16)] for given in range(16)])  # of four bits each
_PACKED = Struct("<5Q")
_CACHED_CHARS_MAX = 512  # of one event's fields: what is cached stays small, whatever is sent
_CACHED_TEXT_BYTES_MAX = 256  # of one text between two spaces

_SPACE, _BACKSLASH, _U = b" \\u"
_ASCII_MAX = 127
_FOLD = bytes(ord(chr(c).lower()) if chr(c).isalnum() or chr(c) == "_" else _SPACE for c in range(128))
_FOLD += bytes(range(128, 256))
_RUN = re.compile(rb'[^ "\n]*')
_SHORT_ESCAPE = re.compile(rb"\\[^u]")
_ESCAPE = re.compile(r"\\(?:u([0-9a-fA-F]{4})|[^u])")
_ESCAPE_BYTES = len(b"\\u0027")
_INVISIBLE = re.compile("[\u00ad\u061c\u180e\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufe00-\ufe0f\ufeff]")
_ALONE = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
_WORD = re.compile(rf"[^\W{_ALONE}]+|[^\x00-\u00bf\u2000-\u206f\u3000-\u303f]")

_LATIN = 0xC2  # begins U+0080 .. U+00BF in UTF-8; the byte behind it is the character's number
_LATIN_END = 0xC0
_FEW = 32  # places that are folded in less time than it takes to look at all of them
# Which of the characters before U+00C0 are as a space is, whatever follows: `<`, `=` and `>` are more with U+0338.
_PARTING = np.array(
    [
        _WORD.findall(unicodedata.normalize("NFKC", f"a{chr(c)}\u0338b")) == ["a", "\u0338", "b"]
        and not _INVISIBLE.match(chr(c))
        for c in range(_LATIN_END)
    ]
    + [False] * (256 - _LATIN_END)
)
_HEX = np.arange(2, _ESCAPE_BYTES)
_PLACES = np.array([1 << 12, 1 << 8, 1 << 4, 1])
_DIGITS = np.array([int(chr(c), 16) if chr(c) in hexdigits else 1 << 16 for c in range(256)])


def fold(text: bytes) -> bytes:
    """The words of a JSON text, in order, each between single spaces: `b" create user caf\\xc3\\xa9 "`.

    A phrase occurs in a text when its own folded form occurs in the text's. Bytes that are no JSON are read alike.
    About 10 µs for 1.4 kB of ASCII, 100 µs beyond ASCII.
    """
    plain = _SHORT_ESCAPE.sub(b"  ", text)
    if plain.isascii() and b"\\u" not in plain:
        return _spaced(plain.translate(_FOLD).split())
    unescaped = _ESCAPE.sub(_unescaped, text.decode("utf-8", "replace"))
    return fold_phrase(unescaped.encode("utf-16", "surrogatepass").decode("utf-16", "replace"))


def fold_phrase(text: str) -> bytes:
    """`fold` of what somebody types: a backslash is a backslash."""
    comparable = _INVISIBLE.sub("", unicodedata.normalize("NFKC", text).casefold())
    return _spaced(word.encode("utf-8", "replace") for word in _WORD.findall(comparable))


def fold_plain(text: bytes) -> bytes:
    """`fold` of what `plain` gave, or of a piece of it between two line breaks. About 10 µs for 1.4 kB of anything."""
    return _spaced(_SHORT_ESCAPE.sub(b"  ", text).translate(_FOLD).split())


def has_word(text: bytes, word: bytes) -> bool:
    """Whether a folded word is among those of what `plain` gave, or of a piece of it. About 0.5 ns a byte, and 0.5 µs
    for each place where it is part of a text."""
    lower = b" %b " % text.lower()
    at = lower.find(word, 1)
    while at >= 0:
        if _FOLD[lower[at + len(word)]] == _SPACE and _is_beginning(lower, at):
            return True
        at = lower.find(word, at + 1)
    return False


def plain(text: bytes) -> bytes:
    """A text with the same words and line breaks, in which each word stands as it is folded, but for ASCII capitals.

    That is the text itself, unless it goes beyond ASCII or has a `\\u`. What of that only parts words becomes spaces,
    all at once. Folding is dear, so then only what stands there between two spaces, quotes or line breaks is folded,
    and nothing goes on across them. About 0.3 ns a byte, and 1 µs for each place that is folded.
    """
    oddities = _oddities(text)
    if len(oddities) > _FEW:
        text, oddities = _parted(text, oddities)
    parts, done = list[bytes](), 0
    for at in oddities.tolist():
        if at >= done:
            start = done
            for cut in (b'"', b" ", b"\n"):
                start = max(start, text.rfind(cut, start, at) + 1)
            run = _RUN.match(text, at)
            parts += text[done:start], _fold_once(text[start : (done := run.end() if run else at)])
    return b"".join([*parts, text[done:]]) if parts else text


def _oddities(text: bytes) -> Places:
    """Where a text goes beyond ASCII or may have a `\\u`: a `u` behind backslashes, unless there are exactly two."""
    raw = np.frombuffer(text, np.uint8)
    escapes = np.flatnonzero((raw[:-1] == _BACKSLASH) & (raw[1:] == _U))
    before = raw[escapes - 1] != _BACKSLASH  # a first place looks at the end of the text
    escapes = escapes[before | (raw[escapes - 2] == _BACKSLASH) | (escapes == 0)]
    return escapes if text.isascii() else np.sort(np.concatenate((escapes, np.flatnonzero(raw > _ASCII_MAX))))


def _is_beginning(text: bytes, at: int) -> bool:
    """Whether a word can begin here: behind what parts words, or what belongs to an escape, and in no escape."""
    return _is_escaped(text, at - 1) or (_FOLD[text[at - 1]] == _SPACE and not _is_escaped(text, at))


def _is_escaped(text: bytes, at: int) -> bool:
    first = at
    while text[first - 1] == _BACKSLASH:
        first -= 1
    return (at - first) % 2 == 1


def _parted(text: bytes, oddities: Places) -> tuple[bytes, Places]:
    """The text with spaces for those of its oddities that part words and do nothing else, and the others.

    Whatever escapes quotes (`\\u0027`), ampersands or trademarks, there are many of them, and nothing to fold.
    """
    raw = np.frombuffer(b"\n%b%b" % (text, b"\n" * _ESCAPE_BYTES), np.uint8).copy()
    at = oddities + 1
    is_escape = (raw[at] == _BACKSLASH) & (raw[at - 1] != _BACKSLASH)
    escapes = at[is_escape]
    digits = _DIGITS[raw[escapes[:, np.newaxis] + _HEX]]
    escapes = escapes[_PARTING[(digits @ _PLACES).clip(max=_LATIN_END)]]
    signs = at[raw[at] == _LATIN]
    signs = signs[(raw[signs + 1] > _ASCII_MAX) & _PARTING[raw[signs + 1]]]
    raw[escapes[:, np.newaxis] + np.arange(_ESCAPE_BYTES)] = _SPACE
    raw[signs], raw[signs + 1] = _SPACE, _SPACE
    return raw[1:-_ESCAPE_BYTES].tobytes(), oddities[raw[at] != _SPACE]


def word_term(word: bytes) -> int:
    """The term of one folded word."""
    return _finish(_word_hash(word))


def text_terms(texts: Iterable[bytes]) -> Terms:
    """The terms of every word of JSON texts, each once, in no order. About 4 ns a byte.

    Events repeat one another: the texts are cut at commas, where no word and no escape goes on, and only the distinct
    parts are hashed, a third to a half of all bytes.
    """
    parts = set[bytes]()
    for text in texts:
        parts.update(text.split(b","))
    pieces = _pieces(plain(b"\n".join(parts)))
    return _finished(_distinct(np.concatenate([_word_hashes(b"\n%b\n" % piece) for piece in pieces])))


def field_term(fields: Fields) -> int:
    """The one term of all events with these fields; None leaves a field open. ValueError when all are open."""
    values = [_value_hash(name, value) for name, value in enumerate(fields) if value is not None]
    if not values:
        raise ValueError("no field is given")
    return _finish(sum(values) % _WRAP)


def field_terms(events: Iterable[Fields]) -> Terms:
    """The terms of every conjunction of fields that some event has, each once, in no order. About 0.3 µs an event."""
    packed = np.frombuffer(b"".join([_packed(event) for event in set(events)]), np.uint64).reshape(-1, 5)
    sums = packed[:, :4] @ _SUBSETS
    return _finished(_sorted(sums[_PRESENT[packed[:, 4]]]))


def _unescaped(escape: re.Match[str]) -> str:
    return chr(int(escape[1], 16)) if escape[1] else " "


def _spaced(words: Iterable[bytes]) -> bytes:
    return b" %b " % b" ".join(words)


def _fold_once(text: bytes) -> bytes:
    return _fold_lately(text) if len(text) <= _CACHED_TEXT_BYTES_MAX else fold(text)


_fold_lately = lru_cache(maxsize=1 << 13)(fold)


def _pieces(text: bytes) -> Iterator[bytes]:
    """The text in pieces of `_PIECE_BYTES_MAX`, cut between words; longer ones only where a word is."""
    at = 0
    while len(text) - at > _PIECE_BYTES_MAX - 2:
        beyond = at + _PIECE_BYTES_MAX - 2
        end = max(text.rfind(b"\n", at, beyond), text.rfind(b" ", at, beyond))
        if end < 0:
            end = min([found for cut in b"\n " if (found := text.find(cut, beyond)) >= 0], default=len(text))
        yield text[at:end]
        at = end + 1
    yield text[at:]


def _word_hashes(text: bytes) -> Hashes:
    """The unfinished hashes of the words of a plain text between two line breaks, repeats included.

    The difference of two prefix sums of byte[i] * BASE^i is a word's sum times a power of its position, and the inverse
    power takes that away.
    """
    if len(text) > _PIECE_BYTES_MAX:  # only what Unicode folding made longer than any entry
        words = fold(text).split() if text.isascii() else text.split()
        return np.array([_word_hash(word) for word in words], np.uint32)
    raw = np.frombuffer(text, np.uint8)
    folded = np.frombuffer(text.translate(_FOLD), np.uint8)
    is_word = folded != _SPACE
    is_word[_escapes(raw)] = False
    edges = np.flatnonzero(is_word[1:] != is_word[:-1])
    sums = folded * _POWERS[: len(folded)]
    np.cumsum(sums, out=sums)
    at_edges = sums.take(edges)
    return (at_edges[1::2] - at_edges[::2]) * _INVERSES.take(edges[::2])


def _escapes(raw: npt.NDArray[np.uint8]) -> Places:
    """Where a character stands behind an odd run of backslashes. The text must not begin or end with one."""
    is_slash = raw == _BACKSLASH
    edges = np.flatnonzero(is_slash[1:] != is_slash[:-1])
    before, last = edges[::2], edges[1::2]
    escapes: Places = last[(last - before & 1).astype(np.bool_)] + 1
    return escapes


def _word_hash(word: bytes) -> int:
    total = 0
    for byte in reversed(word):
        total = (total + byte) * _BASE % _WORD_WRAP
    return total


def _packed(fields: Fields) -> bytes:
    """The hashes of four values, and which of them are given as a number of four bits, the first one highest."""
    is_short = sum([len(value) for value in fields if value is not None]) <= _CACHED_CHARS_MAX
    return _packed_lately(fields) if is_short else _pack(fields)


def _pack(fields: Fields) -> bytes:
    given = sum(8 >> name for name, value in enumerate(fields) if value is not None)
    return _PACKED.pack(*[0 if value is None else _value_hash(name, value) for name, value in enumerate(fields)], given)


_packed_lately = lru_cache(maxsize=1 << 13)(_pack)


def _value_hash(name: int, value: str) -> int:
    digest = blake2b(value.encode("utf-8", "surrogatepass"), digest_size=8, person=b"%d" % name)
    return int.from_bytes(digest.digest(), "big")


def _distinct(hashes: Hashes) -> Hashes:
    """Each hash once, in no order. A table of slots drops nearly all repeats: much cheaper than sorting them."""
    if not hashes.size:
        return hashes
    slots = (hashes >> np.uint32(32 - _SLOTS_BITS)).astype(np.intp)
    table = np.full(1 << _SLOTS_BITS, hashes[0])
    table[slots] = hashes
    return _sorted(np.concatenate((table, hashes[table.take(slots) != hashes])))


def _sorted(hashes: Array) -> Array:
    """Each hash once, in order."""
    kept = np.sort(hashes)
    return kept[np.concatenate(([True], kept[1:] != kept[:-1]))] if kept.size else kept


def _finish(value: int) -> int:
    value = (value ^ value >> 30) * _MIX[0] % _WRAP
    value = (value ^ value >> 27) * _MIX[1] % _WRAP
    return value ^ value >> 31


def _finished(hashes: Hashes | Terms) -> Terms:
    values = hashes.astype(np.uint64)
    values = (values ^ values >> np.uint64(30)) * np.uint64(_MIX[0])
    values = (values ^ values >> np.uint64(27)) * np.uint64(_MIX[1])
    return values ^ values >> np.uint64(31)
