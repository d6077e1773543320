"""The second reading: what an event is found by, straight from the rules, one character and one bit at a time.

It shares no line with `atp.log.terms`: it parses the JSON, where that undoes escapes by pattern, and hashes words from
their first byte on, where that takes differences of sums over whole frames.
"""

import json
import unicodedata
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from hashlib import blake2b
from itertools import combinations
from typing import Any

WRAP = 2**64
WORD_WRAP = 2**32
BASE = 0x9E3779B1
NAMES = ("actor", "action", "resource", "outcome")
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
INVISIBLE = {0xAD, 0x61C, 0x180E, *range(0x200B, 0x2010), *range(0x202A, 0x202F), *range(0x2060, 0x2070)}
INVISIBLE |= {*range(0xFE00, 0xFE10), 0xFEFF}
ALONE = [(0x3040, 0x30FF), (0x3400, 0x4DBF), (0x4E00, 0x9FFF), (0xF900, 0xFAFF), (0x20000, 0x3FFFF)]
PUNCTUATION = [(0x80, 0xBF), (0x2000, 0x206F), (0x3000, 0x303F)]


def read(entry: bytes) -> dict[str, Any]:
    parsed: dict[str, Any] = json.loads(entry)
    return parsed


@lru_cache(maxsize=4_096)
def fields(entry: bytes) -> dict[str, str]:
    """The fields that an event has."""
    event = read(entry)["event"]
    found = {
        "actor": event["actor"]["id"],
        "action": event["action"],
        "resource": event.get("resource", {}).get("id"),
        "outcome": event.get("outcome"),
    }
    return {name: value for name, value in found.items() if value is not None}


@lru_cache(maxsize=4_096)
def instants(entry: bytes) -> tuple[int, int]:
    """When it happened and when it was received."""
    parsed = read(entry)
    received = _micros(parsed["received_at"])
    return (_micros(parsed["event"]["time"]) if "time" in parsed["event"] else received), received


@lru_cache(maxsize=4_096)
def words(entry: bytes) -> list[str]:
    """The words of an event, in order."""
    body = entry.decode()
    body = body[body.index('"event":') + 8 : -1]
    return words_of("".join(_characters(body)))


def words_of(text: str) -> list[str]:
    """The words of a text without escapes, in order."""
    found, run = [], ""
    for character in unicodedata.normalize("NFKC", text).casefold():
        if ord(character) in INVISIBLE:
            continue
        if (character.isalnum() or character == "_") and not _within(character, ALONE):
            run += character
            continue
        found += [run] if run else []
        run = ""
        if ord(character) >= 0x80 and not _within(character, PUNCTUATION):
            found.append(character)
    return found + ([run] if run else [])


def terms(entry: bytes) -> set[int]:
    """The terms of an event."""
    found = {_word_term(word) for word in words(entry)}
    values = fields(entry)
    for size in range(1, 5):
        for names in combinations(values, size):
            found.add(_finish(sum(_value(name, values[name]) for name in names) % WRAP))
    return found


def _within(character: str, ranges: list[tuple[int, int]]) -> bool:
    return any(first <= ord(character) <= last for first, last in ranges)


def _characters(body: str) -> list[str]:
    """The body with each escape as the character that it stands for; a space where that is no letter anyway."""
    made, at = [], 0
    while at < len(body):
        if body[at] != "\\":
            made.append(body[at])
            at += 1
        elif body[at + 1] == "u":
            size = 12 if json.loads(f'"{body[at : at + 6]}"') >= "\ud800" and body[at + 6 : at + 8] == "\\u" else 6
            whole = json.loads(f'"{body[at : at + size]}"')
            made.append(whole if len(whole) == 1 else whole[0])
            at += size if len(whole) == 1 else 6
        else:
            made.append(" ")
            at += 2
    return ["\ufffd" if "\ud800" <= character <= "\udfff" else character for character in made]


@lru_cache(maxsize=1 << 17)
def _word_term(word: str) -> int:
    total, power = 0, 1
    for byte in word.encode():
        power = power * BASE % WORD_WRAP
        total += byte * power
    return _finish(total % WORD_WRAP)


def _value(name: str, value: str) -> int:
    digest = blake2b(value.encode("utf-8", "surrogatepass"), digest_size=8, person=str(NAMES.index(name)).encode())
    return int.from_bytes(digest.digest(), "big")


def _finish(value: int) -> int:
    value ^= value >> 30
    value = value * 0xBF58476D1CE4E5B9 % WRAP
    value ^= value >> 27
    value = value * 0x94D049BB133111EB % WRAP
    return value ^ value >> 31


def _micros(text: str) -> int:
    since = datetime.fromisoformat(text.replace("Z", "+00:00")) - EPOCH
    return since // timedelta(microseconds=1)
