"""The world in trouble: full and read-only disks, a second server, damaged files. Each time one clear sentence, no
traceback, and a server that works again when the cause is gone."""

import random
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from atp.errors import UnavailableError
from tests.contracts.machine import SmallDisk, small_disk
from tests.whole.process import Server, verify

pytestmark = [pytest.mark.whole, pytest.mark.slow]

EVENTS = 700
UNAVAILABLE = 5


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data directory with one log of `EVENTS` events; its server was stopped."""
    server = Server(tmp_path_factory.mktemp("filled"))
    server.start()
    for first in range(0, EVENTS, 70):
        send(server, range(first, first + 70), wait_seconds=30)
    assert server.stop() == 0
    return server.data


@pytest.fixture
def server(filled: Path, tmp_path: Path) -> Iterator[Server]:
    """A server on a copy of it, not started."""
    server = Server(tmp_path)
    shutil.copytree(filled, server.data)
    yield server
    assert "Traceback" not in server.words()


def send(server: Server, numbers: range, *, wait_seconds: float | None = None) -> dict[str, list[dict[str, object]]]:
    events = [{"id": f"e-{n}", "actor": {"id": "alice"}, "action": "act", "data": "x" * 500} for n in numbers]
    with server.client() as client:
        answer: dict[str, list[dict[str, object]]] = client.record(events, tenant="default", wait_seconds=wait_seconds)
    return answer


def check_whole(server: Server, *, size: int = EVENTS) -> None:
    """It serves, knows each event by its id, finds them by their text, takes a new one, and verifies at every level."""
    receipts = send(server, range(size), wait_seconds=30)["receipts"]
    assert [(receipt["index"], receipt["duplicate"]) for receipt in receipts] == [(n, True) for n in range(size)]
    with server.client() as client:
        page = client.get("/v1/tenants/default/events", {"text": "alice", "limit": 1_000}).json()
    assert len(page["events"]) == size
    assert send(server, range(size, size + 1), wait_seconds=30)["receipts"][0]["index"] == size
    assert server.stop() == 0
    report = verify(server.data)
    assert report.returncode == 0, report.stdout + report.stderr


def check_refused(server: Server, *, words: str) -> None:
    """It does not start, and says why in one sentence with a hint."""
    server.begin()
    assert server.wait() == UNAVAILABLE, server.words()
    last = server.words().strip().splitlines()[-1]
    assert "could not" in last and "(hint: " in last and words in last, last


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[SmallDisk]:
    with small_disk(tmp_path / "disk", megabytes=24) as disk:
        yield disk


def test_a_full_disk_refuses_with_a_sentence_and_works_again_with_space(disk: SmallDisk, tmp_path: Path) -> None:
    server = Server(tmp_path / "server", data=disk.path / "data")
    server.start()
    send(server, range(100), wait_seconds=30)
    disk.fill()
    taken = 100
    with pytest.raises(UnavailableError) as error:
        while taken < 20_000:
            send(server, range(taken, taken + 100))
            taken += 100
    assert error.value.status == 503 and "could not" in str(error.value)
    with server.client() as client:  # reading goes on
        assert client.get("/v1/tenants/default/events", {"limit": 1}).json()["events"]
    disk.free()
    send(server, range(taken, taken + 100), wait_seconds=30)
    check_whole(server, size=taken + 100)
    assert "Traceback" not in server.words()


def test_a_full_disk_at_the_start_is_named(disk: SmallDisk, tmp_path: Path) -> None:
    server = Server(tmp_path / "server", data=disk.path / "data")
    disk.fill()
    check_refused(server, words="pace")
    disk.free()
    server.start()
    send(server, range(10), wait_seconds=30)
    check_whole(server, size=10)


def test_a_read_only_directory_is_named(disk: SmallDisk, tmp_path: Path) -> None:
    server = Server(tmp_path / "server", data=disk.path / "data")
    server.start()
    send(server, range(10), wait_seconds=30)
    assert server.stop() == 0
    disk.set_writable(False)
    check_refused(server, words="disk")
    disk.set_writable(True)
    server.start()
    check_whole(server, size=10)


def test_a_second_server_on_the_same_directory_is_refused(server: Server, tmp_path: Path) -> None:
    server.start()
    second = Server(tmp_path / "second", data=server.data)
    check_refused(second, words="another process")
    check_whole(server)
    second.start()
    assert second.stop() == 0


def garble(path: Path, rng: random.Random) -> None:
    path.write_bytes(rng.randbytes(path.stat().st_size))


def cut(path: Path, rng: random.Random) -> None:
    path.write_bytes(path.read_bytes()[: rng.randrange(path.stat().st_size)])


def empty(path: Path, rng: random.Random) -> None:
    path.write_bytes(b"")


def delete(path: Path, rng: random.Random) -> None:
    path.unlink()


@pytest.mark.parametrize("damage", [garble, cut, empty, delete])
@pytest.mark.parametrize("folder", ["views", "ids"])
def test_damaged_views_and_ids_are_rebuilt(
    folder: str, damage: Callable[[Path, random.Random], None], server: Server, rng: random.Random
) -> None:
    files = sorted(path for path in (server.data / folder).rglob("*") if path.is_file())
    assert files or folder == "ids", "a small log's ids are in the order alone"
    for path in files:
        damage(path, rng)
    server.start()
    check_whole(server)


def test_views_and_ids_that_are_gone_are_rebuilt(server: Server) -> None:
    shutil.rmtree(server.data / "views")
    shutil.rmtree(server.data / "ids")
    server.start()
    check_whole(server)


def test_a_damaged_order_keeps_what_the_tiles_hold_and_names_what_is_lost(server: Server) -> None:
    order = server.data / "order.db"
    order.write_bytes(bytes(order.stat().st_size))
    server.start()
    lost = f"entries 512 to {EVENTS - 1}"
    assert f"{lost} of default are lost" in server.words()
    with server.client() as client:
        page = client.get("/v1/tenants/default/events", {"limit": 1_000, "order": "index"}).json()
        assert [event["index"] for event in page["events"]] == list(range(512))
        assert client.get("/health/integrity", answers=(503,)).json()["status"] == "Unhealthy"
    with pytest.raises(UnavailableError, match=lost):
        send(server, range(10_000, 10_001))
    assert server.stop() == 0
    assert list(server.data.glob("order.db.damaged-*"))
    report = verify(server.data)
    assert report.returncode == 1 and "512" in report.stdout


def test_a_lost_write_ahead_log_stops_the_logs_that_it_concerns(tmp_path: Path) -> None:
    server = Server(tmp_path)
    server.start()
    send(server, range(10), wait_seconds=30)
    assert server.stop() == 0
    server.start()
    send(server, range(10, 20), wait_seconds=30)
    server.kill()
    kept = (server.data / "order.db-wal").read_bytes()
    (server.data / "order.db-wal").unlink()
    (server.data / "order.db-shm").unlink()
    copy = tmp_path / "copy"
    shutil.copytree(server.data, copy)
    server.start()
    assert "stopped   default" in server.words()
    with pytest.raises(UnavailableError, match="default is stopped"):
        send(server, range(30, 31))
    server.kill()
    shutil.rmtree(server.data)
    shutil.copytree(copy, server.data)
    (server.data / "order.db-wal").write_bytes(kept)
    server.start()
    check_whole(server, size=20)
