"""What the documents show is what happens: every console block is run, every TOML block is read."""

import os
import re
import subprocess
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from atp.app.config import load_config
from tests.whole.served import PROGRAM, Served, serving

ROOT = Path(__file__).resolve().parents[2]
_BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_VARYING = re.compile(r"[0-9a-f]{8,}|\d+(?:[.:,-]\d+)*|[A-Za-z0-9+/]{40,}={0,2}")


def blocks(file: str, kind: str) -> list[str]:
    return [text for found, text in _BLOCK.findall((ROOT / file).read_text()) if found == kind]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with serving(tmp_path_factory.mktemp("docs")) as served:
        yield served


@pytest.mark.whole
def test_the_tour_of_the_readme_does_what_it_says(server: Served, tmp_path: Path) -> None:
    """Commands run in order, in one place, against a real server; numbers, times and hashes may differ."""
    tour = blocks("README.md", "console")
    assert len(tour) >= 4
    env = {**os.environ, **server.atp.env, "PATH": f"{PROGRAM.parent}:{os.environ['PATH']}"}
    env["ATP_KEY_FILE"] = str(server.key_file)
    for block in tour:
        for command, expected in _steps(block):
            command = command.replace("http://127.0.0.1:8600", server.url).replace("var/atp", str(server.data))
            done = subprocess.run(
                ["bash", "-c", command],
                cwd=tmp_path,
                env=env,
                text=True,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
            )
            assert _constant(done.stdout, server) == _constant(expected, server), command


def test_the_settings_of_the_operating_page_are_known(tmp_path: Path) -> None:
    (settings,) = blocks("docs/operating.md", "toml")
    (tmp_path / "atp.toml").write_text(settings)
    config = load_config(tmp_path, listen=None, file=tmp_path / "atp.toml")
    assert config.installation == tomllib.loads(settings)["installation"]


def test_every_command_in_the_documents_exists() -> None:
    pages = [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]
    verbs = {verb for page in pages for verb in re.findall(r"(?:^|`|\$ )atp ([a-z]+)", page.read_text(), re.MULTILINE)}
    known = subprocess.run([PROGRAM, "--help"], text=True, stdout=subprocess.PIPE).stdout
    assert verbs and not {verb for verb in verbs if f"\n  {verb} " not in known}


def _steps(block: str) -> Iterator[tuple[str, str]]:
    """(command, what it prints) of a console block; a command of several lines is a here-document."""
    for step in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
        lines = step.split("\n")
        length = lines.index("EOF") + 1 if "<<'EOF'" in lines[0] else 1
        yield "\n".join(lines[:length]), "\n".join(lines[length:])


def _constant(text: str, server: Served) -> list[str]:
    """The lines without what differs from run to run; `…` in the document stands for any rest of a line."""
    text = text.replace(server.url, "http://127.0.0.1:8600").replace(str(server.data), "var/atp")
    lines = [re.sub(r"\s+", " ", _VARYING.sub("0", line)).strip() for line in text.strip().split("\n")]
    return [line for line in lines if line]
