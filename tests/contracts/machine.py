"""A machine that fails on demand: a small disk that fills up or turns read-only, a process that is killed."""

import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest


class SmallDisk:
    """A file system of a few MB on its own mount point."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def fill(self) -> None:
        """Take all the space that is left."""
        with open(self.path / "ballast", "wb", buffering=0) as file, suppress(OSError):
            while True:
                file.write(bytes(4096))

    def free(self) -> None:
        """Give it back."""
        (self.path / "ballast").unlink()

    def set_writable(self, is_writable: bool) -> None:
        """Remount; nothing may be open for writing."""
        _run("mount", "-o", "remount,rw" if is_writable else "remount,ro", str(self.path))

    def grow(self, *, megabytes: int) -> None:
        """It is larger from now on, or smaller."""
        _run("mount", "-o", f"remount,size={megabytes}m", str(self.path))

    def limit_files(self, count: int) -> None:
        """No more than so many files and directories from now on."""
        _run("mount", "-o", f"remount,nr_inodes={count}", str(self.path))


@contextmanager
def small_disk(path: Path, *, megabytes: int) -> Iterator[SmallDisk]:
    """Mount a disk of this size; the test is skipped where that is not allowed."""
    path.mkdir()
    if os.geteuid() != 0 or _run("mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", str(path)) != 0:
        pytest.skip("could not find the right to mount a small disk (hint: run the tests as root on Linux)")
    try:
        yield SmallDisk(path)
    finally:
        _run("umount", "-l", str(path))


def killed_after(lines: int, arguments: Sequence[str]) -> list[str]:
    """Run a Python script, SIGKILL it when it has printed so many lines; every line that it got out."""
    with subprocess.Popen([sys.executable, *arguments], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        got = [process.stdout.readline() for _ in range(lines)]
        process.kill()
        return [line.strip() for line in [*got, *process.stdout] if line.endswith("\n")]


def _run(*command: str) -> int:
    return subprocess.run(command, capture_output=True, check=False).returncode
