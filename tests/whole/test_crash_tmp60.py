"""`kill -9` at random moments under load, again and again, with clients that repeat by id.

Nothing that was acknowledged is lost, doubled or moved, and every checkpoint that was ever handed out is of a prefix of
the log.
"""

import json
import random
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from atp.app.open import open_stores
from atp.client import log_path
from atp.errors import AtpError, ConflictError
from atp.log.append import Receipt
from tests.faults.history import History
from tests.whole.process import Server, verify

pytestmark = [pytest.mark.whole, pytest.mark.slow]

TENANTS = ("acme", "globex")
WORKERS = 4
EVENTS_MAX = 60
TEXT = "the quick brown fox " * 25


class Load:
    """Clients in threads that send batches, each until it is acknowledged, and look at checkpoints meanwhile."""

    def __init__(self, server: Server, rng: random.Random) -> None:
        self._server = server
        self._history = History()
        self._lock = threading.Lock()
        self._is_over = threading.Event()
        self._faults: list[BaseException] = []
        self._threads = [
            threading.Thread(target=self._work, args=(number, random.Random(rng.random()))) for number in range(WORKERS)
        ]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def finish(self) -> History:
        """Let each client finish its batch; what they know."""
        self._is_over.set()
        for thread in self._threads:
            thread.join()
        assert not self._faults, self._faults
        return self._history

    def _work(self, worker: int, rng: random.Random) -> None:
        try:
            for batch in self._batches(worker, rng):
                tenant = rng.choice(TENANTS)
                self._send(batch, tenant)
                self._look(tenant)
        except BaseException as fault:
            self._faults.append(fault)

    def _batches(self, worker: int, rng: random.Random) -> Iterator[list[str]]:
        number = 0
        while not self._is_over.is_set():
            count = rng.randrange(1, EVENTS_MAX)
            yield [f"w{worker}-{n}" for n in range(number, number + count)]
            number += count

    def _send(self, ids: list[str], tenant: str) -> None:
        bodies = [f'{{"id":"{name}","actor":{{"id":"w"}},"action":"act","data":"{TEXT}"}}'.encode() for name in ids]
        while True:
            try:
                with self._server.client() as client:
                    receipts = client.send(bodies, tenant=tenant).json()["receipts"]
            except AtpError as error:
                assert error.status == 503 or error.code == "unavailable", error
                time.sleep(0.02)
                continue
            with self._lock:
                self._history.keep(tenant, [Receipt(**receipt) for receipt in receipts])
            return

    def _look(self, tenant: str) -> None:
        try:
            with self._server.client() as client:
                note = client.get(log_path(tenant, "checkpoint")).body
        except AtpError:
            return
        with self._lock:
            self._history.notes.setdefault(tenant, set()).add(note)


@pytest.mark.timeout(14_400)
def test_kill_9_under_load_loses_doubles_and_forks_nothing(
    tmp_path: Path, rng: random.Random, count: Callable[..., int]
) -> None:
    server = Server(tmp_path)
    server.start()
    for tenant in TENANTS:
        create(server, tenant)
    load = Load(server, rng)
    load.start()
    kills = count(bounded=60, soak=300)
    for _ in range(kills):
        time.sleep(rng.choice((0.02, 0.3, 1.0)) * rng.random())
        server.kill()
        if rng.random() < 0.3:  # in the middle of a recovery as well
            server.begin()
            time.sleep(rng.random())
            server.kill()
        server.start()
    history = load.finish()
    publish_all(server, history)
    assert server.stop() == 0
    assert "Traceback" not in server.words()
    judge(server.data, history)
    events, notes = sum(map(len, history.sent.values())), sum(map(len, history.notes.values()))
    assert events > kills and notes > kills, "there was no load to speak of"


def create(server: Server, tenant: str) -> None:
    with server.client() as client, suppress(ConflictError):
        client.request("POST", "/v1/tenants", body=json.dumps({"tenant": tenant}).encode())


def publish_all(server: Server, history: History) -> None:
    """Wait until all that is durable is published: when the last event of a log is, all before it are."""
    for tenant in TENANTS:
        event = {"id": "last", "actor": {"id": "w"}, "action": "act"}
        with server.client(tries=8) as client:
            answer = client.record([event], tenant=tenant, wait_seconds=30)
        history.keep(tenant, [Receipt(**receipt) for receipt in answer["receipts"]])


def judge(data: Path, history: History) -> None:
    report = verify(data)
    assert report.returncode == 0, report.stdout + report.stderr
    levels = {level["verdict"] for log in json.loads(report.stdout)["logs"] for level in log["levels"].values()}
    assert levels == {"ok"}, report.stdout
    stores = open_stores(data)
    history.judge(stores)
    stores.events.close()
