"""The import contracts hold, and the laws left to the linter are switched on there."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.tidy.sources import ROOT

PROGRAMS = Path(sys.executable).parent


def _broken_contracts(package: Path) -> str:
    """What the import contracts say about the package in the folder `package`: empty when all are kept."""
    command = [str(PROGRAMS / "lint-imports"), "--no-logo", "--no-cache", "--config", str(ROOT / ".importlinter")]
    first = os.environ | {"PYTHONPATH": str(package)}
    done = subprocess.run(command, cwd=package, env=first, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    return "" if done.returncode == 0 else done.stdout


def test_imports_follow_the_map_of_the_house() -> None:
    assert _broken_contracts(ROOT / "src") == ""


@pytest.mark.parametrize(
    ("module", "imported", "contract"),
    [
        ("merkle/rebel.py", "atp.log", "Floors"),
        ("log/append.py", "atp.log.prove", "Path"),
        ("api/rebel.py", "atp.adapters.memory", "Only what opens a process knows an adapter"),
        ("adapters/rebel.py", "atp.adapters.memory", "Adapters are strangers"),
        ("tenants/rebel.py", "starlette", "No framework below the doors and adapters"),
        ("verify/rebel.py", "atp.tenants", "The verifier trusts nobody"),
        ("ops/rebel.py", "atp.errors", "Acts"),
        ("ops/declaration/rebel.py", "atp.errors", "Declaration"),
        ("ops/estate/declare/rebel.py", "atp.ops.estate.evidence", "Triad"),
        ("ops/drills/evidence/rebel.py", "atp.ops.drills.act", "Triad"),
        ("ops/estate/evidence/rebel.py", "jinja2", "No framework below the doors and adapters"),
    ],
)
def test_an_import_against_the_map_is_caught(tmp_path: Path, module: str, imported: str, contract: str) -> None:
    shutil.copytree(ROOT / "src" / "atp", tmp_path / "atp", ignore=shutil.ignore_patterns("__pycache__"))
    rebel = tmp_path / "atp" / module
    rebel.parent.mkdir(exist_ok=True)
    (rebel.parent / "__init__.py").touch()
    rebel.write_text(f"import {imported}\n")
    complaints = _broken_contracts(tmp_path)
    assert contract in complaints.partition("Broken contracts")[2]


def _complaints(path: str, text: str) -> set[str]:
    """The codes that the linter reports for a file which exists only here."""
    command = [str(PROGRAMS / "ruff"), "check", "--output-format", "concise", "--stdin-filename", path, "-"]
    done = subprocess.run(command, cwd=ROOT, input=text, text=True, stdout=subprocess.PIPE)
    return {line.split(" ")[1] for line in done.stdout.splitlines() if line.startswith(path)}


@pytest.mark.parametrize(
    ("path", "text", "code"),
    [
        ("src/atp/x.py", "X = 1\n", "D100"),
        ("src/atp/x.py", '"""X."""\n\n\ndef act() -> None:\n    pass\n', "D103"),
        ("src/atp/x.py", '"""X."""\n\n\nclass Act:\n    pass\n', "D101"),
        ("tests/test_x.py", "X = 1\n", "D100"),
        ("src/atp/x.py", '"""X."""\n\nprint("loud")\n', "T201"),
        ("src/atp/x.py", '"""X."""\n\n\ndef _act() -> None:\n    import os\n\n    os.sync()\n', "PLC0415"),
        ("tests/test_x.py", '"""X."""\n\nfrom typing import TYPE_CHECKING\n\nX = TYPE_CHECKING\n', "TID251"),
        ("tests/test_x.py", '"""X."""\n\nfrom unittest import mock\n\nX = mock\n', "TID251"),
        ("src/atp/x.py", '"""X."""\n\nfrom . import errors\n\nX = errors\n', "TID252"),
        ("src/atp/x.py", '"""X."""\n\nX = 1\n\n\ndef _act() -> None:\n    global X\n    X = 2\n', "PLW0603"),
    ],
)
def test_the_linter_catches(path: str, text: str, code: str) -> None:
    assert code in _complaints(path, text)


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("src/atp/cli/x.py", '"""X."""\n\nprint("told")\n'),
        ("src/atp/cli/verify.py", '"""X."""\n\n\ndef _act() -> None:\n    import os\n\n    os.sync()\n'),
        ("src/atp/app/open.py", '"""X."""\n\n\ndef _act() -> None:\n    import os\n\n    os.sync()\n'),
    ],
)
def test_the_linter_knows_the_exceptions(path: str, text: str) -> None:
    assert _complaints(path, text) == set()
