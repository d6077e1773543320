"""The trail is copied while it is served under load, lost, and restored: others verify it, and no log is forked."""

import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest

from atp.client import Client, log_path
from atp.ops.backups.act.kinds.trail.capture import capture
from tests.app.copied import BACKUP, check, copy, lived, public, restore, succeeded
from tests.app.opened import running
from tests.services.fsck import Fsck
from tests.whole.served import Served, serving

pytestmark = [pytest.mark.whole, pytest.mark.slow]


def events(numbers: range) -> list[dict[str, object]]:
    return [{"id": f"e-{number}", "actor": {"id": "a"}, "action": "act", "data": "x" * 400} for number in numbers]


@contextmanager
def load(served: Served) -> Iterator[None]:
    """Somebody records without pause while the block lasts."""
    over = threading.Event()

    def send() -> None:
        with Client(served.url, key=served.key_file.read_text().strip()) as client:
            first = 10_000
            while not over.is_set():
                client.record(events(range(first, first + 50)), tenant="default")
                first += 50

    thread = threading.Thread(target=send)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def fetch(served: Served, path: str) -> bytes:
    with Client(served.url, key=served.key_file.read_text().strip()) as client:
        return client.get(log_path("default", path)).body


def checkpoint_beyond(served: Served, entries: int) -> bytes:
    """The first checkpoint of more entries than that, while somebody records."""
    while True:
        checkpoint = fetch(served, "checkpoint")
        if int(checkpoint.split(b"\n")[1]) > entries:
            return checkpoint


def test_a_copy_under_load_is_restored_and_read_by_a_foreign_verifier(tmp_path: Path, fsck: Fsck) -> None:
    (tmp_path / "first").mkdir()
    with serving(tmp_path / "first") as served:
        with Client(served.url, key=served.key_file.read_text().strip()) as client:
            before = client.record(events(range(1_000)), tenant="default", wait_seconds=20)["receipts"]
        seen = fetch(served, "checkpoint")
        with load(served):
            for number in range(4):
                (tmp_path / f"copy{number}").mkdir()
                taken = capture(served.data, tmp_path / f"copy{number}", backup=BACKUP, now=lambda: datetime.now(UTC))
            newest = checkpoint_beyond(served, taken.entries)
    restore(tmp_path / "copy3", known=[newest])
    (tmp_path / "second").mkdir()
    shutil.move(tmp_path / "copy3", tmp_path / "second" / "data")
    (tmp_path / "seen").write_bytes(seen)
    (tmp_path / "newest").write_bytes(newest)
    with serving(tmp_path / "second") as served:
        with Client(served.url, key=served.key_file.read_text().strip()) as client:
            after = client.record(events(range(1_000)), tenant="default", wait_seconds=20)["receipts"]
        assert [{**one, "duplicate": True} for one in before] == after, "each keeps its index and its hash"
        vkey, key = fetch(served, "vkey").decode(), served.key_file.read_text().strip()
        origin = fetch(served, "checkpoint").decode().split("\n")[0]
        assert origin.endswith("/default/2")
        assert fsck.complaint(f"{served.url}/log/default/", vkey=vkey, origin=origin, bearer_token=key) == ""
        served.atp.document("export", "--whole", "-o", tmp_path / "mirror")
        assert fsck.complaint(f"file://{tmp_path}/mirror/", vkey=vkey, origin=origin) == ""
        for place in (served.url, tmp_path / "mirror"):
            words = [place, *(["--tenant", "default"] if place == served.url else []), "--against"]
            assert served.atp("verify", *words, tmp_path / "seen").code == 0
            lost = served.atp("verify", *words, tmp_path / "newest")
            assert lost.code == 1 and "lost, declared" in lost.out and "TAMPERED" not in lost.out, lost
        assert served.atp("prove", "e-7", "-o", tmp_path / "p.tlog-proof", "--entry", tmp_path / "e.json").code == 0
    assert taken.entries > 1_000 and check(tmp_path / "second" / "data").is_whole


@pytest.mark.parametrize("when", ["before", "after"])
def test_kill_9_at_any_write_of_a_succession_and_again_at_the_next_one(when: str, tmp_path: Path) -> None:
    lived(tmp_path / "data")
    copied = copy(tmp_path / "data", tmp_path / "copy")
    restore(copied)
    old = public(copied, "acme")
    deaths = 0
    while die(copied, deaths + 1, when):
        deaths += 1
        assert check(copied).is_whole, f"after death {deaths}"
        fresh = Path(shutil.copytree(copied, tmp_path / "fresh"))
        judge(fresh, old)
        shutil.rmtree(fresh)
    judge(copied, old)
    assert deaths >= 5, "it died at every write"


def die(data: Path, nth: int, when: str) -> bool:
    """Whether a process that lets the copy go on died at its n-th write; else it has ended well."""
    command = [sys.executable, "-m", "tests.app.dying", str(data), str(nth), when]
    code = subprocess.run(command, cwd=Path(__file__).parents[2], env={**os.environ}, check=False).returncode
    assert code in (0, -9)
    return code == -9


def judge(data: Path, old: bytes) -> None:
    """It goes on once, and what was signed before is its beginning."""
    with running(data) as platform:
        assert list(succeeded(platform, "acme")) == [511]
    assert check(data, against=old).is_whole
    assert not (data / "RESTORED").exists()
