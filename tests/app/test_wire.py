"""What a connection may take before its request is known."""

import socket
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from atp.limits import HEAD_BYTES_MAX, HEAD_SECONDS_MAX
from tests.web.serving import serving

REQUEST = b"GET /health/live HTTP/1.1\r\nHost: localhost\r\n"
OK = b"HTTP/1.1 200 OK\r\n"


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, int]]:
    """Host and port of a server."""
    with serving(tmp_path_factory.mktemp("wire") / "data") as served:
        url = urlsplit(served.url)
        yield url.hostname or "", url.port or 0


@pytest.fixture
def wire(place: tuple[str, int]) -> Iterator[socket.socket]:
    """A bare connection."""
    with socket.create_connection(place, timeout=HEAD_SECONDS_MAX + 10) as connection:
        yield connection


def read_all(connection: socket.socket) -> bytes:
    """What the server sends until it closes the connection."""
    received = b""
    while piece := connection.recv(65_536):
        received += piece
    return received


def is_cut_off(connection: socket.socket, head: bytes, *, piece: bytes) -> bool:
    """Whether a head that grows beyond the bound is answered 431; what is still on its way may reset that answer."""
    try:
        connection.sendall(head)
        for _ in range(HEAD_BYTES_MAX // len(piece) + 2):
            connection.sendall(piece)
        return read_all(connection).startswith(b"HTTP/1.1 431 ")
    except ConnectionError:
        return True


def test_a_head_that_never_ends_is_cut_off(wire: socket.socket) -> None:
    assert is_cut_off(wire, REQUEST, piece=b"X-Long: " + b"x" * 1_000 + b"\r\n")


def test_one_endless_header_is_cut_off_too(wire: socket.socket) -> None:
    assert is_cut_off(wire, REQUEST + b"X-Long: ", piece=b"x" * 8_192)


def test_each_request_of_a_connection_has_its_own_allowance(wire: socket.socket) -> None:
    fitting = REQUEST + b"X-Long: " + b"x" * (HEAD_BYTES_MAX // 2) + b"\r\n"
    for _ in range(4):
        wire.sendall(fitting)
        wire.sendall(b"\r\n")
        assert wire.recv(65_536).startswith(OK)


def test_a_head_may_come_byte_by_byte(wire: socket.socket) -> None:
    for byte in REQUEST + b"\r\n":
        wire.sendall(bytes([byte]))
    assert wire.recv(65_536).startswith(OK)


@pytest.mark.slow
def test_a_head_that_does_not_come_to_its_end_is_not_waited_for(place: tuple[str, int]) -> None:
    began, patience = time.monotonic(), HEAD_SECONDS_MAX + 10
    with socket.create_connection(place, timeout=patience) as first, socket.create_connection(place, patience) as later:
        later.sendall(REQUEST + b"\r\n")
        assert later.recv(65_536).startswith(OK)
        for connection in (first, later):
            connection.sendall(REQUEST)
        assert read_all(first) == read_all(later) == b"", "neither the first head nor the second"
    assert HEAD_SECONDS_MAX - 1 < time.monotonic() - began < HEAD_SECONDS_MAX + 5


def test_a_data_directory_stays_whole_when_connections_break(tmp_path: Path) -> None:
    with serving(tmp_path / "data") as served:
        url = urlsplit(served.url)
        for _ in range(50):
            with socket.create_connection((url.hostname or "", url.port or 0), timeout=5) as connection:
                connection.sendall(
                    b"POST /v1/tenants/default/events HTTP/1.1\r\nHost: x\r\nContent-Length: 99\r\n\r\n["
                )
        assert served.record({"actor": {"id": "alice"}, "action": "a.b"}) == [0]
