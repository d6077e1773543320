"""What an event can be found by: its words and its fields, as 64-bit terms that stay the same for ever.

The text of an event is its JSON bytes. Its *words* are the runs of ASCII letters, digits and `_` in lower case, after
every JSON escape is undone: a line break written `\\n` parts two words, `\\u00e9` is the letter é. Beyond ASCII, texts
are compared by Unicode NFKC and case folding: runs of letters are words, an ideograph, a kana or a symbol is a word by
itself (such scripts write no spaces), and invisible characters (U+200E and the like) are as if they were not there.

A *term* is a hash. Two words may share one, so terms narrow a question down; the text and the fields decide. The term
of a word is the sum of byte[j] * BASE^(j+1) mod 2^64, finished as in SplitMix64 (Steele, Lea, Flood: "Fast splittable
pseudorandom number generators", 2014). The terms of an event's fields: for each non-empty subset of (actor, action,
resource, outcome) that it has, the sum of the BLAKE2b-64 of the values, finished alike. So every conjunction of fields
is one exact term, and never an intersection of frequent ones.
"""

import re
import unicodedata
from collections.abc import Collection, Iterable, Iterator, Sequence
from functools import lru_cache
from hashlib import blake2b
from itertools import product

import numpy as np
import numpy.typing as npt

from atp.ports.read_models import Terms

Fields = tuple[str | None, str | None, str | None, str | None]
"""Actor, action, resource and outcome of one event; None where it has none."""

TERMS_FORMAT = f"atp-terms/1 unicode/{unicodedata.unidata_version}"
"""Names these rules. Terms stored under another name have to be made again: Unicode versions differ in letters."""

_WRAP = 1 << 64
_BASE = 0x9E3779B97F4A7C15
_MIX = (0xBF58476D1CE4E5B9, 0x94D049BB133111EB)
_PIECE_BYTES = 64 * 1024  # hashed at once: the arrays of one piece stay in the processor's cache
_PIECE_BYTES_MAX = 1 << 17
_POWERS = np.cumprod(np.full(_PIECE_BYTES_MAX, _BASE, np.uint64), dtype=np.uint64)
_INVERSES = np.cumprod(np.full(_PIECE_BYTES_MAX, pow(_BASE, -1, _WRAP), np.uint64), dtype=np.uint64)
_SUBSETS = np.array([subset for subset in product((0, 1), repeat=4) if any(subset)], np.uint64).T
_SLOTS_BITS = 14

_SPACE, _BACKSLASH, _U = b" \\u"
_FOLD = bytes(ord(chr(c).lower()) if chr(c).isalnum() or chr(c) == "_" else _SPACE for c in range(128))
_FOLD += bytes(range(128, 256))
_SHORT_ESCAPE = re.compile(rb"\\[^u]")
_ESCAPE = re.compile(r"\\(?:u([0-9a-fA-F]{4})|[^u])")
_INVISIBLE = re.compile("[\u00ad\u061c\u180e\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufe00-\ufe0f\ufeff]")
_ALONE = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
_WORD = re.compile(rf"[^\W{_ALONE}]+|[^\x00-\u00bf\u2000-\u206f\u3000-\u303f]")


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


def word_term(word: bytes) -> int:
    """The term of one folded word."""
    return _finish(_word_hash(word))


def text_terms(texts: Sequence[bytes]) -> Terms:
    """The terms of every word of JSON texts, each once, in no order. About 5 µs for a text of 1.4 kB.

    Events repeat one another: the texts are cut at colons, where no word and no escape goes on, and only the distinct
    parts are hashed, a quarter of all bytes.
    """
    parts = set(b"\n".join(texts).split(b":"))
    text = b"\n".join(parts)
    pieces = [parts] if len(text) <= _PIECE_BYTES and text.isascii() else _pieces(parts)
    return _finished(_distinct(np.concatenate([_word_hashes(piece) for piece in pieces])))


def field_term(fields: Fields) -> int:
    """The one term of all events with these fields; None leaves a field open. ValueError when all are open."""
    values = [_value_hash(name, value) for name, value in enumerate(fields) if value is not None]
    if not values:
        raise ValueError("no field is given")
    return _finish(sum(values) % _WRAP)


