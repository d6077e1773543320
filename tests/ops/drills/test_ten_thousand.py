"""Ten thousand files, odd in every way that a file system allows: they come back as they were, and one bit shows."""

import os
from collections.abc import Mapping
from pathlib import Path
from random import Random

import pytest

from atp.log.event import Event
from atp.ops.record.act import read_mark
from tests.ops.backups.world import portrait
from tests.ops.drills.world import World, left_in, verdicts

pytestmark = pytest.mark.slow

FILES = 10_000
ODD = [
    b"\xff\xfe no utf-8 \x80",
    b"two\nlines\r\nand a tab\t",
    "Ä ö ü ß — 漢字 🗝 e\u0301".encode(),
    b"-rf *",
    b"  spaces at both ends  ",
    b"quo\"tes' and \\ back $(slash) `tick`",
    b"..." + b"\x01\x7f\x1b[31m",
    b"%s%n{}",
]


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory, seed: int) -> World:
    """A world whose directory has that many files, a heartbeat, and a backup."""
    made = World(tmp_path_factory.mktemp("archive"), dataset="letters")
    made.source.mkdir()
    plant(os.fsencode(made.source), Random(seed))
    made.beat()
    made.back_up()
    return made


def plant(root: bytes, rng: Random) -> None:
    for number in range(FILES):
        folder = b"%s/%s %d" % (root, ODD[number % len(ODD)], number % 97)
        if number < 97 * len(ODD):
            os.makedirs(folder, exist_ok=True)
        odd = ODD[number // 97 % len(ODD)]
        name = b"%s/%d %s" % (folder, number, odd if number % 50 else (odd * 250)[:240])
        write(name, rng.randbytes(rng.randrange(300)), mode=rng.randrange(0o10000) | 0o400)
        if number % 100 == 0:
            os.link(name, b"%s/hard %d" % (folder, number))
            os.symlink(rng.choice([name, b"nowhere", b"../" + odd]), b"%s/soft %d" % (folder, number))
            os.setxattr(name, b"user.odd", odd)
            os.utime(name, ns=(1, rng.randrange(-(10**18), 10**18)))
        if number % 500 == 0:
            os.makedirs(b"%s/empty %d/%s" % (root, number, odd))
            with open(b"%s/holes %d" % (folder, number), "wb") as sparse:
                sparse.truncate(3_000_000)
                sparse.seek(rng.randrange(2_000_000))
                sparse.write(b"x")
    os.chmod(b"%s/empty 0" % root, 0o1700)


def write(name: bytes, data: bytes, *, mode: int) -> None:
    with open(name, "xb") as file:
        file.write(data)
    os.chmod(name, mode)


class Witness:
    """A sink that looks at the copy of a drill once it was asked, before it is removed."""

    def __init__(self, scratch: Path) -> None:
        self._scratch = scratch
        self.saw: dict[bytes, tuple[object, ...]] = {}
        self.holes_bytes = 0

    def write(self, event: Event, *, expect: Mapping[str, int], is_outcome: bool) -> None:
        mark, _ = read_mark(event)
        if mark is not None and (mark.step, mark.phase) == ("ask", "done"):
            [copy] = self._scratch.glob("atp-drill-*/copy")
            self.saw = portrait(copy)
            self.holes_bytes = 512 * next(copy.glob("*/holes 0")).stat().st_blocks


def test_ten_thousand_odd_files_come_back_and_every_byte_is_asked_for(filled: World) -> None:
    witness = Witness(filled.scratch)
    done = filled.drill(sink=witness)
    assert {one.passed for one in done.answers} == {True} and verdicts(done)["content"] == "pass", done
    assert done.entries == len(witness.saw) > FILES
    assert left_in(filled.scratch) == []
    assert witness.saw == portrait(filled.source)
    assert 0 < witness.holes_bytes < 2_000_000, "holes are holes again"


def test_one_flipped_bit_among_them_is_red(filled: World, rng: Random) -> None:
    before = portrait(filled.source)
    [*parts] = filled.root.glob("vault/letters/*/data.*")
    stored = bytearray(parts[0].read_bytes())
    at = rng.randrange(len(stored))
    stored[at] ^= 1 << rng.randrange(8)
    parts[0].write_bytes(stored)
    done = filled.drill()
    assert (done.verdict, done.cause, verdicts(done)["content"]) == ("fail", "corrupted", "fail"), (at, done)
    assert "data.00000" in done.reason
    assert left_in(filled.scratch) == [] and portrait(filled.source) == before
