"""No 200 leaves before the sync of what it acknowledges: the system calls of a real server say so, in their order.

And where that sync fails, no 200 leaves at all: errors are injected into the same system calls.
"""

import re
import shutil
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest

from atp.errors import UnavailableError
from tests.whole.process import Server, verify

pytestmark = [pytest.mark.whole, pytest.mark.slow]

ALONE = 20
TOGETHER = 40
WAL = "order.db-wal"
_CALL = re.compile(r"^(?P<pid>\d+) +(?P<name>\w+)\((?P<rest>.*)$")
_RESUMED = re.compile(r"^(?P<pid>\d+) +<\.\.\. (?P<name>\w+) resumed>(?P<rest>.*)$")


@dataclass
class Call:
    """A system call: its text, and the lines of the trace in which it began and ended."""

    name: str
    text: str
    began: int
    ended: int = -1

    @property
    def file(self) -> str:
        """Number and path of the file that it is about."""
        return self.text.partition(",")[0]


@pytest.fixture
def strace() -> str:
    found = shutil.which("strace")
    if found is None:
        pytest.skip("could not find strace (hint: apt-get install strace)")
    return found


def calls(trace: Path) -> Iterator[Call]:
    """Every call of the trace; those of several threads overlap."""
    open_calls: dict[str, Call] = {}
    with trace.open(errors="replace") as lines:
        for number, line in enumerate(lines):
            if match := _CALL.match(line):
                call = Call(match["name"], match["rest"], number)
                if line.rstrip().endswith("<unfinished ...>"):
                    open_calls[match["pid"]] = call
                    continue
            elif (match := _RESUMED.match(line)) and match["pid"] in open_calls:
                call = open_calls.pop(match["pid"])
                call.text += match["rest"]
            else:
                continue
            call.ended = number
            yield call


def until_ended(trace: Path) -> None:
    """The tracer writes its last lines after the server is gone."""
    ends_at = time.monotonic() + 10
    while not trace.read_text(errors="replace").rstrip().endswith("+++"):
        assert time.monotonic() < ends_at
        time.sleep(0.05)


def event(name: str) -> bytes:
    return f'{{"id":"{name}","actor":{{"id":"a"}},"action":"act"}}'.encode()


def test_no_200_leaves_before_the_sync_of_what_it_acknowledges(strace: str, tmp_path: Path) -> None:
    server, trace = Server(tmp_path), tmp_path / "trace"
    traced = "trace=fdatasync,fsync,pwrite64,pwritev,write,writev,sendto,sendmsg"
    server.start(prefix=[strace, "-D", "-f", "-y", "-xx", "-s", "400000", "-e", traced, "-o", str(trace)])
    leaves = {name: send(server, name) for name in (f"alone-{number}-" for number in range(ALONE))}
    with ThreadPoolExecutor(8) as pool:
        together = [f"together-{number}-" for number in range(TOGETHER)]
        leaves |= zip(together, pool.map(lambda name: send(server, name), together), strict=True)
    server.stop()
    until_ended(trace)
    found = list(calls(trace))
    on_wal = [call for call in found if escaped(WAL.encode()) in call.text]
    syncs = [call for call in on_wal if call.name in ("fdatasync", "fsync") and "= 0" in call.text]
    for name, leaf in leaves.items():  # entries are packed when they are written, their leaf hashes are not
        written = [call for call in on_wal if "write" in call.name and escaped(leaf) in call.text]
        assert written, f"the write of {name} was not traced"
        left = head_of_answer(name, found)
        covering = [sync for sync in syncs if written[0].ended < sync.began and sync.ended < left.began]
        assert covering, f"the answer to {name} left before its bytes were synced"


def head_of_answer(name: str, found: list[Call]) -> Call:
    """The call that sent `200` to whoever got the receipt of this event: the last one before it on its socket."""
    (receipt,) = [call for call in found if escaped(b"socket:") in call.file and escaped(name.encode()) in call.text]
    heads = [call for call in found if call.file == receipt.file and escaped(b"HTTP/1.1 200") in call.text]
    return [head for head in heads if head.began <= receipt.began][-1]


def escaped(data: bytes) -> str:
    """Bytes as the trace shows them."""
    return "".join(f"\\x{byte:02x}" for byte in data)


def send(server: Server, name: str) -> bytes:
    """Send one event; its leaf hash."""
    with server.client() as client:
        return bytes.fromhex(client.send([event(name)], tenant="default").json()["receipts"][0]["leaf_hash"])


@pytest.mark.parametrize("call", ["fdatasync", "pwrite64"])
def test_no_200_leaves_when_the_disk_refuses_and_all_is_well_afterwards(strace: str, call: str, tmp_path: Path) -> None:
    server = Server(tmp_path)
    server.start()
    server.stop()
    wal = server.data / WAL
    injection = f"inject={call}:error=EIO:when=10+7"
    prefix = [
        strace,
        "-D",  # the server is the child, so that it is the server that is killed
        "-f",
        "-o",
        "/dev/null",
        "-P",
        str(wal),
        "-P",
        str(server.data / "order.db"),
        "-e",
        f"trace={call}",
    ]
    server.start(prefix=[*prefix, "-e", injection])
    acknowledged, refused = {}, set()
    for number in range(60):
        name = f"e-{number}"
        try:
            with server.client() as client:
                answer = client.send([event(name)], tenant="default").json()
                acknowledged[name] = answer["receipts"][0]["index"]
        except UnavailableError as error:
            assert error.status == 503 and "could not" in str(error)
            refused.add(name)
    server.kill()
    assert acknowledged and refused
    assert "Traceback" not in server.words()
    server.start()
    for name in [*acknowledged, *refused]:
        receipt = retried(server, name)
        assert acknowledged.get(name, receipt["index"]) == receipt["index"]
        assert receipt["duplicate"] or name in refused
    server.stop()
    assert verify(server.data).returncode == 0


def retried(server: Server, name: str) -> dict[str, object]:
    with server.client(tries=8) as client:
        (receipt,) = client.send([event(name)], tenant="default").json()["receipts"]
    return receipt
