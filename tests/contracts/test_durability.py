"""Acknowledged means synced: the system calls of a real process, in their order."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ACKNOWLEDGED = "write(1"
APPEND = (
    "import os, sys, pathlib\n"
    "from atp.adapters.sqlite import open_order\n"
    "from tests.contracts.keepers import batch, log\n"
    "store = open_order(pathlib.Path(sys.argv[1]))\n"
    "store.create_log(log('acme'))\n"
    "os.write(1, b'start')\n"
    "for k in range(5):\n"
    "    store.append([batch('acme', 3 * k, 3)], {})\n"
    "    os.write(1, b'acknowledged')\n"
)
PUT = (
    "import os, sys, pathlib\n"
    "from atp.adapters.filesystem import FilesystemObjectStore\n"
    "store = FilesystemObjectStore(pathlib.Path(sys.argv[1]))\n"
    "os.write(1, b'start')\n"
    "for k in range(5):\n"
    "    store.put({f'logs/{k}/tile': b'data'})\n"
    "    os.write(1, b'acknowledged')\n"
    "    store.replace('checkpoint', b'%d' % k)\n"
    "    os.write(1, b'acknowledged')\n"
)
PUT_MANY = (
    "import os, sys, pathlib\n"
    "from atp.adapters.filesystem import FilesystemObjectStore\n"
    "store = FilesystemObjectStore(pathlib.Path(sys.argv[1]))\n"
    "os.write(1, b'start')\n"
    "for k in range(3):\n"
    "    store.put({f'logs/{k}/tile/{n}': b'data' for n in range(20)})\n"
    "    os.write(1, b'acknowledged')\n"
)


def traced(script: str, directory: Path) -> list[list[str]]:
    """For each acknowledgement the system calls before it, since the one before."""
    if shutil.which("strace") is None:
        pytest.skip("could not find strace (hint: apt-get install -y strace)")
    report = directory / "calls"
    calls = "trace=write,pwrite64,fsync,fdatasync,syncfs,link,linkat,rename"
    command = ["strace", "-f", "-y", "-qq", "-o", str(report), "-e", calls, sys.executable, "-c", script]
    traced = subprocess.run([*command, str(directory / "data")], capture_output=True, check=False, text=True)
    if "ptrace" in traced.stderr:
        pytest.skip("could not find the right to trace a process (hint: allow ptrace)")
    assert traced.returncode == 0, traced.stderr
    groups: list[list[str]] = [[]]
    for line in report.read_text().splitlines():
        call = line.split(maxsplit=1)[1]
        if call.startswith(ACKNOWLEDGED):
            groups.append([])
        else:
            groups[-1].append(call)
    return groups[1:-1]


def test_an_append_is_synced_after_its_last_write(tmp_path: Path) -> None:
    groups = traced(APPEND, tmp_path)
    assert len(groups) == 5
    for calls in groups:
        on_wal = [call for call in calls if "order.db-wal" in call]
        assert re.match("pwrite64|write", on_wal[0])
        assert re.match("fdatasync|fsync", on_wal[-1])


def test_an_object_is_synced_before_it_gets_its_name_and_its_directories_after(tmp_path: Path) -> None:
    groups = traced(PUT, tmp_path)
    assert len(groups) == 10
    for number, calls in enumerate(groups):
        words = [call.split("(")[0] for call in calls]
        named = next(place for place, word in enumerate(words) if word in ("link", "linkat", "rename"))
        assert "write" in words[:named]
        assert words[named - 1] == "fsync"
        assert ".aside/" in calls[named - 1]
        synced = {match[1] for call in calls[named:] if (match := re.match(r"fsync\(\d+<(.*?)>", call))}
        root = tmp_path / "data"
        folders = {root} if words[named] == "rename" else {root / "logs", root / "logs" / str(number // 2)}
        assert synced == {str(folder) for folder in folders | ({root} if number == 0 else set())}


def test_many_objects_are_written_then_synced_at_once_and_only_then_named(tmp_path: Path) -> None:
    groups = traced(PUT_MANY, tmp_path)
    assert len(groups) == 3
    for calls in groups:
        words = [call.split("(")[0] for call in calls if ".aside/" in call or "syncfs" in call]
        written, named = words.index("syncfs"), [at for at, word in enumerate(words) if word in ("link", "linkat")]
        assert words[:written] == ["write"] * 20 and len(named) == 20 and min(named) > written
        folders = [call for call in calls if call.startswith("fsync")]
        assert calls.index(folders[0]) > max(at for at, call in enumerate(calls) if call.startswith("link"))
