"""Whole logs: how they stand, what is exported, what is verified; and the people who may ask."""

import json
import socket
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from atp.merkle.checkpoints import Checkpoint, sign_checkpoint
from atp.merkle.keys import SigningKey
from atp.verify.remember import Memory
from tests.cli.conftest import Platform
from tests.cli.running import Atp
from tests.services.fsck import Fsck

pytestmark = pytest.mark.whole


@pytest.fixture
def filled(atp: Atp, tenant: str) -> str:
    """A tenant with 700 events."""
    ingest(atp, tenant, range(700))
    return tenant


def ingest(atp: Atp, tenant: str, numbers: range) -> dict[str, Any]:
    lines = [{"id": f"e-{n}", "actor": {"id": f"user-{n % 3}"}, "action": "door.open"} for n in numbers]
    stdin = "\n".join(map(json.dumps, lines)).encode()
    document: dict[str, Any] = atp.document("ingest", "-", "--tenant", tenant, stdin=stdin)
    return document


def test_tenants_are_created_once_and_listed(atp: Atp, new_name: Callable[[], str]) -> None:
    name = new_name()
    assert atp("tenant", "create", name).code == 0
    assert atp("tenant", "create", name).code == 4
    assert atp("tenant", "create", "Not A Name").code == 2
    listed = atp.document("tenant", "list")["tenants"]
    assert {"default", "operations", name} <= {one["tenant"] for one in listed}
    assert name in atp("tenant", "list").out


def test_a_key_is_printed_once_and_opens_only_what_it_is_for(atp: Atp, filled: str, here: Path) -> None:
    made = atp.document("key", "create", "--person", "alice", "--scope", "read", "--tenant", filled)
    hers = {"ATP_API_KEY": made["key"], "ATP_KEY_FILE": None}
    assert atp("query", "--tenant", filled, **hers).code == 0
    assert atp("query", "--tenant", "default", **hers).code == 3
    assert atp("tenant", "create", "hers", **hers).code == 3
    assert atp("key", "list", **hers).code == 2
    assert atp("ingest", "-", "--tenant", filled, stdin=b"{}", **hers).code == 2
    listed = atp("key", "list")
    assert made["id"] in listed.out and made["key"] not in listed.out
    assert atp("key", "revoke", made["id"]).code == 0
    assert atp("query", "--tenant", filled, **hers).code == 2
    assert atp("key", "revoke", "000000000000").code == 3


def test_a_key_goes_to_a_file_of_its_owner(atp: Atp, here: Path) -> None:
    made = atp.document("key", "create", "--person", "bob", "--scope", "read", "--scope", "export", "-o", "bob.key")
    assert "key" not in made
    assert stat.S_IMODE((here / "bob.key").stat().st_mode) == 0o600
    assert atp("query", "--key-file", "bob.key").code == 0
    again = atp("key", "create", "--person", "bob", "--scope", "read", "-o", "bob.key")
    assert again.code == 4 and "exists" in again.err
    refused = atp("key", "create", "--person", "not a name", "--scope", "read", "-o", "new.key")
    assert refused.code == 2 and not (here / "new.key").exists()


def test_an_ingest_key_needs_not_read(atp: Atp, tenant: str) -> None:
    made = atp.document("key", "create", "--person", "robot", "--scope", "ingest", "--tenant", tenant)
    ran = atp(
        "ingest",
        "-",
        "--tenant",
        tenant,
        stdin=b'{"actor":{"id":"r"},"action":"x"}',
        ATP_API_KEY=made["key"],
        ATP_KEY_FILE=None,
    )
    assert ran.code == 0 and "was not checked" in ran.err


def test_status_says_how_each_log_stands(atp: Atp, filled: str) -> None:
    rows = {log["tenant"]: log for log in atp.document("status")["logs"]}
    assert rows[filled]["size"] == rows[filled]["published_size"] == 700
    ran = atp("status")
    assert ran.code == 0 and filled in ran.out, ran


@pytest.mark.parametrize("verb", ["query", "ingest", "prove", "export", "status"])
def test_a_log_that_is_not_the_one_seen_before_is_told_loudly(verb: str, atp: Atp, filled: str) -> None:
    origin = atp.document("ingest", "-", "--tenant", filled)["checkpoint"]["origin"]
    other = sign_checkpoint(Checkpoint(origin, 701, bytes(32)), SigningKey.from_seed(bytes(32), name=origin))
    Memory(Path(atp.env["ATP_STATE_DIR"])).remember(other)
    words = {"prove": ["@7"], "export": ["-o", "x.zip"], "ingest": ["-"], "status": [], "query": []}[verb]
    tenant = [] if verb == "status" else ["--tenant", filled]
    stdin = b'{"actor":{"id":"a"},"action":"x"}\n{"actor":{"id":"b"},"action":"x"}' if verb == "ingest" else b""
    ran = atp(verb, *words, *tenant, stdin=stdin)
    assert ran.code == 1 and "could not trust the log" in ran.err and ran.out == ""


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["--listen", "here"], 2, "HOST:PORT"),
        (["--listen", "127.0.0.1:99999"], 2, "HOST:PORT"),
        (["--config", "none.toml"], 3, "none.toml does not exist"),
        (["--data", "newer"], 2, "its format is '9'"),
    ],
)
def test_a_server_that_cannot_start_says_why(words: list[str], code: int, said: str, alone: Atp, here: Path) -> None:
    (here / "newer").mkdir()
    (here / "newer/FORMAT").write_text("9\n")
    ran = alone("serve", *([] if "--listen" in words else ["--listen", "127.0.0.1:0"]), *words)
    assert (ran.code, ran.out) == (code, "")
    assert said in ran.err


