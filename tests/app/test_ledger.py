"""What is kept of the operators' log says the same as all of it, read at once or as it grew, in bounded memory."""

import json
import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest

from atp.api.events import event_json
from atp.app.ledger import Ledger
from atp.app.platform import Platform
from atp.cli.evidence import fact
from atp.limits import EVIDENCE_DRILLS_MAX, EVIDENCE_FACTS_MAX, EVIDENCE_PAGES_MAX, FRAME_ENTRIES, SCAN_FRAMES_MAX
from atp.log.event import prepare
from atp.ops.estate.evidence.proofs import ACTIONS, Evidence, fold
from tests.app.opened import ROOT, running

NAMES = ("letters", "pictures")


@pytest.fixture
def platform(tmp_path: Path) -> Iterator[Platform]:
    with running(tmp_path / "data") as opened:
        yield opened


def test_what_is_kept_says_the_same_as_all_of_it(platform: Platform, rng: random.Random) -> None:
    grown = ledger(platform)
    for _ in range(8):
        record(platform, [any_event(rng) for _ in range(rng.randrange(1, 40))])
        now = datetime.now(UTC)
        expected = everything(platform, now)
        for one in (grown, ledger(platform)):
            found = one.read(NAMES, now)
            assert found.unreadable == expected.unreadable
            for name in NAMES:
                assert judged(found, name) == judged(expected, name)


def test_a_dataset_that_is_declared_later_is_read_from_the_beginning(platform: Platform) -> None:
    record(platform, [event("backup.done", "letters", repository="vault"), event("backup.done", "pictures")])
    one = ledger(platform)
    assert one.read(["letters"], datetime.now(UTC)).of("pictures").copies == {}
    assert one.read(NAMES, datetime.now(UTC)).of("pictures").copies.keys() == {"vault"}
    assert one.read(["pictures"], datetime.now(UTC)).of("letters").copies == {}


def test_what_somebody_makes_up_takes_bounded_memory(platform: Platform) -> None:
    record(platform, [event("backup.done", "letters", repository=f"r-{at}") for at in range(EVIDENCE_FACTS_MAX + 9)])
    record(platform, [event("backup.done", "letters", repository="x" * 5_000)])
    record(platform, [drill(at, "letters") for at in range(1, EVIDENCE_DRILLS_MAX + 9)])
    one = ledger(platform)
    found = one.read(NAMES, datetime.now(UTC))
    assert len(found.of("letters").copies) == EVIDENCE_FACTS_MAX
    assert found.unreadable == 1
    assert [one.drills("letters")[at].number for at in (0, -1)] == [EVIDENCE_DRILLS_MAX + 8, 9]
    assert one.missing("letters") == []


def test_reviews_are_kept_the_newest_of_them_each_once(platform: Platform) -> None:
    said = {"statement_sha256": "a" * 64, "note": "é" * 1_000, "follow_up": "é" * 1_000}
    count = EVIDENCE_DRILLS_MAX + 9
    record(
        platform, [event("drill.reviewed", "letters", number=at, sent_as=f"r-{at}", **said) for at in range(1, count)]
    )
    record(platform, [event("drill.reviewed", "letters", number=count - 1, sent_as=f"r-{count - 1}", **said)])
    record(platform, [event("drill.reviewed", "letters", number=1, statement_sha256="a" * 64)])
    one = ledger(platform)
    assert one.read(NAMES, datetime.now(UTC)).unreadable == 1, "it says nothing"
    assert [placed.number for placed in one.reviews("letters")] == list(range(count - 1, 8, -1))
    assert one.reviews("pictures") == []


def test_a_number_that_nobody_told_is_missing_and_one_that_was_made_up_costs_nothing(platform: Platform) -> None:
    record(platform, [drill(1, "letters"), drill(4, "letters"), drill(10**15, "pictures")])
    one = ledger(platform)
    one.read(NAMES, datetime.now(UTC))
    assert one.missing("letters") == [2, 3] and one.missing("pictures") == []


