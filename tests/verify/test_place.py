"""What a place is and how it is read: foreign logs, a live log, a single proof, all cores, the command line."""

import gzip
import json
import os
import shutil
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from atp.errors import AtpError, ForbiddenError, MissingError, RefusedError, UnavailableError
from atp.merkle.keys import SigningKey, parse_vkey
from atp.merkle.proofs import prove_inclusion
from atp.merkle.tlogproof import TlogProof
from atp.verify.options import Options
from atp.verify.place import check_place
from atp.verify.remember import Memory
from atp.verify.report import FINDINGS_MAX, Finding, LevelVerdict, Report
from tests.verify.stored import (
    KEY,
    ORIGIN,
    TENANT,
    entries,
    note,
    reader,
    write_file,
    write_place,
    write_tiles,
)

LARGE = [pytest.param(size, marks=pytest.mark.slow) for size in (65_536, 66_000)]


def check(place: Path | str, **options: object) -> Report:
    return check_place(str(place), Options(**options))  # type: ignore[arg-type]


@contextmanager
def serving(folder: Path, *, api_key: str = "", is_packed: bool = False) -> Iterator[str]:
    """A plain HTTP server of a directory's files; with a key it answers nobody else."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            file = folder / self.path.lstrip("/")
            if api_key and self.headers.get("Authorization") != f"Bearer {api_key}":
                self.send_error(401)
            elif not file.is_file():
                self.send_error(404)
            else:
                data = file.read_bytes()
                self.send_response(200)
                if is_packed:
                    data = gzip.compress(data)
                    self.send_header("Content-Encoding", "gzip")
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

        def log_message(self, *arguments: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.mark.parametrize("size", [0, 1, 255, 256, 257, 512, 1_000, *LARGE])
def test_an_intact_log_has_no_findings(size: int, tmp_path: Path) -> None:
    stored = entries(size)
    place = write_place(tmp_path / "place", stored, lingering=300, public=size // 2)
    tiles = write_tiles(tmp_path / "tiles", stored)
    for path in (place.path, tiles):
        for level in (None, "structure", "payload", "index"):
            report = check(path, level=level)
            assert not report.is_tampered, report.as_text()
            assert report.logs[0].size == size


def test_files_beyond_the_checkpoint_are_fine_when_the_order_holds_the_same(tmp_path: Path) -> None:
    stored = entries(1_000)
    place = write_place(tmp_path / "place", stored, published=300)
    assert not check(place.path).is_tampered
    place.change("DELETE FROM batch WHERE first >= 700")
    found = check(place.path).logs[0].findings
    assert {finding.place for finding in found} == {"tile/0/002", "tile/entries/002.zst"}


def test_a_log_before_its_first_checkpoint_is_said_to_be_unpublished(tmp_path: Path) -> None:
    place = write_place(tmp_path / "place", entries(3))
    place.change("DELETE FROM checkpoint")
    assert "knows no checkpoint of it" in check(place.path).as_text()
    (place.log / "checkpoint").unlink()
    report = check(place.path)
    assert not report.is_tampered and "nothing is published yet" in report.as_text()


def test_a_data_directory_is_read_while_a_server_writes_it(tmp_path: Path) -> None:
    place = write_place(tmp_path / "place", entries(300))
    writer = sqlite3.connect(place.order, isolation_level=None)
    writer.execute("PRAGMA journal_mode=WAL")
    writer.execute("BEGIN IMMEDIATE")
    writer.execute("UPDATE checkpoint SET size = 0")
    assert not check(place.path).is_tampered
    writer.execute("ROLLBACK")
    writer.close()


def test_a_newer_format_is_refused_and_a_missing_tenant_said(tmp_path: Path) -> None:
    place = write_place(tmp_path / "place", entries(3))
    with pytest.raises(MissingError, match="no such tenant"):
        check(place.path, tenant="nobody")
    assert not check(place.path, tenant=TENANT).is_tampered
    write_file(place.path / "FORMAT", b"3\n")
    with pytest.raises(RefusedError, match="its format is 3, this program reads up to 2"):
        check(place.path)


def test_a_private_key_that_is_not_the_public_one_is_found(tmp_path: Path) -> None:
    place = write_place(tmp_path / "place", entries(3))
    other = type(KEY).from_seed(bytes(32), name=KEY.name)
    write_file(place.path / "keys" / "log" / f"{TENANT}.key", f"{other.secret()}\n".encode())
    assert "its keys are not those of the vkey file" in check(place.path).as_text()


def test_a_folder_of_a_log_that_nobody_knows_is_found(tmp_path: Path) -> None:
    place = write_place(tmp_path / "place", entries(3))
    shutil.copytree(place.log, place.path / "logs" / "other")
    assert "logs/other: order.db knows no such log" in check(place.path).as_text()


def test_what_is_no_place_is_refused(tmp_path: Path) -> None:
    with pytest.raises(MissingError):
        check(tmp_path / "nothing")
    with pytest.raises(RefusedError):
        check(tmp_path)
    write_file(tmp_path / "file", b"some text")
    with pytest.raises(RefusedError):
        check(tmp_path / "file")


@pytest.mark.slow
def test_many_faults_are_counted_and_the_first_are_kept(tmp_path: Path) -> None:
    place = write_place(tmp_path / "place", entries(300_000 if os.environ.get("ATP_SOAK") else 70_000))
    shutil.rmtree(place.log / "tile")
    log = check(place.path).logs[0]
    assert log.is_tampered and len(log.findings) <= FINDINGS_MAX and log.findings[0].index == 0


@pytest.mark.slow
def test_all_cores_say_the_same_as_one(tmp_path: Path) -> None:
    place = write_place(tmp_path / "place", entries(70_000))
    done = list[tuple[int, int]]()
    report = check(place.path, jobs=2, progress=lambda *progress: done.append(progress))
    assert not report.is_tampered and done[-1] == (70_000, 70_000)
    shutil.copy(place.bundle(3), place.bundle(77))
    (place.tile(0, 200)).unlink()
    assert check(place.path, jobs=2).as_json() == check(place.path).as_json()
    assert {f.place: f.index for f in check(place.path, jobs=2).logs[0].findings} == {
        "tile/0/200": 200 * 256,
        "tile/entries/077.zst": 77 * 256,
    }


@pytest.mark.slow
@pytest.mark.parametrize("position", [0, 100, 255])
def test_a_tile_of_level_1_is_blamed_for_its_own_hash(position: int, tmp_path: Path) -> None:
    place = write_place(tmp_path / "place", entries(66_000))
    data = bytearray(place.tile(1, 0).read_bytes())
    data[position * 32] ^= 1
    place.tile(1, 0).write_bytes(bytes(data))
    for level in ("structure", "payload"):
        found = check(place.path, level=level).logs[0].findings
        assert [(f.place, f.index) for f in found] == [("tile/1/000", position * 256)]


def test_foreign_logs_verify(shared: Path, tmp_path: Path) -> None:
    log = shared / "vectors" / "tlog-tiles" / "tessera-testdata-log"
    vkey = parse_vkey((log.parent / "tessera-testdata-log.vkey").read_text().strip())
    for size in range(16):
        shutil.copytree(log / "tile", tmp_path / "log" / "tile", dirs_exist_ok=True)
        shutil.copy(log / f"checkpoint.{size}", tmp_path / "log" / "checkpoint")
        if size < 15:
            remove_newer(tmp_path / "log" / "tile", size)
        report = check(tmp_path / "log", trusted=(vkey,), against=(log / "checkpoint.0").read_bytes())
        assert not report.is_tampered, report.as_text()
        assert report.logs[0].size == size
        shutil.rmtree(tmp_path / "log")


def remove_newer(tiles: Path, size: int) -> None:
    """The files as they were when the log had `size` entries."""
    for file in tiles.rglob("*"):
        if file.is_file() and int(file.name) > size:
            file.unlink()


@pytest.mark.parametrize("is_packed", [False, True])
def test_a_live_log_verifies_over_http(is_packed: bool, tmp_path: Path) -> None:
    stored = entries(700)
    write_tiles(tmp_path / "log" / TENANT, stored)
    with serving(tmp_path, api_key="secret", is_packed=is_packed) as url:
        report = check(url, tenant=TENANT, api_key="secret", against=note(stored[:100]))
        assert not report.is_tampered, report.as_text()
        assert "under the key found in the server" in report.as_text()
        assert not check(f"{url}/log/{TENANT}/", api_key="secret", trusted=(KEY.public(),)).is_tampered
        with pytest.raises(ForbiddenError):
            check(url, tenant=TENANT)
        with pytest.raises(MissingError):
            check(url, tenant="nobody", api_key="secret")
        tile = tmp_path / "log" / TENANT / "tile" / "0" / "001"
        tile.write_bytes(tile.read_bytes()[:-1] + b"\x00")
        (finding,) = check(url, tenant=TENANT, api_key="secret").logs[0].findings
        assert (finding.place, finding.index) == ("tile/0/001", 511)
    with pytest.raises(UnavailableError):
        check(url, tenant=TENANT)


@pytest.mark.parametrize("index", [0, 255, 256, 699])
def test_a_single_proof_verifies_with_its_entry(index: int, tmp_path: Path) -> None:
    stored = entries(700)
    hashes = prove_inclusion(index=index, size=700, read_tiles=reader(stored))
    path = tmp_path / "event.tlog-proof"
    path.write_bytes(TlogProof(index, tuple(hashes), note(stored)).encode())
    with pytest.raises(RefusedError, match="--entry"):
        check(path)
    with pytest.raises(MissingError, match="no key of"):
        check(path, entry=stored[index])
    assert not check(path, entry=stored[index], trusted=(KEY.public(),)).is_tampered
    write_file(tmp_path / "vkey", KEY.public().vkey.encode())
    assert not check(path, entry=stored[index]).is_tampered
    assert check(path, entry=stored[index - 1]).is_tampered
    assert check(path, entry=stored[index], against=note(stored[::-1])).is_tampered


def test_a_proof_is_held_against_the_key_that_was_seen_before(tmp_path: Path) -> None:
    stored = entries(3)
    hashes = prove_inclusion(index=1, size=3, read_tiles=reader(stored))
    path = tmp_path / "event.tlog-proof"
    path.write_bytes(TlogProof(1, tuple(hashes), note(stored)).encode())
    memory = Memory(tmp_path / "state")
    memory.remember_keys(ORIGIN, [KEY.public()])
    report = check(path, entry=stored[1], memory=memory)
    assert not report.is_tampered and "that you saw this log use before" in report.as_text()
    memory.remember_keys(ORIGIN, [SigningKey.from_seed(bytes(32), name=ORIGIN).public()])
    assert check(path, entry=stored[1], memory=memory).is_tampered


def test_another_reader_adds_the_verdict_about_the_index(tmp_path: Path) -> None:
    log = check(write_place(tmp_path / "place", entries(3)).path).logs[0]
    assert log.levels["index"].verdict == "not possible here"
    compared = log.with_level("index", LevelVerdict("failed"), [Finding("index", "views", "it lacks the event", 2)])
    assert compared.is_tampered and compared.as_json()["findings"][0]["first_index"] == 2


def run(*arguments: object, state: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "atp.verify", *map(str, arguments)]
    environment = os.environ | {"ATP_STATE_DIR": str(state)}
    return subprocess.run(command, capture_output=True, text=True, env=environment, timeout=60, check=False)


@pytest.mark.slow
def test_the_command_line_works_by_itself(tmp_path: Path) -> None:
    place = write_place(tmp_path / "place", entries(300))
    done = run(place.path, state=tmp_path / "state")
    assert (done.returncode, done.stderr) == (0, "") and "nothing wrong found" in done.stdout
    write_file(tmp_path / "older", note(place.entries[:100]))
    done = run(place.path, "--json", "--against", tmp_path / "older", "--level", "payload", state=tmp_path / "state")
    assert json.loads(done.stdout)["logs"][0]["levels"]["payload"]["verdict"] == "ok"
    place.bundle(0).unlink()
    done = run(place.path, state=tmp_path / "state")
    assert done.returncode == 1 and "tile/entries/000.zst: entries 0 to 255: it is missing" in done.stdout
    done = run(tmp_path / "nothing", state=tmp_path / "state")
    assert done.returncode == 3 and done.stderr.startswith("could not verify") and done.stdout == ""


def test_the_verifier_needs_nothing_but_its_floor(tmp_path: Path) -> None:
    """No module of the platform but these, and no library but the signature library and zstd."""
    program = (
        "import sys; before = set(sys.modules)\n"
        "import atp.verify.place, atp.verify.__main__\n"
        "print('\\n'.join(sorted(set(sys.modules) - before)))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    modules = done.stdout.split()
    ours = {name.split(".")[1] for name in modules if name.startswith("atp.")}
    assert ours <= {"verify", "merkle", "errors", "limits"}
    others = {name.split(".")[0] for name in modules} - set(sys.stdlib_module_names) - {"atp"}
    assert {name for name in others if not name.startswith("_")} <= {"cryptography", "backports"}


def test_the_command_starts_without_the_platform() -> None:
    program = "import sys, atp.cli.verify; print(*(name for name in sys.modules if name in ('atp.app.open', 'numpy')))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.split() == []


def test_every_refusal_is_an_error_with_a_sentence(tmp_path: Path) -> None:
    place = write_place(tmp_path / "place", entries(3))
    place.order.write_bytes(b"")
    assert check(place.path).is_tampered
    with pytest.raises(AtpError, match="could not read the note"):
        check(place.path, against=b"nothing")
