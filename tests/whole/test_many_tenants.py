"""Thousands of tenants in one process: each has its own log, key, checkpoint and answer; the start stays short."""

import json
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from atp.client import Client, log_path, tenant_path
from tests.whole.process import Server, verify

pytestmark = [pytest.mark.whole, pytest.mark.slow]

WORKERS = 8


@pytest.mark.timeout(3_600)
def test_thousands_of_tenants_with_one_event_each(
    tmp_path: Path, count: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    tenants = [f"tenant-{number:05}" for number in range(count(bounded=500, soak=5_000))]
    server = Server(tmp_path)
    server.start()
    created = timed(lambda: each(server, tenants, create))
    recorded = timed(lambda: each(server, tenants, record))
    memory = server.memory_bytes()
    server.kill()
    ready = server.start()
    again = server.memory_bytes()
    read = timed(lambda: each(server, tenants, read_back))
    assert server.stop() == 0
    report = verify(server.data)
    assert report.returncode == 0, report.stdout[-2000:] + report.stderr
    assert sum(log["size"] == 1 for log in json.loads(report.stdout)["logs"]) >= len(tenants)
    with capsys.disabled():
        sys.stdout.write(
            f"\n{len(tenants)} tenants: created in {created:.1f} s, one event each in {recorded:.1f} s, "
            f"read in {read:.1f} s, ready again after {ready:.1f} s, "
            f"RSS {memory / 1e6:.0f} MB, {again / 1e6:.0f} MB after the start\n"
        )


def timed(act: Callable[[], object]) -> float:
    began = time.monotonic()
    act()
    return time.monotonic() - began


def each(server: Server, tenants: list[str], act: Callable[..., None]) -> None:
    """Do something for every tenant, over a few connections."""

    def work(share: list[str]) -> None:
        with server.client(tries=8) as client:
            for tenant in share:
                act(client, tenant)

    with ThreadPoolExecutor(WORKERS) as pool:
        list(pool.map(work, (tenants[number::WORKERS] for number in range(WORKERS))))


def create(client: Client, tenant: str) -> None:
    client.request("POST", "/v1/tenants", body=json.dumps({"tenant": tenant}).encode(), is_repeatable=False)


def record(client: Client, tenant: str) -> None:
    event = {"id": tenant, "actor": {"id": "alice"}, "action": "act"}
    (receipt,) = client.record([event], tenant=tenant, wait_seconds=60)["receipts"]
    assert receipt["index"] == 0


def read_back(client: Client, tenant: str) -> None:
    (event,) = client.get(tenant_path(tenant, "events")).json()["events"]
    assert event["id"] == tenant
    assert client.get(log_path(tenant, "checkpoint")).body.startswith(f"example.org/{tenant}\n1\n".encode())
