"""Pages of 50 with their payload, of a filled log and of one a tenth as large, over every shape of question."""

import re
import time
from collections import Counter
from collections.abc import Hashable, Iterable, Iterator, Sequence
from itertools import count
from typing import TypeVar
from urllib.parse import urlencode

import msgspec

from atp.limits import PAGE_EVENTS_DEFAULT
from benchmarks.corpus import Sample
from benchmarks.figures import Figure, Row, percentile
from benchmarks.fill import Filled, filling
from benchmarks.load import Connection, connect, request, run, succeed
from benchmarks.run import EVENTS_PATH, Run
from benchmarks.server import Server, serving

PAGE_SECONDS_MAX = 0.020
GROWTH_MAX = 1.5
_TENTH = 10
_RARE, _FREQUENT = 12, 3  # how many values of each kind take turns
_SCANNED_SAMPLES = 4_000
_WORD = re.compile(rb"[a-zA-Z]{5,20}")

Questions = dict[str, list[dict[str, str]]]
Answers = dict[str, list[float]]
"""Seconds of each page by shape. A page that ends before it is full, to be quick, is a page: `_early` counts them."""
T = TypeVar("T", bound=Hashable)


def measure(bench: Run, filled: Filled) -> Iterator[Row]:
    """Asked by one client on a warm page cache."""
    large, early = _ask_all(bench, filled)
    with filling(bench, filled.events // _TENTH) as tenth:
        small, _ = _ask_all(bench, tenth)
    slowest = sorted(large, key=lambda shape: percentile(large[shape], 95), reverse=True)
    yield Figure(
        what=f"query page of 50 at {filled.events:,} events, p95",
        measured=_p95(large) * 1e3,
        unit="ms",
        yardstick=PAGE_SECONDS_MAX * 1e3,
        against="limit",
        is_ceiling=True,
        note="p50/p95 ms: " + ", ".join(f"{shape} {_words(large[shape])}" for shape in slowest) + f"; {early}",
    )
    yield Figure(
        what=f"the same by p95 at {tenth.events:,} events",
        measured=_p95(large) * 1e3,
        unit="ms",
        yardstick=_p95(small) * 1e3,
        against="a tenth of the events",
        goal=GROWTH_MAX,
        is_ceiling=True,
        note="p50/p95 ms: " + ", ".join(f"{shape} {_words(small[shape])}" for shape in slowest),
    )


def _p95(answers: Answers) -> float:
    """Over all pages: each shape was asked as often as the others."""
    return percentile([seconds for times in answers.values() for seconds in times], 95)


def _words(times: Sequence[float]) -> str:
    return f"{percentile(times, 50) * 1e3:.1f}/{percentile(times, 95) * 1e3:.1f}"


def _ask_all(bench: Run, filled: Filled) -> tuple[Answers, str]:
    with serving(filled.data) as server, bench.profiled(f"queries of {filled.events:,} events", server.pid):
        return run(lambda: _answers(bench, server))


async def _answers(bench: Run, server: Server) -> tuple[Answers, str]:
    """One question of each shape after another, until the time is over and each was asked; and what ended early."""
    connection = await connect(server.port)
    questions = _questions(bench.corpus.samples, await _some_ids(connection, server))
    requests = {shape: [_request(server, variant) for variant in variants] for shape, variants in questions.items()}
    early = Counter[str]()
    for shape, sent in ((shape, sent) for shape, variants in requests.items() for sent in variants):
        page = msgspec.json.decode((await succeed(connection, sent)).body)  # unmeasured: it warms the page cache
        early[shape] += page["next"] is not None and len(page["events"]) < PAGE_EVENTS_DEFAULT
    answers: Answers = {shape: [] for shape in requests}
    deadline = time.perf_counter() + bench.seconds
    for turn in count():
        if turn >= _RARE and time.perf_counter() > deadline:
            break
        for shape, variants in requests.items():
            answers[shape].append((await succeed(connection, variants[turn % len(variants)])).seconds)
    connection.close()
    return answers, _early(early, questions)


def _early(early: Counter[str], questions: Questions) -> str:
    """How many of each shape's pages handed out a cursor before they were full."""
    shapes = [f"{shape} {count} of {len(questions[shape])}" for shape, count in early.items() if count]
    return f"first pages that ended early: {', '.join(shapes) or 'none'}"


async def _some_ids(connection: Connection, server: Server) -> list[str]:
    answer = await succeed(connection, _request(server, {"order": "index", "limit": str(_RARE)}))
    return [event["id"] for event in msgspec.json.decode(answer.body)["events"]]


def _request(server: Server, question: dict[str, str]) -> bytes:
    return request("GET", f"{EVENTS_PATH}?{urlencode(question)}", key=server.key)


def _questions(samples: Sequence[Sample], ids: list[str]) -> Questions:
    """Questions by shape. What is rare stands in the fewest samples; a word is a run of letters."""
    actors = _ranked([sample.actor for sample in samples])
    resources = _ranked([sample.resource for sample in samples if sample.resource])
    pairs = _ranked([(sample.actor, sample.action) for sample in samples])
    scanned = [sample.tail for sample in samples[:: max(1, len(samples) // _SCANNED_SAMPLES)]]
    words = _ranked([word.decode() for tail in scanned for word in set(_WORD.findall(tail))])
    often, seldom = words[:_FREQUENT], words[-_RARE:]
    return {
        "newest": [{}],
        "frequent actor": [{"actor": actor} for actor in actors[:_FREQUENT]],
        "rare actor": [{"actor": actor} for actor in actors[-_RARE:]],
        "rare resource": [{"resource": resource} for resource in resources[-_RARE:]],
        "frequent actor and action": [{"actor": actor, "action": action} for actor, action in pairs[:_FREQUENT]],
        "rare actor and action": [{"actor": actor, "action": action} for actor, action in pairs[-_RARE:]],
        "unique word": [{"text": event_id} for event_id in ids],
        "absent word": [{"text": event_id[::-1]} for event_id in ids],
        "frequent word": [{"text": word} for word in often],
        "rare word": [{"text": word} for word in seldom],
        "frequent and rare word": [{"text": f"{often[0]} {word}"} for word in seldom],
        "rare word of a frequent actor": [{"text": word, "actor": actors[0]} for word in seldom],
    }


def _ranked(values: Iterable[T]) -> list[T]:
    """Distinct values, the most frequent first."""
    return [value for value, _ in Counter(values).most_common()]
