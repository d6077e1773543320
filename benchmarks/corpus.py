"""Events to send: real ones of `../shared/data/bulk` where they are, else synthetic ones; each with a fresh random id.

Every sender draws here, ours and the yardsticks', so all of them get the same bytes at the same cost.
"""

import gzip
import os
import random
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import msgspec

from atp.formats import Occurrences, Rejected, convert, load_formats, read_records
from atp.log.event import Actor, Event, Resource, parse_instant

SHARED = Path(os.environ.get("ATP_SHARED") or Path(__file__).resolve().parents[2] / "shared")
BULK = SHARED / "data" / "bulk" / "windows_endpoint_bulk.ndjson.gz"
BATCH_EVENTS = 500
_BLOCK_LINES, _STRIDE_LINES = 1_000, 8_000  # whole stretches, as sources send them, from everywhere in the file
_SYNTHETIC_EVENTS = 20_000
_SEED = 20_260_131
_ID_BYTES = 12

Drawn = tuple[bytes, "Sample"]


@dataclass(frozen=True, slots=True)
class Sample:
    """One event without an id: what a table has in columns, and the JSON text that follows the id."""

    actor: str
    action: str
    resource: str
    outcome: str
    at: int  # microseconds since 1970 UTC
    tail: bytes

    def body(self, event_id: bytes) -> bytes:
        """The event's JSON text."""
        return b'{"id":"%b",%b' % (event_id, self.tail)


@dataclass(frozen=True, slots=True)
class Corpus:
    """Samples, and what is to be said of them."""

    samples: list[Sample]
    words: str

    @property
    def body_bytes(self) -> float:
        """The mean length of an event's text."""
        return sum(len(sample.tail) for sample in self.samples) / len(self.samples) + len('{"id":"",') + 2 * _ID_BYTES

    def draw(self, *, seed: int = _SEED) -> Iterator[Drawn]:
        """Samples in order, again and again, each with an id that was never drawn before under another seed."""
        rng = random.Random(seed)
        while True:
            for start in range(0, len(self.samples), BATCH_EVENTS):
                part = self.samples[start : start + BATCH_EVENTS]
                text = rng.randbytes(_ID_BYTES * len(part)).hex().encode()
                width = 2 * _ID_BYTES
                yield from ((text[n * width : n * width + width], sample) for n, sample in enumerate(part))

    def batches(self, *, events: int, seed: int = _SEED, size: int = BATCH_EVENTS) -> Iterator[list[Drawn]]:
        """The first `events` that are drawn, `size` at a time."""
        drawn = islice(self.draw(seed=seed), events)
        while batch := list(islice(drawn, size)):
            yield batch


def load_corpus() -> Corpus:
    """The real events (3 s), or synthetic ones when they are absent; `words` says which."""
    samples = _real() if BULK.exists() else _synthetic()
    kind = "real events" if BULK.exists() else f"SYNTHETIC events: could not find {BULK} (hint: ATP_SHARED=/path/to/it)"
    corpus = Corpus(samples, "")
    return Corpus(samples, f"{len(samples):,} {kind}, {corpus.body_bytes:,.0f} bytes on average, ids drawn anew")


def _real() -> list[Sample]:
    formats, occurrences = load_formats(), Occurrences()
    with gzip.open(BULK) as file:
        lines = [line for number, line in enumerate(file) if number % _STRIDE_LINES < _BLOCK_LINES]
    found = (
        convert(record, formats=formats, occurrences=occurrences)
        for record in read_records(lines, format="windows", formats=formats)
    )
    return [_sample(event) for event in found if not isinstance(event, Rejected)]


def _synthetic() -> list[Sample]:
    rng = random.Random(_SEED)
    return [_sample(_invented(rng)) for _ in range(_SYNTHETIC_EVENTS)]


def _invented(rng: random.Random) -> Event:
    """Half of the events are of a few actors, as in real streams; about 900 bytes."""
    actor = f"user-{int(rng.paretovariate(0.5)) % 20_000}"
    words = " ".join(f"w{rng.randrange(4_000)}" for _ in range(60))
    data = {"message": words, "session": rng.randbytes(16).hex(), "details": {f"k{n}": rng.random() for n in range(12)}}
    return Event(
        Actor(actor, "user"),
        f"thing.{rng.choice(('create', 'read', 'update', 'delete'))}",
        time=f"2026-01-{rng.randrange(1, 29):02d}T{rng.randrange(24):02d}:00:00Z",
        resource=Resource(f"thing-{rng.randrange(100_000)}", "thing"),
        outcome="success",
        data=msgspec.Raw(msgspec.json.encode(data)),
    )


def _sample(event: Event) -> Sample:
    text = msgspec.json.encode(msgspec.structs.replace(event, id=None))
    resource = event.resource.id if event.resource else ""
    at = parse_instant(event.time) if event.time else 0
    return Sample(event.actor.id, event.action, resource, event.outcome or "", at, text[1:])
