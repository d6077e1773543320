"""Batches -> the server, several at a time over connections of their own, answers in the order of the batches."""

import base64
import json
import threading
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from queue import SimpleQueue

from atp.cli.batches import Batch
from atp.client import Client, tenant_path

CONNECTIONS = 3
_IN_FLIGHT_MAX = 2 * CONNECTIONS


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


def send_batches(batches: Iterable[Batch], *, clients: Iterable[Client], tenant: str) -> Iterator[Counts]:
    """What became of each batch, in order; the next ones are under way meanwhile. The clients are closed at the end.

    Raises the error of the first batch that failed. A batch that was under way then, or when the iterator is closed,
    may have been recorded: send it again.
    """
    idle = SimpleQueue[Client]()
    for client in clients:
        idle.put(client)

    def send(batch: Batch) -> Counts:
        client = idle.get()
        try:
            return send_batch(batch, client=client, tenant=tenant)
        finally:
            idle.put(client)

    waiting = deque[Future[Counts]]()
    pool = ThreadPoolExecutor(CONNECTIONS, thread_name_prefix="send")
    try:
        for batch in batches:
            waiting.append(pool.submit(send, batch))
            if len(waiting) == _IN_FLIGHT_MAX:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(wait=not waiting, cancel_futures=True)


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
