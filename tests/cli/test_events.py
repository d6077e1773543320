"""Events go in and come out through the program: counted, once each, byte for byte, proven."""

import gzip
import json
import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

from atp.client import Client
from atp.merkle.hashes import leaf_hash
from tests.cli.conftest import ATP, Platform
from tests.cli.running import Atp

pytestmark = pytest.mark.whole

DATA = '{"n":123456789012345678901234567890,"f":1.10,"a":1,"a":2}'


def event(number: int, **members: object) -> bytes:
    return json.dumps({"actor": {"id": f"user-{number % 3}"}, "action": "door.open", **members}).encode()


def write(path: Path, events: list[bytes]) -> Path:
    path.write_bytes(b"\n".join(events) + b"\n")
    return path


def counts(document: dict[str, int]) -> tuple[int, ...]:
    return tuple(document[name] for name in ("lines", "records", "accepted", "duplicates", "parked"))


def test_a_file_is_recorded_once(atp: Atp, here: Path, tenant: str) -> None:
    events = [event(number) for number in range(1234)]
    file = write(here / "events.ndjson", events)
    assert counts(atp.document("ingest", file, "--tenant", tenant)) == (1234, 1234, 1234, 0, 0)
    assert counts(atp.document("ingest", file, "--tenant", tenant)) == (1234, 1234, 0, 1234, 0)
    packed = here / "other name.gz"
    packed.write_bytes(gzip.compress(b"\n".join(reversed(events))))
    assert counts(atp.document("ingest", packed, "--tenant", tenant)) == (1234, 1234, 0, 1234, 0)
    assert counts(atp.document("ingest", "-", "--tenant", tenant, stdin=b"\n".join(events))) == (1234, 1234, 0, 1234, 0)


def test_what_is_invalid_is_parked_and_can_be_looked_at(atp: Atp, here: Path, tenant: str) -> None:
    lines = [event(1, id="one"), b'{"no": "event"}', b"{broken\x1b", event(2, id="two"), event(3, id="one")]
    file = write(here / "mixed.ndjson", lines)
    assert counts(atp.document("ingest", file, "--tenant", tenant)) == (5, 5, 2, 0, 3)
    assert counts(atp.document("ingest", file, "--tenant", tenant)) == (5, 5, 0, 2, 3)
    listed = atp.document("dlq", "list", "--tenant", tenant)
    assert listed["count"] == len(listed["records"]) == 3
    shown = atp("dlq", "list", "--tenant", tenant)
    assert "3 of 3 parked" in shown.out
    for record in listed["records"]:
        ran = atp("dlq", "inspect", record["key"][:16], "--tenant", tenant)
        assert ran.code == 0 and record["reason"][:20] in ran.out and "\x1b" not in ran.out
    assert atp("dlq", "inspect", "ffff", "--tenant", tenant).code == 3


def test_several_files_are_counted_together(atp: Atp, here: Path, tenant: str) -> None:
    files = [write(here / name, [event(number, at=name)]) for number, name in enumerate("ab")]
    files = [write(here / name, [event(number, id=f"{name}{number}") for number in range(700)]) for name in "ab"]
    assert counts(atp.document("ingest", *files, "--tenant", tenant)) == (1400, 1400, 1400, 0, 0)


def test_the_summary_is_for_people(atp: Atp, here: Path, tenant: str) -> None:
    ran = atp("ingest", write(here / "x", [event(1), b"[1]"]), "--tenant", tenant)
    assert ran.code == 0 and ran.err == ""
    assert "accepted               1" in ran.out and "parked                 1" in ran.out


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["none.json"], 3, "none.json: it does not exist"),
        (["."], 2, "is a directory"),
        (["--format", "csvish", "-"], 2, "csvish"),
        (["--tenant", "nobody-s", "-"], 3, "nobody-s"),
        (["--formats", "nowhere", "-"], 3, "nowhere"),
    ],
)
def test_what_cannot_be_ingested_is_refused(words: list[str], code: int, said: str, atp: Atp) -> None:
    ran = atp("ingest", *words, stdin=event(1))
    assert (ran.code, ran.out) == (code, "")
    assert said in ran.err


def test_events_are_found_page_by_page(atp: Atp, here: Path, tenant: str) -> None:
    atp.document("ingest", write(here / "x", [event(n, id=f"e-{n}") for n in range(1500)]), "--tenant", tenant)
    found = atp.document("query", "--tenant", tenant, "--actor", "user-0", "--limit", 2000)
    assert [one["id"] for one in found["events"]] == [f"e-{n}" for n in reversed(range(1500)) if n % 3 == 0]
    assert found["next"] is None
    assert found["freshness"]["size"] == 1500
    first = atp.document("query", "--tenant", tenant, "--limit", 1200, "--order", "index")
    rest = atp.document("query", "--tenant", tenant, "--limit", 1200, "--order", "index", "--cursor", first["next"])
    assert [one["index"] for one in first["events"] + rest["events"]] == list(range(1500))


