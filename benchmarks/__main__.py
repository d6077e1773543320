"""`python -m benchmarks`: measure every goal against its yardstick and print the table."""

import argparse
import json
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from benchmarks import (
    backup,
    cluster,
    disk,
    ingest,
    lone,
    many,
    memory,
    prooflatency,
    query,
    start,
    sustained,
    tenants,
    verify,
)
from benchmarks.corpus import load_corpus
from benchmarks.figures import FAILED, SKIPPED, Row, Unmeasured, as_json, as_table
from benchmarks.fill import Filled, filling
from benchmarks.run import Run
from tests.services.absent import AbsentError

EVENTS, EVENTS_FULL, SECONDS = 1_000_000, 10_000_000, 10.0
SCRATCH = Path(__file__).resolve().parents[1] / "var"
OF_EMPTY: dict[str, Callable[[Run], Iterator[Row]]] = {
    "backup": backup.measure,
    "cluster": cluster.measure,
    "ingest": ingest.measure,
    "lone": lone.measure,
    "many": many.measure,
    "prooflatency": prooflatency.measure,
    "tenants": tenants.measure,
}
OF_FILLED: dict[str, Callable[[Run, Filled], Iterator[Row]]] = {
    "sustained": sustained.measure,
    "verify": verify.measure,
    "query": query.measure,
    "disk": disk.measure,
    "memory": memory.measure,
    "start": start.measure,
}


def main() -> int:
    """Measure what was asked for. Figures are judged by people: the exit code is 1 only when a measurement failed."""
    asked = _parse(sys.argv[1:])
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # so that no server is left behind
    corpus = load_corpus()
    _tell(corpus.words)
    asked.scratch.mkdir(parents=True, exist_ok=True)
    rows: list[Row] = []
    with tempfile.TemporaryDirectory(prefix="benchmarks-", dir=asked.scratch) as folder:
        Path(folder).chmod(0o755)  # PostgreSQL is another user
        events = asked.events or (EVENTS_FULL if asked.full else EVENTS)
        bench = Run(corpus, Path(folder), events, asked.seconds, asked.profile)
        for row in _measure(bench, set(asked.only or {*OF_EMPTY, *OF_FILLED})):
            _tell(as_table([row]).partition("\n")[2])
            rows.append(row)
    if asked.json:
        print(json.dumps({"corpus": corpus.words, "events": events, "rows": [as_json(row) for row in rows]}, indent=1))
    else:
        print(as_table(rows))
    return int(any(row.verdict == FAILED for row in rows))


def _measure(bench: Run, names: set[str]) -> Iterator[Row]:
    for name, measure in OF_EMPTY.items():
        if name in names:
            yield from _guarded(name, measure(bench))
    if names & OF_FILLED.keys():
        yield from _guarded("fill", _measure_filled(bench, names))


def _measure_filled(bench: Run, names: set[str]) -> Iterator[Row]:
    with filling(bench, bench.events) as filled:
        for name, measure in OF_FILLED.items():
            if name in names:
                yield from _guarded(name, measure(bench, filled))


def _guarded(name: str, rows: Iterator[Row]) -> Iterator[Row]:
    """The rows of one measurement; when it cannot be made, that is a row too, and the others go on."""
    began = time.perf_counter()
    _tell(f"{name} …")
    try:
        yield from rows
    except AbsentError as error:
        yield Unmeasured(name, SKIPPED, str(error))
    except (OSError, RuntimeError) as error:
        yield Unmeasured(name, FAILED, str(error))
    _tell(f"{name}: {time.perf_counter() - began:.0f} s")


def _tell(words: str) -> None:
    print(words, file=sys.stderr, flush=True)


def _parse(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--only", action="append", choices=[*OF_EMPTY, *OF_FILLED], help="again for more than one")
    parser.add_argument("--events", type=int, help=f"in the filled log [default: {EVENTS:,}]")
    parser.add_argument("--full", action="store_true", help=f"fill it with {EVENTS_FULL:,} events: half an hour")
    parser.add_argument(
        "--seconds", type=float, default=SECONDS, help="of each timed measurement [default: %(default)s]"
    )
    parser.add_argument("--scratch", type=Path, default=SCRATCH, help="where servers keep their data [default: var]")
    parser.add_argument("--profile", action="store_true", help="show where servers spend their time; needs py-spy")
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
