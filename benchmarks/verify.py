"""`atp verify --level payload` of a data directory, against hashlib on the same events."""

import json
import os
import resource
import subprocess
import time
from collections.abc import Iterator
from itertools import islice

from benchmarks.figures import Figure, Row
from benchmarks.fill import Filled
from benchmarks.machine import hashes_per_second
from benchmarks.run import Run
from benchmarks.server import PROGRAM

_SAMPLE_EVENTS = 20_000


def measure(bench: Run, filled: Filled) -> Iterator[Row]:
    """The whole command with its start, on a warm page cache."""
    jobs = os.cpu_count() or 1
    command = [PROGRAM, "verify", str(filled.data), "--level", "payload", "--jobs", str(jobs), "--json"]
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    began = time.perf_counter()
    done = subprocess.run(command, env=os.environ | {"ATP_STATE_DIR": str(bench.scratch)}, capture_output=True)
    seconds = time.perf_counter() - began
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode:
        raise RuntimeError(f"could not verify {filled.data}: {done.stdout.decode()[-2000:]}")
    json.loads(done.stdout)
    cpu_seconds = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    entries = [sample.body(event_id) for event_id, sample in islice(bench.corpus.draw(), _SAMPLE_EVENTS)]
    yield Figure(
        what="verify --level payload, per core",
        measured=filled.events / seconds / jobs,
        unit="events/s",
        yardstick=hashes_per_second(entries, seconds=min(2.0, bench.seconds)),
        against="hashlib alone, one thread",
        goal=0.5,
        note=f"{filled.events / seconds:,.0f} events/s on {jobs} cores, "
        f"which were busy for {cpu_seconds / seconds / jobs:.0%} of the time",
    )
