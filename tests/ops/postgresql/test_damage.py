"""A bank is overwritten with nonsense: a drill brings it back as it was just before, and proves it by its rows."""

import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.cli.running import Atp
from tests.contracts.vaults import release
from tests.ops.postgresql.bank import Cluster, following, shipped

pytestmark = [pytest.mark.whole, pytest.mark.slow]
SECOND = timedelta(seconds=1)


def book(atp: Atp, bank: Cluster, here: Path, *sql: str) -> None:
    """Statements and a heartbeat, which the repository says that it holds when this returns."""
    for one in sql:
        bank.ask(one)
    atp.document("drill", "heartbeat", "ledger")
    ((now,),) = bank.ask("SELECT clock_timestamp()")
    deadline = time.monotonic() + 60
    while not any(covers(path) >= now for path in shipped(here)):  # type: ignore[operator]
        assert time.monotonic() < deadline, (here / "follow.log").read_text()
        time.sleep(0.1)


def covers(path: Path) -> datetime:
    """Until when all that was committed is in a segment and those before it, by its name."""
    return datetime.strptime(path.name.split("_")[1], "%Y%m%dT%H%M%S%fZ").replace(tzinfo=UTC)


def damaged(atp: Atp, bank: Cluster, here: Path) -> datetime:
    """A backup, bookings after it, nonsense over every balance, and more of it; the moment before the nonsense."""
    with following(atp, here):
        atp.document("backup", "run", "ledger")
        book(atp, bank, here, "INSERT INTO booking (id) SELECT generate_series(1, 50)")
        damaged_at = datetime.now(UTC)
        book(atp, bank, here, "UPDATE account SET balance = -7", "INSERT INTO booking (id) VALUES (666)")
        book(atp, bank, here, "UPDATE account SET balance = -8")
        book(atp, bank, here, "UPDATE account SET balance = -9")
    return damaged_at


def drill(atp: Atp, *words: str) -> dict[str, Any]:
    found = atp("drill", "run", "ledger", "--identity", "KEY.txt", "--json", *words).json["drill"]
    assert isinstance(found, dict)
    return found


def verdicts(done: dict[str, Any]) -> dict[str, str]:
    return {one["name"]: one["verdict"] for one in done["objectives"]}


def test_the_bank_comes_back_as_it_was_before_the_nonsense(atp: Atp, bank: Cluster, here: Path) -> None:
    damaged_at = damaged(atp, bank, here)
    gone = drill(atp, "--scenario", "deletion")
    assert (gone["verdict"], gone["cause"]) == ("fail", "wrong-answer"), "the log as far as it reaches has the nonsense"
    done = drill(atp, "--scenario", "corruption", "--at", damaged_at.isoformat())
    assert (verdicts(done)["content"], verdicts(done)["rpo"]) == ("pass", "pass"), done
    assert datetime.fromisoformat(done["damaged_at"]) == damaged_at
    assert datetime.fromisoformat(done["point_at"]) == damaged_at
    answers = {one["name"]: one["told"] for one in done["answers"]}
    assert answers["select count(*), min(balance) >= 0 from account"] == "[[100,true]], as declared"
    assert answers["rows of public.booking"] == "50 rows, at least 1", "what was booked by then, and nothing later"
    newest = datetime.fromisoformat((here / "beats").read_text().splitlines()[0].split()[1])
    assert done["rpo_seconds"] == pytest.approx((damaged_at - newest).total_seconds(), abs=0.01)
    assert (done["acknowledged"]["recovered"], done["acknowledged"].get("lost", 0)) == (1, 0)


def test_a_moment_after_the_damage_is_red_by_its_rows_and_one_before_every_backup_has_none(
    atp: Atp, bank: Cluster, here: Path
) -> None:
    before = datetime.now(UTC)
    damaged_at = damaged(atp, bank, here)
    late = damaged_at + (datetime.now(UTC) - damaged_at) / 2
    assert drill(atp, "--scenario", "corruption", "--at", late.isoformat())["cause"] == "wrong-answer"
    none = drill(atp, "--scenario", "corruption", "--at", (before - SECOND).isoformat())
    assert (none["verdict"], none["cause"]) == ("fail", "no-backup") and "the oldest, 2" in none["reason"], none
    refused = atp("drill", "run", "ledger", "--identity", "KEY.txt", "--at", damaged_at.isoformat())
    assert refused.code == 2 and "--scenario corruption --at TIME" in refused.err


def test_a_hole_in_the_log_behind_the_damage_is_none_of_its_business(atp: Atp, bank: Cluster, here: Path) -> None:
    damaged_at = damaged(atp, bank, here)
    release(here / "vault")
    shipped(here)[-2].unlink()
    assert drill(atp, "--scenario", "deletion")["verdict"] == "fail"
    done = drill(atp, "--scenario", "corruption", "--at", damaged_at.isoformat())
    assert (verdicts(done)["content"], verdicts(done)["rpo"]) == ("pass", "pass"), done


def test_damage_that_nothing_was_shipped_after_comes_back_as_far_as_it_was_shipped(
    atp: Atp, bank: Cluster, here: Path
) -> None:
    with following(atp, here):
        atp.document("backup", "run", "ledger")
        book(atp, bank, here, "INSERT INTO booking (id) VALUES (1)")
    time.sleep(1.5)
    damaged_at = datetime.now(UTC)
    bank.ask("UPDATE account SET balance = -7")
    done = drill(atp, "--scenario", "corruption", "--at", damaged_at.isoformat())
    assert (verdicts(done)["content"], verdicts(done)["rpo"]) == ("pass", "pass"), done
    assert datetime.fromisoformat(done["point_at"]) < damaged_at
    at_once = drill(atp, "--scenario", "corruption")
    assert verdicts(at_once)["content"] == "pass" and at_once["damaged_at"] == at_once["lost_at"]


@pytest.mark.parametrize("earlier", [60 * SECOND, SECOND / 10])
def test_what_was_shipped_is_used_as_far_as_it_says_that_it_reaches(
    earlier: timedelta, atp: Atp, bank: Cluster, here: Path
) -> None:
    """It holds the nonsense, and says less: less than the copy, which comes back alone, or a little more."""
    bank.ask("INSERT INTO booking (id) VALUES (1)")
    with following(atp, here):
        made = atp.document("backup", "run", "ledger")["backup"]
        time.sleep(0.3)
        damaged_at = datetime.now(UTC)
        book(atp, bank, here, "UPDATE account SET balance = -7")
    release(here / "vault")
    for path in shipped(here):
        segment, _, digest = path.name.split("_")
        path.rename(path.with_name(f"{segment}_{damaged_at - earlier:%Y%m%dT%H%M%S%fZ}_{digest}"))
    done = drill(atp, "--scenario", "corruption", "--at", damaged_at.isoformat())
    assert (done["backup"], verdicts(done)["content"]) == (made, "pass"), done
    point_at = datetime.fromisoformat(done["point_at"])
    assert point_at < damaged_at and (point_at == damaged_at - earlier) == (earlier < SECOND)
