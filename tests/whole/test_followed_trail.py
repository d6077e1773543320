"""A server is killed between two backups, its directory is gone; what was followed comes back, and the rest is told."""

import os
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from atp.ops.drills.act.fence import can_fence
from atp.verify.trust import claimed_checkpoint
from tests.app.copied import check, has_keys
from tests.cli.running import Atp
from tests.contracts.vaults import release
from tests.services.fsck import Fsck
from tests.whole.process import PROGRAM, Server
from tests.whole.test_lost_trail import ESTATE, beats, drilled, fetch, objectives, program, send

pytestmark = [pytest.mark.whole, pytest.mark.slow]
WITHIN = timedelta(seconds=2)
FOLLOWED = ESTATE.replace("rpo: 1h", "rpo: 1min").replace("schedule: 30min,", "schedule: 1h, continuous: true,")
A_BATCH = 7


@contextmanager
def following(atp: Atp, here: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A follower, until it is told to end; one that was killed has ended."""
    words = [PROGRAM, "backup", "follow", "lost-trail", "--within", f"{WITHIN.total_seconds():g}s"]
    with (here / "follow.log").open("ab") as log:
        process = subprocess.Popen(words, stdout=log, stderr=log, env={**os.environ, **atp.env})
    try:
        yield process
    finally:
        process.terminate()
        assert process.wait(60) in (0, -signal.SIGKILL), (here / "follow.log").read_text()


def wait_for_more(here: Path, count: int) -> None:
    """Until so many more increments are stored."""
    stored = len(increments(here))
    until = time.monotonic() + 60
    while len(increments(here)) < stored + count:
        assert time.monotonic() < until, (here / "follow.log").read_text()
        time.sleep(0.1)


def increments(here: Path) -> list[Path]:
    return sorted(path for path in (here / "vault/lost-trail/log").glob("*/*_*_*_*") if len(path.name) > 100)


@dataclass
class Writer:
    """Records events until its server is gone; `taken` says when each batch was acknowledged."""

    server: Server
    taken: list[tuple[range, datetime]] = field(default_factory=list)

    @contextmanager
    def writing(self) -> Iterator[None]:
        over = threading.Event()

        def write() -> None:
            first = 0
            while not over.is_set():
                numbers = range(first, first + A_BATCH)
                try:
                    send(self.server, numbers)
                except Exception:
                    return
                self.taken.append((numbers, datetime.now(UTC)))
                first += A_BATCH

        thread = threading.Thread(target=write)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()

    def before(self, moment: datetime) -> int:
        """How many events were acknowledged by then."""
        return max((numbers.stop for numbers, at in self.taken if at <= moment), default=0)


def lived(server: Server, here: Path) -> tuple[Atp, Writer, datetime]:
    """A backup, a life under writes in which the follower is killed once, and the loss of the server and all it had."""
    atp, writer = program(server, here, FOLLOWED), Writer(server)
    with writer.writing():
        with following(atp, here) as first:
            wait_for_more(here, 1)
            atp.document("backup", "run", "lost-trail")
            wait_for_more(here, 2)
            first.kill()
        with following(atp, here):
            wait_for_more(here, 3)
            beats(atp, 2)
            wait_for_more(here, 1)
            time.sleep(WITHIN.total_seconds())
            server.kill()
            lost_at = datetime.now(UTC)
            shutil.rmtree(server.data)
            (here / "lost_at").write_text(lost_at.isoformat())
    return Atp({name: value for name, value in atp.env.items() if name != "ATP_KEY_FILE"}), writer, lost_at


def test_all_that_was_acknowledged_longer_ago_than_declared_comes_back_once(
    server: Server, here: Path, fsck: Fsck
) -> None:
    alone, writer, lost_at = lived(server, here)
    assert writer.before(lost_at) > 300, "it was written to all the time"
    verified = alone("backup", "verify", "lost-trail", "--identity", "KEY.txt")
    assert verified.code == 0 and "segments of the log that follows" in verified.out, verified
    done = drilled(alone)
    told = objectives(done)
    assert [told[name]["verdict"] for name in ("content", "rto", "rpo")] == ["pass", "pass", "pass"], done
    assert told["fence"]["verdict"] == ("pass" if can_fence(here / "scratch") else "insufficient"), done
    assert told["record"]["verdict"] == "insufficient", "who could say whose backup it is was killed"
    assert told["rpo"]["achieved_seconds"] < 60 and done["acknowledged"]["lost"] == 0
    ran = alone("restore", "lost-trail", "--to", "back", "--identity", "KEY.txt", "--yes", "--json")
    assert ran.code == 0 and not has_keys(here / "back"), ran
    reaches_to = datetime.fromisoformat(ran.json["consistent_at"])
    assert lost_at - reaches_to < WITHIN

    again = Server(here / "second", data=here / "back")
    again.start()
    try:
        sure, all_of_them = writer.before(reaches_to), writer.before(lost_at)
        receipts = send(again, range(all_of_them))
        assert sure >= writer.before(lost_at - WITHIN)
        assert all(one["duplicate"] for one in receipts[:sure]), "what was acknowledged by then is there"
        assert len({one["index"] for one in receipts}) == all_of_them, "once"
        note = fetch(again, "checkpoint")
        came = all_of_them + 1
        assert claimed_checkpoint(note).size - came in range(A_BATCH + 1), "and at most one batch nobody was told of"
        assert note.startswith(b"example.org/default/2\n")
        vkey, token = fetch(again, "vkey").decode(), (again.data / "root.key").read_text().strip()
        url = f"{again.url}/log/default/"
        assert fsck.complaint(url, vkey=vkey, origin="example.org/default/2", bearer_token=token) == ""
    finally:
        again.kill()
    assert check(here / "back").is_whole


def test_what_a_follower_tells_the_trail_that_it_follows_is_no_reason_for_another_increment(
    server: Server, here: Path
) -> None:
    atp = program(server, here, FOLLOWED)
    with following(atp, here):
        wait_for_more(here, 1)
        atp.document("backup", "run", "lost-trail")
        time.sleep(2 * WITHIN.total_seconds())
        stored = len(increments(here))
        time.sleep(4 * WITHIN.total_seconds())
        assert len(increments(here)) - stored <= 1, "checkpoints are noted once a minute"
        send(server, range(A_BATCH))
        wait_for_more(here, 1)
    words = ("query", "--tenant", "operations", "--action", "backup.shipped")
    told = [name for event in atp.document(*words)["events"] for name in event["data"]["objects"]]
    assert sorted(told) == sorted(str(path.relative_to(here / "vault")) for path in increments(here))
    restored = atp("restore", "lost-trail", "--to", "back", "--identity", "KEY.txt", "--yes")
    assert restored.code == 0 and "warning" not in restored.err, restored
    assert check(here / "back").is_whole


def test_a_missing_or_changed_increment_is_red(server: Server, here: Path) -> None:
    alone, _, _ = lived(server, here)
    release(here / "vault/lost-trail/log")
    victim = increments(here)[-2]
    whole = victim.read_bytes()
    victim.unlink()
    expect_red(alone, here, "is missing and later ones are there", code=1)
    victim.write_bytes(whole[:200] + bytes([whole[200] ^ 1]) + whole[201:])
    expect_red(alone, here, "its bytes are not those that were stored", code=1)
    victim.write_bytes(whole)
    assert alone("backup", "verify", "lost-trail").code == 0


def expect_red(atp: Atp, here: Path, sentence: str, *, code: int) -> None:
    verified = atp("backup", "verify", "lost-trail")
    assert verified.code == 1 and sentence in verified.out, verified
    restored = atp("restore", "lost-trail", "--to", "back", "--identity", "KEY.txt", "--yes")
    assert restored.code == code and sentence in restored.err and not (here / "back").exists(), restored
    done = drilled(atp)
    assert (done["verdict"], done["cause"]) == ("fail", "corrupted"), done
