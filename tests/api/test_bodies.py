"""Bodies: gzip within bounds, sizes, slow and broken clients."""

import gzip
import json
import time

import httpx
import pytest

from atp import limits
from tests.api.calling import connect, event, events_path, lines, problem, read_all
from tests.web.serving import Served

_ONE = json.dumps(event(1)).encode()
_PACKED = gzip.compress(_ONE, mtime=0)


def post(client: httpx.Client, tenant: str, body: bytes, *, encoding: str = "gzip") -> httpx.Response:
    headers = {"Content-Type": "application/json", "Content-Encoding": encoding}
    return client.post(events_path(tenant), content=body, headers=headers)


def test_a_packed_body_is_unpacked(root: httpx.Client, tenant: str) -> None:
    assert post(root, tenant, gzip.compress(_ONE)).json()["accepted"] == 1


def test_a_body_of_several_members_is_one_body(root: httpx.Client, tenant: str) -> None:
    halves = gzip.compress(_ONE[:9]) + gzip.compress(b"") + gzip.compress(_ONE[9:])
    assert post(root, tenant, halves).json()["accepted"] == 1


def test_a_large_body_is_unpacked_whole(root: httpx.Client, tenant: str) -> None:
    batch = json.dumps([event(number, data="é" * 900) for number in range(5_000)], ensure_ascii=False).encode()
    assert post(root, tenant, gzip.compress(batch, 1)).json()["accepted"] == 5_000


@pytest.mark.parametrize("body", [b"", b"not gzip", _PACKED[:-9], _PACKED[:-1], _PACKED + b"rest"])
def test_a_broken_packing_is_malformed(root: httpx.Client, tenant: str, body: bytes) -> None:
    problem(post(root, tenant, body), 400, "malformed")


def test_a_bomb_is_refused_at_its_bound_and_soon(root: httpx.Client, tenant: str) -> None:
    bomb = gzip.compress(b"[" + b" " * (8 * limits.BODY_UNPACKED_BYTES_MAX))
    began = time.monotonic()
    problem(post(root, tenant, bomb), 413, "too_large")
    assert time.monotonic() - began < 5


def test_a_body_of_endless_empty_members_is_refused_soon(root: httpx.Client, tenant: str) -> None:
    began = time.monotonic()
    problem(post(root, tenant, gzip.compress(b"") * 500_000), 413, "too_large")
    assert time.monotonic() - began < 5


def test_another_encoding_is_unsupported(root: httpx.Client, tenant: str) -> None:
    problem(post(root, tenant, _ONE, encoding="br"), 415, "unsupported_media_type")


def test_a_body_over_its_bound_is_refused_with_and_without_its_length(
    served: Served, root: httpx.Client, tenant: str
) -> None:
    piece = b" " * 1024 * 1024
    pieces = limits.BODY_BYTES_MAX // len(piece) + 1
    problem(root.post(events_path(tenant), content=(piece for _ in range(pieces))), 413, "too_large")
    with connect(served) as connection:
        head = f"POST {events_path(tenant)} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {served.key}\r\n"
        connection.sendall(f"{head}Connection: close\r\nContent-Length: {pieces * len(piece)}\r\n\r\n".encode())
        assert read_all(connection).startswith(b"HTTP/1.1 413 ")


def test_a_slow_client_is_served_and_keeps_nobody_waiting(served: Served, root: httpx.Client, tenant: str) -> None:
    body = lines([event(1)])
    with connect(served) as slow:
        head = f"POST {events_path(tenant)} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {served.key}\r\n"
        slow.sendall(f"{head}Connection: close\r\nContent-Length: {len(body)}\r\n\r\n".encode())
        for byte in body:
            slow.sendall(bytes([byte]))
            began = time.monotonic()
            assert root.get("/health/live").status_code == 200
            assert time.monotonic() - began < 1
        assert b'"accepted":1' in read_all(slow)


@pytest.mark.parametrize(
    "head",
    [
        b"nonsense\r\n\r\n",
        b"GET /\xff\xfe HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET / HTTP/1.1\r\nBad Header\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: many\r\n\r\n",
        b"GET / HTTP/1.1\r\nX: " + b"x" * (limits.HEAD_BYTES_MAX + 1),
    ],
)
def test_what_is_no_request_is_refused(served: Served, head: bytes) -> None:
    with connect(served) as connection:
        connection.sendall(head)
        assert read_all(connection).split(b" ")[1][:1] == b"4"


def test_a_path_of_any_bytes_is_no_bug(served: Served, root: httpx.Client) -> None:
    for path in ("/v1/tenants/%ff%fe/events", "/log/%00/tile/0/000", "/v1/tenants/..%2f..%2fetc/dlq", "/v1/keys/%0a"):
        answer = root.request("DELETE" if "keys" in path else "GET", path)
        problem(answer, 404, "missing")
