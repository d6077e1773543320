"""Callers of a server under test, and what they send."""

import json
import socket
from collections.abc import Sequence
from typing import Any
from urllib.parse import urlsplit

import httpx

from tests.web.serving import Served

TIMEOUT_SECONDS = 30.0


def caller(served: Served, key: str | None = None) -> httpx.Client:
    """A client with a key, the root's if none is named; an empty one sends none."""
    key = served.key if key is None else key
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    return httpx.Client(base_url=served.url, headers=headers, timeout=TIMEOUT_SECONDS, trust_env=False, verify=False)


def events_path(tenant: str) -> str:
    return f"/v1/tenants/{tenant}/events"


def event(number: int, **members: Any) -> dict[str, Any]:
    """A native event with an id of its own."""
    return {"id": f"e-{number}", "actor": {"id": "alice"}, "action": "invoice.approve", **members}


def lines(events: Sequence[dict[str, Any]]) -> bytes:
    return b"".join(json.dumps(each).encode() + b"\n" for each in events)


def record(client: httpx.Client, tenant: str, *events: dict[str, Any]) -> list[dict[str, Any]]:
    """Record events and wait until they are published; the receipts."""
    answer = client.post(f"{events_path(tenant)}?wait=10", json=events)
    assert answer.status_code == 200, answer.text
    assert answer.json()["published"]
    receipts: list[dict[str, Any]] = answer.json()["receipts"]
    return receipts


def problem(answer: httpx.Response, status: int, code: str) -> dict[str, Any]:
    """The problem of a refusal, which has the form that RFC 9457 and we ask for."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    found: dict[str, Any] = answer.json()
    assert (found["type"], found["status"], found["code"]) == ("about:blank", status, code)
    assert found["detail"].startswith("could not "), found
    return found


def faults(answer: httpx.Response) -> list[tuple[int, str]]:
    """Position and field of every fault that an answer lists."""
    return [(fault["position"], fault["field"]) for fault in answer.json()["errors"]]


def connect(served: Served) -> socket.socket:
    """A bare connection, for what no client would send."""
    place = urlsplit(served.url)
    return socket.create_connection((place.hostname, place.port), timeout=TIMEOUT_SECONDS)


def read_all(connection: socket.socket) -> bytes:
    """What the server sends until it closes the connection."""
    received = b""
    while piece := connection.recv(65_536):
        received += piece
    return received