def test_a_table_is_for_people_and_harmless(atp: Atp, here: Path, tenant: str) -> None:
    bad = event(1, id="bad", resource={"id": "\x1b[2J\u202e"}, outcome="denied", time="2026-01-01T00:00:00Z")
    atp.document("ingest", write(here / "x", [bad, event(2, id="good")]), "--tenant", tenant)
    ran = atp("query", "--tenant", tenant)
    assert "\x1b" not in ran.out and "\u202e" not in ran.out and "\\x1b[2J\\u202e" in ran.out
    heads, good, bad_row, state = ran.out.rstrip("\n").split("\n")
    assert heads.split() == ["time", "actor", "action", "resource", "outcome", "id"]
    assert good.endswith("good") and bad_row.endswith("bad") and "denied" in bad_row
    assert state == "2 events; the log has 2"
    assert atp("query", "--tenant", tenant, "--text", "nothing like it").out == "0 events; the log has 2\n"


def test_a_question_that_is_wrong_is_refused(atp: Atp, tenant: str) -> None:
    ran = atp("query", "--tenant", tenant, "--since", "yesterday")
    assert ran.code == 2 and "since" in ran.err
    assert atp("query", "--tenant", "nobody-s").code == 3


def test_one_event_is_shown_byte_for_byte(atp: Atp, here: Path, tenant: str) -> None:
    raw = b'{"id":"a/b+c:proof/entry","actor":{"id":"alice"},"action":"x","data":%b}' % DATA.encode()
    atp.document("ingest", write(here / "x", [raw]), "--tenant", tenant)
    for name in ("a/b+c:proof/entry", "@0"):
        ran = atp("show", name, "--tenant", tenant, "--json")
        assert f'"data":{DATA}' in ran.out
        text = atp("show", name, "--tenant", tenant).out
        assert "actor.id" in text and '"n": 123456789012345678901234567890,\n  "f": 1.10,\n  "a": 1,\n' in text
    assert atp("show", "none", "--tenant", tenant).code == 3
    assert atp("show", "@1", "--tenant", tenant).code == 3


def test_a_proof_is_verified_before_it_is_written_and_by_others_after(
    atp: Atp, here: Path, tenant: str, platform: Platform
) -> None:
    atp.document("ingest", write(here / "x", [event(n, id=f"e/{n}") for n in range(300)]), "--tenant", tenant)
    proven = atp.document("prove", "e/7", "--tenant", tenant, "-o", "e.tlog-proof", "--entry", "e.json")
    assert (proven["id"], proven["index"]) == ("e/7", 7)
    assert proven["leaf_hash"] == leaf_hash((here / "e.json").read_bytes()).hex()
    assert (here / "e.tlog-proof").read_text() == proven["proof"]
    assert atp("prove", "e/7", "--tenant", tenant).out == proven["proof"]
    key = (platform.data / "root.key").read_text().strip()
    with Client(platform.url, key=key) as client:
        (here / "log.vkey").write_bytes(client.get(f"/log/{tenant}/vkey").body)
    words = ("verify", "e.tlog-proof", "--vkey", "log.vkey", "--entry")
    assert atp.document(*words, "e.json")["tampered"] is False
    (here / "e.json").write_bytes((here / "e.json").read_bytes().replace(b"user-1", b"user-2"))
    assert atp.document(*words, "e.json", code=1)["tampered"] is True
    assert atp("prove", "e/999", "--tenant", tenant).code == 3


def test_a_proof_that_cannot_be_written_is_refused(atp: Atp, here: Path, tenant: str) -> None:
    atp.document("ingest", write(here / "x", [event(1, id="one")]), "--tenant", tenant)
    ran = atp("prove", "one", "--tenant", tenant, "-o", "nowhere/one.tlog-proof")
    assert ran.code == 2 and "nowhere/one.tlog-proof" in ran.err


def test_an_interrupted_import_is_taken_up_again(atp: Atp, here: Path, tenant: str) -> None:
    lines = [event(n, id=f"e-{n}", data="x" * 200) for n in range(30_000)]
    file = write(here / "long.ndjson", lines)
    command = [ATP, "ingest", file, "--tenant", tenant, "--json"]
    first = subprocess.Popen(command, env=os.environ | dict(atp.env), stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    deadline = time.monotonic() + 30
    while not atp.document("query", "--tenant", tenant, "--limit", 1)["events"] and time.monotonic() < deadline:
        time.sleep(0.01)
    first.send_signal(signal.SIGINT)
    out, err = first.communicate(timeout=30)
    assert (first.returncode, err) == (130, b""), err
    assert json.loads(out)["interrupted"] is True
    again = atp.document("ingest", file, "--tenant", tenant)
    assert again["records"] == again["accepted"] + again["duplicates"] == 30_000
    assert again["accepted"] > 0 and again["duplicates"] == json.loads(out)["accepted"] > 0
