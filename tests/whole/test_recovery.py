"""A real server that is told to run what is due: backups, read-backs and drills come by themselves, and are told."""

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from atp.client import Client, tenant_path
from tests.services.loopback import free_port, running

pytestmark = [pytest.mark.whole, pytest.mark.slow]

PROGRAM = Path(sys.executable).with_name("atp")
SECONDS_MAX = 90.0
ESTATE = """\
version: atp.estate/1
name: A small archive
environments: [production]
datasets:
  letters:
    kind: files
    source: {{place: {root}/letters}}
    rpo: 1h
    rto: 15min
    backup: {{repository: vault, schedule: 30min, recipients: [{recipient}]}}
    drill:
      place: {root}/scratch
      checks: [{{digests: true}}]
repositories:
  vault: {{kind: directory, place: {root}/vault}}
"""


def test_what_is_due_is_run_and_told(tmp_path: Path) -> None:
    (tmp_path / "letters").mkdir()
    (tmp_path / "letters" / "first.txt").write_text("Dear keeper,")
    for name in ("vault", "scratch"):
        (tmp_path / name).mkdir()
    key = tmp_path / "KEY.txt"
    made = subprocess.run([PROGRAM, "backup", "key", "-o", key], capture_output=True, text=True, check=True)
    (tmp_path / "estate.yaml").write_text(ESTATE.format(root=tmp_path, recipient=made.stdout.strip()))
    config = tmp_path / "atp.toml"
    config.write_text(f'estate = "{tmp_path}/estate.yaml"\n[recovery]\nrun = true\nidentity = "{key}"\n')
    listen, log = f"127.0.0.1:{free_port()}", tmp_path / "log"
    command = [PROGRAM, "serve", "--data", tmp_path / "data", "--listen", listen, "--config", config]
    with running(list(map(str, command)), is_ready=lambda: "token=" in log.read_text(), log=log):
        root = (tmp_path / "data" / "root.key").read_text().strip()
        with Client(f"http://{listen}", key=root) as client:
            (backup,) = wait(lambda: told(client, "backup.done"), log)
            assert backup["data"]["verdict"] == "pass" and list((tmp_path / "vault" / "letters").iterdir())
            (verified,) = wait(lambda: told(client, "backup.verified"), log)
            assert verified["data"]["verdict"] == "pass" and verified["data"]["decrypted"]
            (drill,) = wait(lambda: told(client, "drill.done"), log)
            assert drill["data"]["scenario"] == "deletion"
            assert {one["verdict"] for one in drill["data"]["objectives"] if one["name"] in ("content", "rto")} == {
                "pass"
            }
            assert [one["id"] for one in told(client, "backup.overdue")] == ["backup.overdue.letters.never"]
            wait(lambda: log.read_text().count('"recovery_ran"') == 3, log)
            found = json.loads(client.get("/v1/datasets/letters").body)["standing"]
            assert found["copies"] and found["last_drills"] and found["colour"] in ("amber", "green")
            assert b"atp_recovery_runs_total" in client.get("/metrics").body
    assert list((tmp_path / "scratch").iterdir()) == []
    assert "AGE-SECRET-KEY" not in log.read_text() and root not in log.read_text()


def test_a_server_that_stops_ends_what_it_runs(tmp_path: Path) -> None:
    (tmp_path / "letters").mkdir()
    with (tmp_path / "letters" / "large").open("wb") as file:
        for _ in range(200):
            file.write(os.urandom(1024 * 1024))
    (tmp_path / "vault").mkdir()
    made = subprocess.run(
        [PROGRAM, "backup", "key", "-o", tmp_path / "KEY.txt"], capture_output=True, text=True, check=True
    )
    (tmp_path / "estate.yaml").write_text(ESTATE.format(root=tmp_path, recipient=made.stdout.strip()))
    config = tmp_path / "atp.toml"
    config.write_text(f'estate = "{tmp_path}/estate.yaml"\n[recovery]\nrun = true\n')
    log = tmp_path / "log"
    command = [
        PROGRAM,
        "serve",
        "--data",
        tmp_path / "data",
        "--listen",
        f"127.0.0.1:{free_port()}",
        "--config",
        config,
    ]
    with running(list(map(str, command)), is_ready=lambda: "token=" in log.read_text(), log=log):
        wait(lambda: list((tmp_path / "vault").glob("letters/*/data.*")) or children(tmp_path), log)
        began = time.monotonic()
    assert time.monotonic() - began < 5
    assert children(tmp_path) == []


def told(client: Client, action: str) -> list[dict[str, Any]]:
    answer = client.get(tenant_path("operations", "events"), {"action": action})
    return list(json.loads(answer.body)["events"])


def wait(found: Callable[[], Any], log: Path) -> Any:
    deadline = time.monotonic() + SECONDS_MAX
    while not (value := found()):
        assert time.monotonic() < deadline, log.read_text()[-3000:]
        time.sleep(0.2)
    return value


def children(root: Path) -> list[str]:
    """The command lines of runs that are about this place."""
    lines = []
    for place in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            lines.append(place.read_bytes().replace(b"\0", b" ").decode(errors="replace"))
        except OSError:
            continue
    return [line for line in lines if re.search(r"atp\.cli\.main backup run", line) and str(root) in line]
