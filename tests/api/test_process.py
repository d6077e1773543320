"""The server as a process: how it starts, how it stops, what it says when it cannot, what it takes when idle."""

import signal
import socket
import subprocess
import threading
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from atp.errors import UnavailableError
from tests.api.calling import event
from tests.whole.process import PROGRAM, Server

pytestmark = pytest.mark.whole
_IDLE_BYTES_MAX = 120 * 1024 * 1024
_STOP_SECONDS_MAX = 5.0


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    """A server that runs, killed at the end if it still does."""
    running = Server(tmp_path)
    running.start()
    yield running
    if running.code() is None:
        running.kill()


def is_live(url: str) -> bool:
    try:
        with urllib.request.urlopen(f"{url}/health/live", timeout=2) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def run(*words: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run([PROGRAM, "serve", *map(str, words)], capture_output=True, text=True, timeout=30, check=False)


def test_an_idle_server_is_small_and_says_where_everything_is(server: Server) -> None:
    time.sleep(1)
    assert server.memory_bytes() <= _IDLE_BYTES_MAX
    words = server.words()
    for told in (server.url, str(server.data), "root.key", "/login?token="):
        assert told in words
    assert (server.data / "root.key").stat().st_mode & 0o777 == 0o600
    assert (server.data / "root.key").read_text().strip() not in words


def test_stopping_ends_in_time_with_what_was_accepted_durable(server: Server) -> None:
    accepted: list[str] = []

    def send() -> None:
        with server.client() as client:
            number = 0
            while True:
                try:
                    receipts = client.record([event(number)], tenant="default")
                except (UnavailableError, OSError):
                    return
                accepted.append(receipts["receipts"][0]["id"])
                number += 1

    sender = threading.Thread(target=send)
    sender.start()
    time.sleep(0.7)
    began = time.monotonic()
    assert server.stop() == 0
    assert time.monotonic() - began < _STOP_SECONDS_MAX
    sender.join()
    assert len(accepted) > 10
    server.start()
    with server.client() as client:
        newest = client.get("/v1/tenants/default/events", {"limit": 1}).json()["events"][0]
        assert int(newest["id"][2:]) >= len(accepted) - 1
        assert newest["index"] == int(newest["id"][2:])
    assert "Traceback" not in server.words()


def test_an_idle_connection_does_not_hold_the_stop(server: Server) -> None:
    host, _, port = server.url.removeprefix("http://").partition(":")
    with socket.create_connection((host, int(port))) as idle, server.client() as kept:
        idle.sendall(b"GET /v1/status HTTP/1.1\r\n")
        kept.get("/health/live")
        began = time.monotonic()
        assert server.stop() == 0
        assert time.monotonic() - began < _STOP_SECONDS_MAX


def test_ctrl_c_is_a_clean_stop(tmp_path: Path) -> None:
    words = [PROGRAM, "serve", "--data", tmp_path / "data", "--listen", "127.0.0.1:0"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        assert process.stdout is not None
        url = process.stdout.readline().split()[1]
        while not is_live(url):
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        assert "Traceback" not in process.stdout.read()
        assert process.wait(_STOP_SECONDS_MAX) == 0


def test_an_address_that_is_taken_is_one_sentence(server: Server, tmp_path: Path) -> None:
    ran = run("--data", tmp_path / "other", "--listen", server.url.removeprefix("http://"))
    assert ran.returncode == 5
    assert ran.stderr.count("\n") == 1
    assert "could not listen on" in ran.stderr
    assert not (tmp_path / "other").exists()


def test_a_directory_that_another_server_holds_is_one_sentence(server: Server) -> None:
    ran = run("--data", server.data, "--listen", "127.0.0.1:0")
    assert ran.returncode == 5
    assert ran.stderr.count("\n") == 1
    assert "could not open" in ran.stderr


@pytest.mark.parametrize("listen", ["nonsense", "127.0.0.1", "127.0.0.1:99999", "no.such.host.invalid:1"])
def test_an_address_that_is_none_is_refused(tmp_path: Path, listen: str) -> None:
    ran = run("--data", tmp_path / "data", "--listen", listen)
    assert ran.returncode in (2, 5)
    assert "could not listen on" in ran.stderr
    assert "Traceback" not in ran.stderr