def test_a_port_that_is_taken_is_unavailable(alone: Atp, platform: Platform) -> None:
    ran = alone("serve", "--data", "mine", "--listen", platform.url.removeprefix("http://"))
    assert ran.code == 5 and "could not listen" in ran.err
    ran = alone("serve", "--data", platform.data, "--listen", "127.0.0.1:0")
    assert ran.code == 5 and "another" in ran.err


def test_doctor_finds_a_sound_installation_sound(atp: Atp, platform: Platform) -> None:
    document = atp.document("doctor", "--data", platform.data)
    assert document["ok"] and all(check["state"] in ("ok", "warning") for check in document["checks"])
    assert {"python", "data directory", "disk", "server", "clock", "key"} <= {one["what"] for one in document["checks"]}


def test_doctor_names_what_is_wrong_and_the_next_move(alone: Atp, here: Path) -> None:
    (here / "var/atp/keys").mkdir(parents=True)
    (here / "var/atp/FORMAT").write_text("9\n")
    (here / "var/atp/root.key").write_text("atp_x\n")
    (here / "var/atp/root.key").chmod(0o644)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    ran = alone("doctor", "--url", f"http://127.0.0.1:{port}")
    assert ran.code == 1
    failed = [line for line in ran.out.splitlines() if line.startswith("failed")]
    assert len(failed) == 3 and ran.out.count("->") >= 3
    assert "chmod 600 var/atp/root.key" in ran.out
    assert alone.document("doctor", "--url", f"http://127.0.0.1:{port}", code=1)["ok"] is False


def test_verify_knows_every_place(atp: Atp, filled: str, platform: Platform) -> None:
    live = atp.document("verify", platform.url, "--tenant", filled)
    assert live["logs"][0]["size"] == 700 and not live["tampered"]
    directory = atp.document("verify", platform.data, "--tenant", filled, "--level", "structure")
    assert directory["logs"][0]["levels"]["structure"]["verdict"] == "ok"
    text = atp("verify", platform.data)
    assert text.code == 0 and "under the key found in the directory" in text.out
    assert atp("verify", "nowhere").code == 3
    assert atp("verify", __file__).code == 2
    assert atp("verify", platform.url, "--tenant", "nobody-s").code == 3


def test_a_whole_log_is_exported_resumed_and_read_by_others(atp: Atp, filled: str, here: Path, fsck: Fsck) -> None:
    document = atp.document("export", "--tenant", filled, "--whole", "-o", "log")
    assert document["verified"]["logs"][0]["size"] == 700
    fsck_accepts(fsck, here / "log")
    (here / "log/tile/0/001").unlink()
    (here / "log/checkpoint").unlink()
    ingest(atp, filled, range(700, 1000))
    assert atp.document("export", "--tenant", filled, "--whole", "-o", "log")["checkpoint"]["size"] == 1000
    partials = {path.parent.relative_to(here).as_posix() for path in (here / "log").rglob("*.p/*")}
    assert partials == {"log/tile/0/003.p", "log/tile/1/000.p", "log/tile/entries/003.p"}
    assert atp("verify", "log", "--against", here / "log/checkpoint").code == 0
    fsck_accepts(fsck, here / "log")


def fsck_accepts(fsck: Fsck, directory: Path) -> None:
    origin = (directory / "checkpoint").read_text().split("\n")[0]
    vkey = (directory / "vkey").read_text().strip()
    assert fsck.complaint(f"file://{directory}/", vkey=vkey, origin=origin) == ""


def test_an_export_replaces_nothing_unasked(atp: Atp, filled: str, here: Path) -> None:
    (here / "mine").mkdir()
    (here / "mine/letter").write_text("dear")
    for force in ([], ["--force"]):
        for kind in (["--whole"], ["--actor", "user-1"]):
            assert atp("export", "--tenant", filled, *kind, "-o", "mine", *force).code == 4
    assert (here / "mine/letter").read_text() == "dear"
    assert atp("export", "--tenant", filled, "--whole", "--actor", "x", "-o", "x").code == 2
    assert atp("export", "--tenant", filled, "--whole", "-o", "x.zip").code == 2


def test_bundles_are_verified_and_stand_alone(atp: Atp, filled: str, here: Path) -> None:
    one = atp.document("export", "--tenant", filled, "--first", 10, "--stop", 300, "-o", "range.zip")
    assert one["verified"]["kind"] == "bundle (range)"
    assert atp("export", "--tenant", filled, "--first", 10, "--stop", 300, "-o", "range.zip").code == 4
    assert atp("export", "--tenant", filled, "--actor", "user-2", "-o", "range.zip", "--force").code == 0
    assert atp.document("verify", "range.zip")["kind"] == "bundle (selection)"
    assert atp("export", "--tenant", filled, "--since", "2020-01-01T00:00:00Z", "-o", "all").code == 0
    assert len((here / "all/entries.ndjson").read_bytes().splitlines()) == 700
    assert atp("verify", "all").code == 0
    lines = (here / "all/entries.ndjson").read_bytes().splitlines(keepends=True)
    (here / "all/entries.ndjson").write_bytes(b"".join(lines[:5] + lines[6:]))
    assert atp("verify", "all").code == 1