def field_terms(events: Iterable[Fields]) -> Terms:
    """The terms of every conjunction of fields that some event has, each once, in no order."""
    distinct = set(events)
    hashes = [[_value_hash(name, value) for name, value in enumerate(event)] for event in distinct]
    present = np.array([[value is not None for value in event] for event in distinct], np.uint64).reshape(-1, 4)
    sums = np.array(hashes, np.uint64).reshape(-1, 4) @ _SUBSETS
    return _finished(_distinct(sums[present @ _SUBSETS == _SUBSETS.sum(axis=0)]))


def _unescaped(escape: re.Match[str]) -> str:
    return chr(int(escape[1], 16)) if escape[1] else " "


def _spaced(words: Iterable[bytes]) -> bytes:
    return b" %b " % b" ".join(words)


def _pieces(parts: Iterable[bytes]) -> Iterator[Collection[bytes]]:
    """The parts in groups of about `_PIECE_BYTES`, at least one; what is not ASCII comes folded."""
    piece: list[bytes] = []
    size = 0
    for part in parts:
        piece.append(part if part.isascii() else fold(part))
        size += len(piece[-1])
        if size >= _PIECE_BYTES:
            yield piece
            piece, size = [], 0
    yield piece


def _word_hashes(parts: Collection[bytes]) -> Terms:
    """The unfinished hashes of the words of some parts, repeats included.

    The difference of two prefix sums of byte[i] * BASE^i is a word's sum times a power of its position, and the inverse
    power takes that away.
    """
    text = b"\n".join([b"", *parts, b""])
    raw = np.frombuffer(text, np.uint8)
    escapes = _escapes(raw)
    if (raw[escapes] == _U).any():
        return _word_hashes([fold(part) if b"\\u" in part else part for part in parts])
    if len(text) > _PIECE_BYTES_MAX:  # only what Unicode folding made longer than any entry
        words = (word for part in parts for word in (fold(part) if part.isascii() else part).split())
        return np.array([_word_hash(word) for word in words], np.uint64)
    folded = np.frombuffer(text.translate(_FOLD), np.uint8)
    is_word = folded != _SPACE
    is_word[escapes] = False
    edges = np.flatnonzero(is_word[1:] != is_word[:-1])
    before, last = edges[::2], edges[1::2]
    sums = folded * _POWERS[: len(folded)]
    np.cumsum(sums, out=sums)
    return (sums[last] - sums[before]) * _INVERSES[before]


def _escapes(raw: npt.NDArray[np.uint8]) -> npt.NDArray[np.intp]:
    """Where a character stands behind an odd run of backslashes. The text must not end with one."""
    slashes = np.flatnonzero(raw == _BACKSLASH)
    if not slashes.size:
        return slashes
    runs = np.flatnonzero(np.concatenate(([True], slashes[1:] - slashes[:-1] != 1)))
    lengths = np.concatenate((runs[1:], [slashes.size])) - runs
    escapes: npt.NDArray[np.intp] = (slashes[runs] + lengths)[lengths % 2 == 1]
    return escapes


def _word_hash(word: bytes) -> int:
    total = 0
    for byte in reversed(word):
        total = (total + byte) * _BASE % _WRAP
    return total


@lru_cache(maxsize=1 << 14)
def _value_hash(name: int, value: str | None) -> int:
    if value is None:
        return 0
    digest = blake2b(value.encode("utf-8", "surrogatepass"), digest_size=8, person=b"%d" % name)
    return int.from_bytes(digest.digest(), "big")


def _distinct(hashes: Terms) -> Terms:
    """Each hash once, in no order. A table of slots drops nearly all repeats: much cheaper than sorting them."""
    if not hashes.size:
        return hashes
    slots = (hashes >> np.uint64(64 - _SLOTS_BITS)).view(np.int64)
    table = np.full(1 << _SLOTS_BITS, hashes[0])
    table[slots] = hashes
    kept = np.sort(np.concatenate((hashes[:1], table[table != hashes[0]], hashes[table[slots] != hashes])))
    return kept[np.concatenate(([True], kept[1:] != kept[:-1]))]


def _finish(value: int) -> int:
    value = (value ^ value >> 30) * _MIX[0] % _WRAP
    value = (value ^ value >> 27) * _MIX[1] % _WRAP
    return value ^ value >> 31


def _finished(values: Terms) -> Terms:
    values = (values ^ values >> np.uint64(30)) * np.uint64(_MIX[0])
    values = (values ^ values >> np.uint64(27)) * np.uint64(_MIX[1])
    return values ^ values >> np.uint64(31)
