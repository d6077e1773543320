"""Whoever copies an example out of the help sees it work."""

import gzip
import json
import re
import shlex
import sqlite3
from contextlib import closing
from importlib.resources import files
from pathlib import Path

import pytest

from atp.app.machine import machine_clock, open_sink
from atp.cli.main import VERBS
from atp.client import Client
from atp.ops.record.recording import begin
from tests.app.opened import until
from tests.cli.conftest import Platform
from tests.cli.running import Atp
from tests.contracts.vaults import release
from tests.ops.estate.estates import EXAMPLE

IN_ORDER = [
    "tenant",
    "ingest",
    "query",
    "show",
    "prove",
    "export",
    "verify",
    "key",
    "dlq",
    "integrity",
    "maintenance",
    "rebuild",
    "act",
    "spool",
    "estate",
    "backup",
    "restore",
    "drill",
    "status",
    "doctor",
    "completion",
    "demo",
]
EVENT = {"id": "inv-7-approved", "actor": {"id": "alice"}, "action": "invoice.approve"}
TRAIL = {
    "eventVersion": "1.08",
    "eventID": "6ad2b0c1-6c53-4d1b-9a6c-1f0e7ad1f1a7",
    "eventTime": "2026-01-01T00:00:00Z",
    "eventSource": "s3.amazonaws.com",
    "eventName": "GetObject",
    "userIdentity": {"type": "IAMUser", "arn": "arn:aws:iam::1:user/alice"},
}


def examples(atp: Atp, verb: str) -> list[str]:
    """The lines of a verb's help that are commands, and those of its own commands."""
    shown = atp(verb, "--help").out
    _, _, names = shown.partition("\nCommands:\n")
    for name in (line.split()[0] for line in names.splitlines() if line.strip()):
        shown += atp(verb, name, "--help").out
    return [line.strip().partition(" > ")[0] for line in shown.splitlines() if line.startswith("    atp ")]


@pytest.mark.whole
def test_every_example_of_the_help_works(
    atp: Atp, here: Path, platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ATP_STATE_DIR", atp.env["ATP_STATE_DIR"])
    # A drill needs an estate with drills and a fence: the examples of docs/recovery.md are run by a test of their own.
    assert {*IN_ORDER, "serve", "drill"} == set(VERBS)
    (here / "events.ndjson").write_text(json.dumps(EVENT) + "\n{}\n")
    (here / "trail.json.gz").write_bytes(gzip.compress(json.dumps({"Records": [TRAIL]}).encode()))
    (here / "estate.yaml").write_bytes(EXAMPLE)
    (here / "var").mkdir()
    (here / "var/atp").symlink_to(platform.data)
    with Client(platform.url, key=(platform.data / "root.key").read_text().strip()) as client:
        (here / "log.vkey").write_bytes(client.get("/log/default/vkey").body)
    names = {"http://127.0.0.1:8600": platform.url}
    for verb in IN_ORDER:
        lines = examples(atp, verb)
        if verb == "maintenance":  # `off` is listed before `on`
            lines.reverse()
        if verb == "backup":  # whatever is encrypted needs a key first
            lines.sort(key=lambda line: not line.startswith("atp backup key"))
        assert lines
        for line in lines:
            if line.startswith("atp key revoke"):
                names["0123456789ab"] = atp.document("key", "list")["keys"][-1]["id"]
            if line.startswith("atp tenant retire-key"):
                names["01234567"] = atp.document("tenant", "rotate-key", "default")["vkeys"][0].split("+")[1]
            if line.startswith("atp dlq inspect"):
                names["9f86d081884c7d65"] = atp.document("dlq", "list")["records"][0]["key"][:16]
            if line.startswith("atp act"):
                names["20260131T235959000001-9f86d081884c7d65"] = _act(platform)
            words = [names.get(word, word) for word in shlex.split(line)]
            ran = atp(*words[1:])
            # Other tests have an estate that declares drills, and a server of PostgreSQL that can be followed.
            if line.startswith(("atp drill", "atp backup follow")):
                continue
            # Nobody told the trail of a backup: what the file declares is not proven, and --strict says so.
            assert ran.code == int("--strict" in words), (line, ran)
            if line.startswith("atp backup key"):
                names["20260131T235959Z-9f86d081884c"] = _first_backup(atp, here)
    release(here)


def _first_backup(atp: Atp, here: Path) -> str:
    """The id of a backup of what the help speaks of, under the key in KEY.txt."""
    text = files("atp.ops.backups").joinpath("example.yaml").read_text()
    for name in ("letters", "cellar"):
        (here / name).mkdir()
    text = text.replace("repository: vault", "repository: cellar").replace("      copies_in: [cellar]\n", "")
    text = text.replace("/srv/archive", str(here)).replace("/mnt/cellar/backups", str(here / "cellar"))
    with closing(sqlite3.connect(here / "catalogue.db")) as catalogue:
        catalogue.execute("CREATE TABLE letter (id INTEGER PRIMARY KEY)")
    recipient = re.search("age1[a-z0-9]+", (here / "KEY.txt").read_text())
    assert recipient is not None
    (here / "estate.yaml").write_text(re.sub("age1[a-z0-9]{40,}", recipient[0], text))
    atp.document("backup", "run", "catalogue")
    return str(atp.document("backup", "run", "letters")["backup"])


def _act(platform: Platform) -> str:
    """The id of an act whose one step nobody told the outcome of."""
    with Client(platform.url, key=(platform.data / "root.key").read_text().strip()) as client:
        sink = open_sink(platform.url, client, tell=lambda words: None)
        recording = begin("backup", "run", by=sink.person(), sink=sink, clock=machine_clock())
        recording.intend("copy")
        until(lambda: len(sink.told(recording.act.id)) == 2)
    return recording.act.id
