"""Programs in Go that the tests run beside ours: built once from pinned modules into `.tools/bin`."""

import os
import re
import shutil
import subprocess
import tempfile
import venv
from pathlib import Path

from tests.services.absent import AbsentError

ROOT = Path(__file__).resolve().parents[2]
TOOLS = ROOT / ".tools"
GO_VERSION_MIN = (1, 25, 8)
# program -> (package, version); the version stands in the file's name, so a newer pin is built beside the old one
PROGRAMS = {
    "fsck": ("github.com/transparency-dev/tessera/cmd/fsck", "v1.0.4"),
    "versitygw": ("github.com/versity/versitygw/cmd/versitygw", "v1.8.0"),
}


def find(program: str) -> Path:
    """The built program; raises AbsentError when it was not built yet."""
    path = _path(program)
    if not path.exists():
        raise AbsentError(path.name, enable="make tools")
    return path


def install_missing() -> None:
    """Build what is missing (a minute each, then never again); raises subprocess.CalledProcessError when that fails."""
    missing = [program for program in PROGRAMS if not _path(program).exists()]
    if not missing:
        return
    TOOLS.mkdir(exist_ok=True)
    # a gigabyte of toolchain, sources and objects that nobody needs afterwards
    with tempfile.TemporaryDirectory(prefix="build-", dir=TOOLS) as folder:
        go = _find_toolchain(Path(folder))
        for program in missing:
            _build(program, go=go, workshop=Path(folder))


def _path(program: str) -> Path:
    return TOOLS / "bin" / f"{program}-{PROGRAMS[program][1]}"


def _build(program: str, *, go: Path, workshop: Path) -> None:
    package, version = PROGRAMS[program]
    places = {"GOPATH": "path", "GOMODCACHE": "mod", "GOCACHE": "cache", "GOBIN": "bin"}
    private = {name: str(workshop / place) for name, place in places.items()}
    # -modcacherw: else the module cache is read-only, and the workshop could not be removed
    fixed = {"GOFLAGS": "-modcacherw -trimpath -buildvcs=false", "GOTOOLCHAIN": "local", "CGO_ENABLED": "0"}
    subprocess.run([go, "install", f"{package}@{version}"], env=os.environ | private | fixed, check=True)
    _path(program).parent.mkdir(exist_ok=True)
    (workshop / "bin" / program).replace(_path(program))


def _find_toolchain(workshop: Path) -> Path:
    on_path = shutil.which("go")
    if on_path and _version(Path(on_path)) >= GO_VERSION_MIN:
        return Path(on_path)
    return _install_toolchain(workshop / "go")


def _version(go: Path) -> tuple[int, ...]:
    answer = subprocess.run(
        [go, "env", "GOVERSION"], env=os.environ | {"GOTOOLCHAIN": "local"}, text=True, stdout=subprocess.PIPE
    )
    return tuple(map(int, re.findall(r"\d+", answer.stdout)))


def _install_toolchain(home: Path) -> Path:
    """Go as a wheel, in an environment of its own."""
    venv.create(home, with_pip=True)
    pip = [str(home / "bin" / "python"), "-m", "pip", "--disable-pip-version-check", "--quiet", "install"]
    lock = str(ROOT / "requirements-go.lock")
    subprocess.run([*pip, "--require-hashes", "--only-binary", ":all:", "--requirement", lock], check=True)
    return home / "bin" / "go"
