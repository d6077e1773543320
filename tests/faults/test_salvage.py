"""The durable order is damaged: what still reads is kept, what is lost is named, and no log is ever forked."""

import copy
import random
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from atp.app.config import Config
from atp.app.open import Opened, open_platform
from atp.errors import UnavailableError
from atp.observe import Lines
from atp.verify.options import Options
from atp.verify.place import check_place
from tests.faults.history import ALICE, History
from tests.world import prepared, raw_event

pytestmark = pytest.mark.slow

SECONDS_MAX = 20
PAGE_BYTES = 16_384
TENANTS = ("acme", "globex", "initech")
SIZES = {"acme": 900, "globex": 512, "initech": 40}


@pytest.fixture
def quiet(tmp_path: Path) -> Lines:
    return Lines((tmp_path / "lines").open("w"))


def start(data: Path, lines: Lines) -> Opened:
    opened = open_platform(Config(data, installation="example.org"), lines=lines)
    opened.platform.start()
    return opened


def lived(data: Path, lines: Lines) -> History:
    """A directory in which three tenants recorded events in many batches; closed."""
    opened, history = start(data, lines), History()
    for tenant, size in SIZES.items():
        assert history.create(opened.platform, tenant)
        for first in range(0, size, 60):
            assert history.send(opened.platform, tenant, range(first, min(first + 60, size)))
    history.settle(opened.platform)
    opened.platform.stop()
    return history


def read_back(opened: Opened, history: History, tenant: str) -> int:
    """How many entries are held; each is the one that was acknowledged at its index."""
    reader = opened.platform.reader(tenant, by=ALICE)
    hashes = {receipt.index: receipt.id for receipt in history.receipts[tenant].values()}
    for index, entry in enumerate(reader.entries(0, reader.size())):
        assert f'"id":"{hashes[index]}"'.encode() in entry
    return reader.size()


def grow(opened: Opened, history: History) -> set[str]:
    """Send to every log; those that took it are published on, consistently, and the others are stopped."""
    growing = set()
    for tenant in TENANTS:
        try:
            opened.platform.record(prepared(raw_event(10**6)), by=ALICE, tenant=tenant).result(SECONDS_MAX)
        except UnavailableError:
            assert tenant in opened.platform.pipeline.stopped
        else:
            growing.add(tenant)
            opened.platform.pipeline.when_published(tenant, SIZES[tenant]).result(SECONDS_MAX)
            history.sent[tenant].add(f"e-{10**6}")
            history.look(opened.platform, tenant)
    alone = History({tenant: history.sent[tenant] for tenant in growing}, history.receipts, history.notes)
    alone.settle(opened.platform)
    alone.judge(opened.platform.stores)
    return growing


def zero(file: Path, rng: random.Random) -> None:
    file.write_bytes(bytes(file.stat().st_size))


def delete(file: Path, rng: random.Random) -> None:
    file.unlink()


def cut(file: Path, rng: random.Random) -> None:
    data = file.read_bytes()
    file.write_bytes(data[: rng.randrange(1, len(data))])


def overwrite_pages(file: Path, rng: random.Random) -> None:
    data = bytearray(file.read_bytes())
    for _ in range(rng.randrange(1, 4)):
        page = rng.randrange(1, len(data) // PAGE_BYTES)
        data[page * PAGE_BYTES : (page + 1) * PAGE_BYTES] = rng.randbytes(PAGE_BYTES)
    file.write_bytes(data)


def flip(file: Path, rng: random.Random) -> None:
    data = bytearray(file.read_bytes())
    data[rng.randrange(PAGE_BYTES, len(data))] ^= 1 << rng.randrange(8)
    file.write_bytes(data)


@pytest.mark.parametrize("damage", [overwrite_pages, flip, cut, zero, delete])
def test_a_damaged_order_costs_only_what_it_alone_held(
    damage: Callable[[Path, random.Random], None],
    tmp_path: Path,
    quiet: Lines,
    rng: random.Random,
    count: Callable[..., int],
) -> None:
    history = lived(tmp_path / "original", quiet)
    for _ in range(1 if damage in (zero, delete) else count(bounded=5, soak=200)):
        shutil.copytree(tmp_path / "original", tmp_path / "data")
        damage(tmp_path / "data" / "order.db", rng)
        judge_damaged(tmp_path / "data", copy.deepcopy(history), quiet)
        shutil.rmtree(tmp_path / "data")


def judge_damaged(data: Path, history: History, quiet: Lines) -> None:
    opened = start(data, quiet)
    stopped = dict(opened.platform.pipeline.stopped)
    short = set()
    for tenant, size in SIZES.items():
        held = read_back(opened, history, tenant)
        assert held >= size - size % 256, "what the bundles hold is kept"
        if held < size:
            short.add(tenant)
            assert f"entries {held} to {size - 1}" in stopped[tenant]
            assert f"entries {held} to {size - 1} of {tenant} are lost" in opened.losses
    assert grow(opened, history) == set(TENANTS) - stopped.keys()
    opened.platform.stop()
    assert opened.platform.bug is None
    for _ in range(2):
        again = start(data, quiet)
        assert again.platform.pipeline.stopped.keys() == stopped.keys() and not again.losses
        again.platform.stop()
    report = check_place(str(data), Options())
    assert {log.name for log in report.logs if log.is_tampered} - {"default", "operations"} == short, report.as_text()


def test_a_crash_before_the_new_order_is_in_its_place_is_rolled_forward(tmp_path: Path, quiet: Lines) -> None:
    data = tmp_path / "data"
    history = lived(data, quiet)
    zero(data / "order.db", random.Random(0))
    opened = start(data, quiet)
    stopped = dict(opened.platform.pipeline.stopped)
    opened.platform.stop()
    (damaged,) = data.glob("order.db.damaged-*")
    (data / "salvage").mkdir()
    (data / "order.db").rename(data / "salvage" / "order.db")
    damaged.rename(data / "order.db")
    opened = start(data, quiet)
    assert opened.platform.pipeline.stopped == stopped and not opened.losses
    assert read_back(opened, history, "acme") == 768
    assert not (data / "salvage").exists() and list(data.glob("order.db.damaged-*"))
    opened.platform.stop()


def test_a_log_that_was_put_right_goes_on_when_its_name_is_taken_off_the_list(tmp_path: Path, quiet: Lines) -> None:
    data = tmp_path / "data"
    history = lived(data, quiet)
    whole = (data / "order.db").read_bytes()
    zero(data / "order.db", random.Random(0))
    start(data, quiet).platform.stop()
    (data / "order.db").write_bytes(whole)
    opened = start(data, quiet)
    assert "acme" in opened.platform.pipeline.stopped, "the file says so until somebody removes it"
    opened.platform.stop()
    (data / "stopped.json").unlink()
    opened = start(data, quiet)
    assert not opened.platform.pipeline.stopped
    assert history.send(opened.platform, "acme", range(SIZES["acme"])), "each is known by its id"
    assert grow(opened, history) == set(TENANTS)
    opened.platform.stop()
