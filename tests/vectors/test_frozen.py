"""A data directory of each format, as the program of its day left it: today's program opens, proves and continues it.

`python -m tests.vectors.test_frozen` writes the one of the present format anew: once a format, never again.
"""

import json
import shutil
import tarfile
import tempfile
from pathlib import Path

import pytest

from atp.app.config import Config
from atp.app.demo import Demo
from atp.app.open import open_platform
from atp.log.event import prepare
from atp.log.query import Question
from atp.tenants.access import SCOPES, Caller
from atp.verify.options import Options
from atp.verify.place import check_place

FROZEN = Path(__file__).parent / "frozen"
ROOT = Caller("root", "", SCOPES)
SECONDS = 20.0


@pytest.fixture(params=sorted(FROZEN.glob("*.json")), ids=lambda path: path.stem)
def frozen(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Path, dict[str, object]]:
    """A copy of the directory, and what was said of it when it was made."""
    described: Path = request.param
    with tarfile.open(described.with_suffix(".tar.gz")) as archive:
        # The filter keeps the modes, for keys are private; before Python 3.11.4 there was none, and modes were kept.
        archive.extractall(tmp_path, **({"filter": "tar"} if hasattr(tarfile, "tar_filter") else {}))
    return tmp_path / "atp", json.loads(described.read_text())


def test_its_checkpoint_and_every_byte_still_verify(frozen: tuple[Path, dict[str, object]]) -> None:
    data, said = frozen
    (log,) = check_place(str(data), Options(tenant="default")).logs
    assert not log.is_tampered and (log.size, log.root, log.origin) == (said["size"], said["root"], said["origin"])


def test_it_is_opened_asked_and_continued(frozen: tuple[Path, dict[str, object]]) -> None:
    data, said = frozen
    before = (data / "logs/default/checkpoint").read_bytes()
    platform = open_platform(Config(data)).platform
    platform.start()
    try:
        page = platform.ask(Question(outcome="denied"), by=ROOT, tenant="default")
        assert [index for index, _ in page.events] == said["denied"]
        event = prepare(b'{"actor":{"id":"x"},"action":"test.continue"}')
        outcome = platform.record([event], by=ROOT, tenant="default").result(SECONDS)
        assert outcome.receipts[0].index == said["size"]
        platform.pipeline.when_published("default", outcome.receipts[0].index).result(SECONDS)
    finally:
        platform.stop()
    (log,) = check_place(str(data), Options(tenant="default", against=before)).logs
    assert not log.is_tampered and log.size == outcome.receipts[0].index + 1


def freeze() -> None:
    """Write the frozen directory of the present format."""
    with tempfile.TemporaryDirectory() as folder:
        demo = Demo(Path(folder))
        size = demo.record_day()
        denied = [index for index, _ in demo.ask(outcome="denied").events]
        demo.close()
        (log,) = check_place(str(demo.data), Options(tenant="default")).logs
        for rebuilt in ("ids", "views", ".aside"):
            shutil.rmtree(demo.data / rebuilt, ignore_errors=True)
        version = (demo.data / "FORMAT").read_text().strip()
        with tarfile.open(FROZEN / f"format-{version}.tar.gz", "w:gz") as archive:
            archive.add(demo.data, "atp")
        said = {"size": size, "root": log.root, "origin": log.origin, "denied": denied}
        (FROZEN / f"format-{version}.json").write_text(json.dumps(said, indent=1) + "\n")


if __name__ == "__main__":
    freeze()
