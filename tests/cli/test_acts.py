"""Acts of an operator on the command line: keys changed, logs verified, views rebuilt, the platform braked."""

import json
import time
from pathlib import Path

import pytest

from tests.cli.conftest import Platform
from tests.cli.running import Atp

pytestmark = pytest.mark.whole


@pytest.fixture
def filled(atp: Atp, tenant: str) -> str:
    """A tenant with 700 events."""
    lines = [{"id": f"e-{n}", "actor": {"id": "alice"}, "action": "door.open"} for n in range(700)]
    atp.document("ingest", "-", "--tenant", tenant, stdin="\n".join(map(json.dumps, lines)).encode())
    return tenant


def test_a_key_is_changed_and_proofs_of_before_and_after_hold(atp: Atp, filled: str, here: Path) -> None:
    assert atp("prove", "e-1", "--tenant", filled, "-o", "old.tlog-proof", "--entry", "entry").code == 0
    new, old = atp.document("tenant", "rotate-key", filled)["vkeys"]
    (here / "old.vkey").write_text(old + "\n")
    (here / "new.vkey").write_text(new + "\n")
    assert atp("tenant", "rotate-key", filled).code == 4
    ran = atp("tenant", "retire-key", filled, old.split("+")[1])
    assert ran.code == 0 and new in ran.out and old not in ran.out
    assert atp("tenant", "retire-key", filled, new.split("+")[1]).code == 4
    assert atp("tenant", "retire-key", filled, "nonsense").code == 3
    assert atp("prove", "e-1", "--tenant", filled, "-o", "new.tlog-proof").code == 0
    for proof in ("old", "new"):
        assert atp("verify", f"{proof}.tlog-proof", "--entry", "entry", "--vkey", f"{proof}.vkey").code == 0
    assert atp("verify", "new.tlog-proof", "--entry", "entry", "--vkey", "new.vkey").code == 0
    assert atp("status").code == 0, "who watched the log before goes on watching it"


def test_the_server_verifies_its_logs_on_demand(atp: Atp, filled: str, platform: Platform) -> None:
    document = atp.document("integrity", "verify", "--tenant", filled)
    assert document["tampered"] is False and document["report"]["logs"][0]["size"] == 700
    assert "nothing wrong found" in atp("integrity", "verify").out
    bundle = platform.data / "logs" / filled / "tile/entries/001.zst"
    whole = bundle.read_bytes()
    bundle.write_bytes(whole[:-20] + b"x" + whole[-19:])
    ran = atp("integrity", "verify", "--tenant", filled)
    bundle.write_bytes(whole)
    assert ran.code == 1 and "TAMPERED" in ran.out and "tile/entries/001.zst" in ran.out
    assert atp("integrity", "verify", "--tenant", filled).code == 0
    assert atp("integrity", "verify", "--tenant", "nobody-s").code == 3


def test_views_are_rebuilt_and_compared(atp: Atp, filled: str) -> None:
    assert atp.document("rebuild", "--tenant", filled)["rebuilt"] == [{"tenant": filled, "size": 700}]
    compared = atp.document("rebuild", "--tenant", filled, "--dry-run")
    levels = compared["report"]["logs"][0]["levels"]
    assert list(levels) == ["index"] and levels["index"]["verdict"] == "ok"
    assert atp.document("query", "--tenant", filled, "--actor", "alice", "--limit", "1000")["events"]


def test_brakes_are_pulled_with_a_reason_and_released(atp: Atp, filled: str, platform: Platform, here: Path) -> None:
    assert atp("integrity", "freeze").code == 2
    assert atp("integrity", "freeze", "--reason", "case 7").code == 0
    ran = atp("export", "--tenant", filled, "-o", "x.zip")
    assert ran.code == 4 and "case 7" in ran.err
    ran = atp("export", "--tenant", filled, "--whole", "-o", "log")
    assert ran.code == 4 and "frozen by root since" in ran.err and "case 7 (hint: atp integrity unfreeze" in ran.err
    assert not (here / "log").exists()
    assert "by root since" in atp("status").out
    assert atp("verify", platform.url, "--tenant", filled).code == 0, "whoever watches a log may go on"
    assert atp("integrity", "unfreeze", "--reason", "closed").code == 0
    assert "frozen" not in atp("status").out
    assert atp("export", "--tenant", filled, "-o", "x.zip").code == 0
    assert atp("export", "--tenant", filled, "--whole", "-o", "log").code == 0
    assert atp("integrity", "unfreeze", "--reason", "closed").code == 4
    assert atp("maintenance", "on", "--reason", "new disk").code == 0
    assert atp("query", "--tenant", filled).code == 0
    assert atp("maintenance", "off", "--reason", "moved").code == 0


def test_an_export_by_time_of_receipt_is_complete_and_one_by_event_time_is_not(atp: Atp, tenant: str) -> None:
    event = {"id": "old", "time": "2001-01-01T00:00:00Z", "actor": {"id": "a"}, "action": "x"}
    atp.document("ingest", "-", "--tenant", tenant, stdin=json.dumps(event).encode())
    while not next(log for log in atp.document("status")["logs"] if log["tenant"] == tenant)["published_size"]:
        time.sleep(0.02)
    received = atp.document("export", "--tenant", tenant, "--since", "2020-01-01T00:00:00Z", "-o", "received.zip")
    assert received["verified"]["kind"] == "bundle (range)" and received["verified"]["logs"][0]["size"] == 1
    words = ("--happened-since", "2001-01-01T00:00:00Z", "--happened-until", "2002-01-01T00:00:00Z")
    happened = atp.document("export", "--tenant", tenant, *words, "-o", "happened.zip")
    assert happened["verified"]["kind"] == "bundle (selection)"
