"""Batches -> the server, one after the other so that a file keeps its order; reading and converting go on meanwhile."""

import base64
import json
import threading
from collections import deque
from collections.abc import Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

from atp.cli.batches import Batch
from atp.cli.server import Server
from atp.client import TRIES_MAX, Client, tenant_path

_WAITING_MAX = 4


@dataclass(slots=True)
class Counts:
    """What became of records: accepted + duplicates + parked is how many were sent. `size`: all indexes are below."""

    accepted: int = 0
    duplicates: int = 0
    parked: int = 0
    size: int = 0

    def add(self, other: "Counts") -> None:
        """Take in what became of some more."""
        self.accepted += other.accepted
        self.duplicates += other.duplicates
        self.parked += other.parked
        self.size = max(self.size, other.size)


def send_batches(
    batches: Iterable[Batch], *, server: Server, tenant: str, counts: Counts
) -> Generator[None, None, None]:
    """Send batches in order, each while the next ones are made; `counts` is kept up to date after each step.

    Raises the error of the first batch that failed. What is under way then, or when the iterator is closed, is waited
    for and counted; sending it again is safe.
    """
    stopping = threading.Event()
    client = server.client(tries=TRIES_MAX, sleep=stopping.wait)

    waiting = deque[Future[Counts]]()
    pool = ThreadPoolExecutor(1, thread_name_prefix="send")
    try:
        for batch in batches:
            waiting.append(pool.submit(send_batch, batch, client=client, tenant=tenant))
            if len(waiting) == _WAITING_MAX:
                _take_first(waiting, counts)
                yield
        while waiting:
            _take_first(waiting, counts)
            yield
    finally:
        stopping.set()
        pool.shutdown(cancel_futures=True)
        for future in waiting:
            if not future.cancelled() and future.exception() is None:
                counts.add(future.result())
        client.close()


def _take_first(waiting: deque[Future[Counts]], counts: Counts) -> None:
    done = waiting[0].result()  # an interruption comes here, and leaves it among those that are waited for
    waiting.popleft()
    counts.add(done)


def send_batch(batch: Batch, *, client: Client, tenant: str) -> Counts:
    """Record the events of a batch and park the rest: what the server finds unfit is parked there as well."""
    counts = Counts()
    if batch.events:
        answer = client.send(batch.events, tenant=tenant, query={"invalid": "park"}).json()
        size = max((receipt["index"] + 1 for receipt in answer["receipts"]), default=0)
        counts.add(Counts(answer["accepted"], answer["duplicates"], answer.get("parked", 0), size))
    if batch.rejected:
        letters = [{"reason": one.reason, "body": base64.b64encode(one.raw).decode()} for one in batch.rejected]
        body = json.dumps({"records": letters}).encode()
        answer = client.request("POST", tenant_path(tenant, "dlq"), body=body, is_repeatable=True).json()
        counts.add(Counts(parked=answer["parked"]))
    return counts
