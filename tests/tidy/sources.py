"""The files of the project as the tidy rules see them: what git would commit, with its text."""

import subprocess
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Source:
    """One file: its path from the root, and its text (empty when the file is binary)."""

    path: PurePosixPath
    text: str
    size_bytes: int

    @property
    def is_python(self) -> bool:
        """True when the file is a Python module."""
        return self.path.suffix == ".py"

    @property
    def is_product(self) -> bool:
        """True when the file is part of the installed package."""
        return self.path.is_relative_to("src")


def source(path: str, text: str) -> Source:
    """A file that exists only for the self-test of a rule."""
    return Source(PurePosixPath(path), text, size_bytes=len(text.encode()))


def committed() -> list[Source]:
    """Every file that is tracked, or would be by `git add .`."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, check=True, text=True, stdout=subprocess.PIPE).stdout
    return list(_read(name for name in listed.split("\0") if name))


def _read(names: Iterable[str]) -> Iterable[Source]:
    for name in sorted(names):
        file = ROOT / name
        if file.is_file():
            raw = file.read_bytes()
            yield Source(PurePosixPath(name), "" if b"\0" in raw else raw.decode(errors="replace"), len(raw))
