"""A server is killed, its directory is gone; the commands bring its trail back, and senders what was lost."""

import json
import os
import shutil
import subprocess
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from atp.client import Client, log_path
from atp.verify.trust import claimed_checkpoint
from tests.app.copied import check, has_keys
from tests.cli.running import Atp
from tests.docs.test_examples import blocks
from tests.services.fsck import Fsck
from tests.whole.process import PROGRAM, Server

pytestmark = [pytest.mark.whole, pytest.mark.slow]
Receipts = list[dict[str, Any]]

ESTATE = """\
version: atp.estate/1
name: A house that loses its server
environments: [production]
datasets:
  lost-trail:
    kind: trail
    source: {{place: {data}}}
    rpo: 1h
    rto: 1h
    retention: 30d
    backup: {{repository: vault, schedule: 30min, recipients: [{recipient}]}}
    drill:
      place: {here}/scratch
      checks: [{{verify: true}}]
      scenarios: [deletion, corruption]
      heartbeat: {{every: 1min, ledger: {here}/ledger}}
repositories:
  vault: {{kind: directory, place: {here}/vault}}
"""


def program(server: Server, here: Path, estate: str = ESTATE) -> Atp:
    """The program on the machine of an operator of this server, with the estate file."""
    atp = Atp({"ATP_STATE_DIR": str(here / "state"), "ATP_URL": server.url})
    if not (here / "KEY.txt").exists():
        recipient = atp.document("backup", "key", "-o", "KEY.txt")["recipient"]
        (here / "estate.yaml").write_text(estate.format(data=server.data, here=here, recipient=recipient))
    return Atp({**atp.env, "ATP_KEY_FILE": str(server.data / "root.key")})


def events(numbers: range) -> list[dict[str, Any]]:
    return [
        {
            "id": f"booking-{number}",
            "time": f"2026-03-01T09:{number // 60 % 60:02}:{number % 60:02}Z",
            "actor": {"id": f"clerk-{number % 7}", "type": "user"},
            "action": ("booking.create", "booking.change", "booking.refund")[number % 3],
            "resource": {"id": f"b-{number // 3}", "type": "booking"},
            "context": {"ip": f"192.0.2.{number % 250}"},
            "data": {"cents": number * 100, "remark": "x" * 200},
        }
        for number in numbers
    ]


def send(server: Server, numbers: range) -> Receipts:
    with server.client() as client:
        receipts: Receipts = client.record(events(numbers), tenant="default", wait_seconds=20)["receipts"]
        return receipts


def fetch(server: Server, name: str) -> bytes:
    with server.client() as client:
        return client.get(log_path("default", name)).body


def beats(atp: Atp, count: int) -> None:
    for _ in range(count):
        atp.document("drill", "heartbeat", "lost-trail")


def drilled(atp: Atp) -> dict[str, Any]:
    found: dict[str, Any] = atp("drill", "run", "lost-trail", "--identity", "KEY.txt", "--json").json["drill"]
    return found


def objectives(done: dict[str, Any]) -> dict[str, Any]:
    return {one["name"]: one for one in done["objectives"]}


def test_a_lost_server_comes_back_with_every_acknowledged_event_once(server: Server, here: Path, fsck: Fsck) -> None:
    atp = program(server, here)
    (here / "events.ndjson").write_text("".join(f"{json.dumps(event)}\n" for event in events(range(300))))
    assert atp.document("ingest", "events.ndjson")["accepted"] == 300
    before = [*send(server, range(300)), *send(server, range(300, 700))]
    (here / "seen").write_bytes(fetch(server, "checkpoint"))
    beats(atp, 3)
    atp.document("backup", "run", "lost-trail")
    beats(atp, 2)
    after = send(server, range(700, 1_000))
    (here / "newest").write_bytes(fetch(server, "checkpoint"))
    assert atp("verify", server.url, "--tenant", "default").code == 0, "this machine remembers it, too"
    server.kill()
    shutil.rmtree(server.data)

    alone = Atp({name: value for name, value in atp.env.items() if name != "ATP_KEY_FILE"})
    done = drilled(alone)
    assert (done["acknowledged"]["recovered"], done["acknowledged"]["lost"], done["acknowledged"]["holes"]) == (3, 2, 0)
    ran = alone("restore", "lost-trail", "--to", "back", "--identity", "KEY.txt", "--known", "newest", "--yes")
    assert ran.code == 0 and "default: 700 entries; entries 700 to 999 are lost" in ran.out, ran
    assert not has_keys(here / "back")

    again = Server(here / "second", data=here / "back")
    again.start()
    try:
        receipts = send(again, range(1_000))
        assert [one["index"] for one in receipts[:700]] == [one["index"] for one in before]
        assert [one["leaf_hash"] for one in receipts[:700]] == [one["leaf_hash"] for one in before]
        assert [one["duplicate"] for one in receipts] == [True] * 700 + [False] * 300
        assert len(after) == 300 and [one["index"] for one in receipts[700:]] == [*range(701, 1_001)]
        note = fetch(again, "checkpoint")
        assert claimed_checkpoint(note).size == 1_001, (
            "each acknowledged event once, and what says that it was restored"
        )
        judge(again, here, fsck)
    finally:
        again.kill()
    assert check(here / "back").is_whole