def test_a_dataset_that_tells_very_much_hides_no_other(platform: Platform) -> None:
    one = ledger(platform)
    record(platform, [event("backup.done", "letters", repository="cellar")])
    one.read(NAMES, datetime.now(UTC))
    record(platform, [event("backup.done", "pictures")])
    apart = [{"actor": {"id": "x"}, "action": "events.query"}] * (FRAME_ENTRIES - 1)
    for _ in range(0, EVIDENCE_PAGES_MAX * SCAN_FRAMES_MAX + 1, 100):
        record(platform, [event("backup.done", "letters"), *apart] * 100)
    found = one.read(NAMES, datetime.now(UTC))
    assert found.of("pictures").copies.keys() == {"vault"}
    assert found.of("letters").copies.keys() == {"cellar", "vault"}


def ledger(platform: Platform) -> Ledger:
    return Ledger(
        lambda question: platform.ask(question, by=ROOT, tenant="operations"), platform.reader("operations", by=ROOT)
    )


def record(platform: Platform, events: list[dict[str, Any]]) -> None:
    outcome = platform.record([prepare(json.dumps(one).encode()) for one in events], by=ROOT, tenant="operations")
    platform.pipeline.when_published("operations", outcome.result(20).receipts[-1].index).result(20)


def everything(platform: Platform, now: datetime) -> Evidence:
    """Every event of the log, read as the command line reads answers, and folded at once."""
    entries = platform.reader("operations", by=ROOT).entries(0, 10**6)
    answers = [event_json(index, entry) for index, entry in enumerate(entries)]
    wanted = [one for one in answers if json.loads(one)["action"] in ACTIONS]
    return fold([fact(msgspec.Raw(one)) for one in wanted], now=now)


def judged(evidence: Evidence, name: str) -> dict[str, Any]:
    """What the rest of the program asks of proofs."""
    found = evidence.of(name)
    return {
        "copies": {repository: (one.point_at, one.encrypted) for repository, one in found.copies.items()},
        "failed": (found.failed_backup_at, found.read_back_at, found.failed_read_back_at),
        "tried": (found.isolated, found.immutable),
        "listed": found.listed,
        "drills": sorted((one.at, one.verdict, one.scenario) for one in found.drills),
    }


def any_event(rng: random.Random) -> dict[str, Any]:
    action, name = rng.choice(ACTIONS), rng.choice(NAMES)
    verdict = rng.choice(["pass", "pass", "fail", "error"])
    at = datetime.now(UTC) - timedelta(seconds=rng.randrange(1, 10**6), microseconds=rng.randrange(10**6))
    data: dict[str, Any] = {"verdict": verdict, "repository": rng.choice(["vault", "cellar"])}
    if action == "drill.done":
        data["scenario"] = rng.choice(["deletion", "corruption"])
    if rng.random() < 0.5:
        data["point_at"] = (at - timedelta(seconds=rng.randrange(10**5))).isoformat()
    if rng.random() < 0.5:
        data |= {"copies": rng.randrange(10), "locked_until": at.isoformat()}
    if rng.random() < 0.5:
        data |= {"number": rng.randrange(1, 9), "statement_sha256": "a" * 64, "note": "looked at"}
    for flag in ("read_back", "isolated", "immutable", "encrypted"):
        if rng.random() < 0.5:
            data[flag] = rng.random() < 0.5
    return event(action, name, time=at.isoformat(), **data)


def drill(number: int, name: str) -> dict[str, Any]:
    return event("drill.done", name, scenario="deletion", number=number)


def event(action: str, name: str, *, time: str | None = None, **data: Any) -> dict[str, Any]:
    told = {"verdict": "pass", "backup": "b", "repository": "vault", **data}
    return {
        "actor": {"id": "keeper"},
        "action": action,
        "resource": {"id": name},
        "data": told,
        **({"time": time} if time else {}),
    }
