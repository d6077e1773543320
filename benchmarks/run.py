"""What every measurement of one run shares: the events, the room on disk, and how much of each."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.corpus import BATCH_EVENTS, Corpus, Drawn
from benchmarks.load import request
from benchmarks.profile import profiling

TENANT = "default"
EVENTS_PATH = f"/v1/tenants/{TENANT}/events"


@dataclass(frozen=True, slots=True)
class Run:
    """`events`: how many the filled log gets. `seconds`: how long each timed measurement lasts."""

    corpus: Corpus
    scratch: Path
    events: int
    seconds: float
    is_profiled: bool

    def posts(self, batches: Iterator[list[Drawn]], *, key: str) -> Iterator[bytes]:
        """One request for each batch, made when it is asked for; a batch of one is sent as a single object."""
        for batch in batches:
            body = b",".join(sample.body(event_id) for event_id, sample in batch)
            yield request("POST", EVENTS_PATH, key=key, body=body if len(batch) == 1 else b"[%b]" % body)

    def batches(self, *, seed: int, events: int = 1 << 62, size: int = BATCH_EVENTS) -> Iterator[list[Drawn]]:
        """Events that were drawn under no other seed."""
        return self.corpus.batches(events=events, seed=seed, size=size)

    @contextmanager
    def profiled(self, what: str, pid: int) -> Iterator[None]:
        """Show where the process spends its time while the block runs, if that was asked for."""
        if not self.is_profiled:
            yield
            return
        with profiling(pid, folder=self.scratch) as profile:
            yield
        print(profile.as_text(what), file=sys.stderr, flush=True)