def judge(server: Server, here: Path, fsck: Fsck) -> None:
    """What this machine, a stranger, and the foreign verifier say of the trail that goes on."""
    atp, words = program(server, here), ("verify", server.url, "--tenant", "default")
    told = atp(*words)
    assert told.code == 1 and "lost, declared" in told.out and "TAMPERED" not in told.out, told
    assert atp(*words).code == 0, "told once"
    stranger = Atp({**atp.env, "ATP_STATE_DIR": str(here / "stranger")})
    assert stranger(*words).code == 0
    assert stranger(*words, "--against", "seen").code == 0
    lost = stranger(*words, "--against", "newest")
    assert lost.code == 1 and "lost, declared" in lost.out and "TAMPERED" not in lost.out, lost
    vkey, origin = fetch(server, "vkey").decode(), fetch(server, "checkpoint").decode().split("\n")[0]
    assert origin == "example.org/default/2"
    token = (server.data / "root.key").read_text().strip()
    assert fsck.complaint(f"{server.url}/log/default/", vkey=vkey, origin=origin, bearer_token=token) == ""


def test_a_drill_beside_the_living_server_is_green_and_measures_what_the_ledger_says(
    server: Server, here: Path
) -> None:
    atp = program(server, here)
    send(server, range(300))
    beats(atp, 4)
    with subprocess.Popen([PROGRAM, "backup", "run", "lost-trail"], env={**os.environ, **atp.env}) as backup:
        while backup.poll() is None:
            beats(atp, 1)
    assert backup.returncode == 0
    beats(atp, 3)
    send(server, range(300, 600))
    done = drilled(atp)
    told = objectives(done)
    assert done["verdict"] == told["fence"]["verdict"], "all else passes, with or without a fence"
    assert [told[name]["verdict"] for name in ("content", "rto", "rpo")] == ["pass", "pass", "pass"], done
    assert told["source"]["verdict"] == told["fence"]["verdict"] and "written to" in told["source"]["told"]
    ledger = (here / "ledger").read_text().splitlines()
    recovered, lost, holes = (done["acknowledged"][name] for name in ("recovered", "lost", "holes"))
    assert recovered >= 4 and lost >= 3 and holes == 0 and recovered + lost == len(ledger)
    newest, lost_at = (datetime.fromisoformat(at) for at in (ledger[recovered - 1].split()[1], done["lost_at"]))
    assert abs(told["rpo"]["achieved_seconds"] - (lost_at - newest).total_seconds()) < 0.01
    assert not list((here / "scratch").iterdir())
    with Client(server.url, key=(server.data / "root.key").read_text().strip()) as client:
        assert client.get("/health/integrity").status == 200, "nothing was done to the living trail"


def test_a_heartbeat_goes_into_the_trail_that_is_declared_or_is_not_acknowledged(server: Server, here: Path) -> None:
    atp = program(server, here)
    beats(atp, 1)
    other = Server(here / "other")
    other.start()
    try:
        wrong = Atp({**atp.env, "ATP_URL": other.url, "ATP_KEY_FILE": str(other.data / "root.key")})
        ran = wrong("drill", "heartbeat", "lost-trail")
        assert ran.code == 2 and "serves another trail" in ran.err, ran
    finally:
        other.kill()
    nobody = Atp({name: value for name, value in atp.env.items() if name != "ATP_KEY_FILE"})
    assert nobody("drill", "heartbeat", "lost-trail").code == 2
    server.kill()
    gone = atp("drill", "heartbeat", "lost-trail")
    assert gone.code == 5 and "could not write a heartbeat of 'lost-trail'" in gone.err, gone
    server.data.rename(here / "elsewhere")
    assert nobody("drill", "heartbeat", "lost-trail").code == 3
    assert len((here / "ledger").read_text().splitlines()) == 1, "nothing but what was taken is in the ledger"
    (here / "elsewhere").rename(server.data)
    server.start()


def test_a_trail_and_its_keys_come_back_as_a_pair_and_every_api_key_still_opens(server: Server, here: Path) -> None:
    _, text, _ = blocks("docs/backups.md", "yaml")
    estate = text.replace("{", "{{").replace("}", "}}").replace("/var/lib/atp", "{data}")
    for place in ("/srv/drill", "/mnt/vault", "/mnt/safe"):
        (here / Path(place).name).mkdir(exist_ok=True)
        estate = estate.replace(place, f"{{here}}/{Path(place).name}")
    estate = estate.replace("RECIPIENT", "{recipient}").replace("OFFICER", "{recipient}")
    atp = program(server, here, estate)
    send(server, range(300))
    key = atp.document("key", "create", "--person", "ann", "--scope", "ingest")["key"]
    for name in ("trail", "trail-keys"):
        atp.document("backup", "run", name)
    server.kill()
    shutil.rmtree(server.data)
    alone = Atp({name: value for name, value in atp.env.items() if name != "ATP_KEY_FILE"})
    alone.document("restore", "trail", "--to", "back", "--identity", "KEY.txt", "--yes")
    alone.document("restore", "trail-keys", "--to", "back/keys", "--identity", "KEY.txt", "--yes")
    again = Server(here / "second", data=here / "back")
    again.start()
    try:
        with Client(again.url, key=key) as client:
            sent = client.record(events(range(310)), tenant="default", wait_seconds=20)
        assert (sent["duplicates"], sent["accepted"]) == (300, 10)
        assert fetch(again, "checkpoint").startswith(b"example.org/default/2\n")
    finally:
        again.kill()
    assert check(here / "back").is_whole
