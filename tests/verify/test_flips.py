"""One bit, one entry, one file: whatever is changed in a stored log is found, and its place is named."""

import contextlib
import random
import shutil
import sqlite3
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest

from atp.errors import RefusedError
from atp.limits import ENTRY_BYTES_MAX, FRAME_ENTRIES, TILE_WIDTH
from atp.merkle.hashes import leaf_hash
from atp.merkle.tiles import EntryBundle, Tile, parse_path
from atp.verify.options import Options
from atp.verify.place import check_place
from atp.verify.report import Finding, Report
from tests.verify.stored import (
    BATCH_COLUMNS,
    TENANT,
    Place,
    batch_row,
    entries,
    entry,
    pack,
    unpack,
    write_place,
    write_tiles,
    zstd,
)

SIZES = (1, 255, 256, 257, 1_000, 1_300)


def findings(report: Report) -> list[Finding]:
    return [*report.findings, *(finding for log in report.logs for finding in log.findings)]


def check(path: Path, **options: object) -> Report:
    return check_place(str(path), Options(**options))  # type: ignore[arg-type]


def flip_bit(path: Path, bit: int) -> None:
    data = bytearray(path.read_bytes())
    data[bit // 8] ^= 1 << bit % 8
    path.write_bytes(bytes(data))


def files_of(path: Path) -> list[Path]:
    return sorted(file for file in path.rglob("*") if file.is_file())


def meaning(path: Path) -> dict[str, object]:
    """What a place says, however it is stored: plain bundles, rows of the order, and the bytes of all other files."""
    said: dict[str, object] = {}
    for file in files_of(path):
        name = file.relative_to(path).as_posix()
        if file.suffix == ".zst":
            with contextlib.suppress(Exception):
                said[name] = unpack(file.read_bytes())
        elif file.name == "order.db":
            said |= _rows(file)
        else:
            said[name] = file.read_bytes()
    return said


def _rows(file: Path) -> dict[str, object]:
    connection = sqlite3.connect(f"file:{file}?mode=ro", uri=True)
    connection.text_factory = bytes
    said: dict[str, object] = {}
    queries = {
        "log": "SELECT number, tenant, origin FROM log ORDER BY number",  # created_at is nothing that was signed
        "batch": "SELECT log, first, count, entries, leaves, ids, crc FROM batch ORDER BY log, first",
        "checkpoint": "SELECT * FROM checkpoint ORDER BY log",
    }
    for name, query in queries.items():
        try:
            said[name] = connection.execute(query).fetchall()
        except sqlite3.Error as error:
            said[name] = str(error)
    connection.close()
    return said


@pytest.mark.slow
@pytest.mark.parametrize("size", SIZES)
def test_any_flipped_bit_of_a_data_directory_is_found(
    size: int, tmp_path: Path, rng: random.Random, count: Callable[..., int]
) -> None:
    original = write_place(tmp_path / "original", entries(size), lingering=100)
    said = meaning(original.path)
    unchanged = 0
    rounds = count(bounded=60, soak=6_000)
    for _ in range(rounds):
        shutil.copytree(original.path, tmp_path / "flipped")
        file = rng.choice(files_of(tmp_path / "flipped"))
        bit = rng.randrange(file.stat().st_size * 8)
        flip_bit(file, bit)
        where = f"bit {bit} of {file.relative_to(tmp_path / 'flipped')}"
        try:
            report = check(tmp_path / "flipped")
        except RefusedError as error:
            assert file.name == "FORMAT", f"{where}: {error}"
        else:
            if not report.is_tampered:
                # Free space of a database page, a reserved bit of a frame: nothing that anybody reads is different.
                is_same = meaning(tmp_path / "flipped") == said
                assert is_same, f"{where} was not found"
                unchanged += 1
            else:
                assert_located(report, file=file, place=Place(tmp_path / "flipped", original.entries), where=where)
        shutil.rmtree(tmp_path / "flipped")
    assert unchanged < rounds


def assert_located(report: Report, *, file: Path, place: Place, where: str) -> None:
    """The finding names the file, and the entries named lie below it."""
    found = findings(report)
    said = f"{where}:\n" + "\n".join(finding.sentence for finding in found)
    if file == place.order or not file.is_relative_to(place.log / "tile"):
        return
    name = file.relative_to(place.log).as_posix()
    mine = [finding for finding in found if finding.place == name]
    assert mine and {finding.place for finding in found} == {name}, said
    tile = parse_path(name.removesuffix(".zst"))
    span = TILE_WIDTH ** ((tile.level if isinstance(tile, Tile) else 0) + 1)
    assert mine[0].index is not None and mine[0].index // span == tile.index, said


def test_a_flipped_bit_of_a_leaf_tile_names_its_entry(tmp_path: Path, rng: random.Random) -> None:
    place = write_place(tmp_path / "place", entries(1_000))
    bit = rng.randrange(8192 * 8)
    flip_bit(place.tile(0, 2), bit)
    for level in ("structure", "payload"):
        report = check(place.path, level=level)
        assert [(f.level, f.place, f.index) for f in findings(report)] == [
            ("structure", "tile/0/002", 512 + bit // 256)
        ], report.as_text()


def test_a_flipped_bit_of_a_stored_frame_names_the_first_wrong_entry(tmp_path: Path, rng: random.Random) -> None:
    place = write_place(tmp_path / "place", entries(1_000))
    intact = place.bundle(1).read_bytes()
    for _ in range(30):
        flip_bit(place.bundle(1), rng.randrange(len(intact) * 8))
        found = findings(check(place.path))
        if found or unpack(place.bundle(1).read_bytes()) != unpack(intact):  # a frame has bits that mean nothing
            assert [(f.place, f.index in range(256, 512)) for f in found] == [("tile/entries/001.zst", True)]
        place.bundle(1).write_bytes(intact)


@pytest.mark.parametrize("size", [1, 100, 255, 300, 1_000])
def test_a_flipped_bit_of_an_entry_in_the_order_names_it(size: int, tmp_path: Path, rng: random.Random) -> None:
    place = write_place(tmp_path / "place", entries(size), lingering=200)
    connection = sqlite3.connect(place.order)
    first, count, packed, leaves = rng.choice(
        connection.execute("SELECT first, count, entries, leaves FROM batch").fetchall()
    )
    connection.close()
    for bit in rng.sample(range(len(packed) * 8), 30):
        place.change("UPDATE batch SET entries = ? WHERE first = ?", flipped(packed, bit), first)
        (finding,) = findings(check(place.path))
        # A frame has bits that mean nothing: then no entry of the batch is wrong, and its bytes still are.
        assert finding.place == "order.db" and finding.index in range(first, first + count), finding
    place.change("UPDATE batch SET entries = ? WHERE first = ?", packed, first)
    bit = rng.randrange(len(leaves) * 8)
    place.change("UPDATE batch SET leaves = ? WHERE first = ?", flipped(leaves, bit), first)
    assert [(f.place, f.index) for f in findings(check(place.path))] == [("order.db", first + bit // 256)]


def flipped(blob: bytes, bit: int) -> bytes:
    damaged = bytearray(blob)
    damaged[bit // 8] ^= 1 << bit % 8
    return bytes(damaged)


def test_an_entry_of_the_order_whose_checksums_were_made_anew_is_named(tmp_path: Path, rng: random.Random) -> None:
    place = write_place(tmp_path / "place", entries(300))
    index = rng.randrange(256, 300)
    changed = [*place.entries[256:]]
    changed[index - 256] = changed[index - 256].replace(b'"success"', b'"failure"')
    first, count, packed, _, ids, _ = batch_row(256, changed)
    leaves = batch_row(256, place.entries[256:])[3]
    place.change("DELETE FROM batch")
    row = (first, count, packed, leaves, ids, zlib.crc32(packed + leaves + ids))
    place.change(f"INSERT INTO batch{BATCH_COLUMNS} VALUES (1,?,?,?,?,?,?)", *row)
    assert ("order.db", index, None) in [(f.place, f.index, f.stop) for f in findings(check(place.path))]


def test_a_changed_entry_whose_checksums_were_made_anew_is_named(tmp_path: Path, rng: random.Random) -> None:
    place = write_place(tmp_path / "place", entries(1_000))
    index = rng.randrange(256, 512)
    changed = [*place.entries]
    changed[index] = changed[index].replace(b'"success"', b'"failure"')
    place.bundle(1).write_bytes(pack(changed[256:512]))
    assert [(f.level, f.place, f.index) for f in findings(check(place.path))] == [
        ("payload", "tile/entries/001.zst", index)
    ]
    # Whoever changes the leaf tile too only moves the finding to the tile above, or to the root.
    tile = bytearray(place.tile(0, 1).read_bytes())
    tile[(index - 256) * 32 : (index - 255) * 32] = leaf_hash(changed[index])
    place.tile(0, 1).write_bytes(bytes(tile))
    report = check(place.path)
    assert {log.levels["structure"].verdict for log in report.logs} == {"failed"}
    assert report.logs[0].levels["payload"].verdict == "failed"


def test_two_swapped_entries_are_found_at_the_first_of_them(tmp_path: Path, rng: random.Random) -> None:
    place = write_place(tmp_path / "place", entries(1_000))
    one, other = sorted(rng.sample(range(256), 2))
    swapped = place.entries[:256]
    swapped[one], swapped[other] = swapped[other], swapped[one]
    place.bundle(0).write_bytes(pack(swapped))
    (finding, *_) = findings(check(place.path))
    assert (finding.level, finding.place, finding.index) == ("payload", "tile/entries/000.zst", one)


def test_swapped_entries_of_the_order_are_found(tmp_path: Path) -> None:
    place = write_place(tmp_path / "place", entries(300))
    swapped = [*place.entries[256:]]
    swapped[3], swapped[4] = swapped[4], swapped[3]
    place.change("DELETE FROM batch")
    place.change(f"INSERT INTO batch{BATCH_COLUMNS} VALUES (1,?,?,?,?,?,?)", *batch_row(256, swapped))
    found = findings(check(place.path))
    assert found and found[0].index == 256 and found[0].stop == 300


@pytest.mark.slow
@pytest.mark.parametrize("way", ["truncate", "delete", "empty", "twice", "other"])
def test_a_file_that_is_not_what_it_was_is_found(way: str, tmp_path: Path, rng: random.Random) -> None:
    original = write_place(tmp_path / "original", entries(1_300))
    beside = [original.order, original.log / "vkey", original.log / "checkpoint"]
    for file in [*files_of(original.log / "tile"), *beside]:
        path = tmp_path / "changed"
        shutil.copytree(original.path, path)
        target = path / file.relative_to(original.path)
        change_file(target, way, rng)
        # The public copy may be older, so it may be missing; a database ends where its header says; a key is one key.
        is_harmless = (way, file.name) in {("delete", "checkpoint"), ("twice", "order.db"), ("twice", "vkey")}
        assert check(path).is_tampered != is_harmless, f"{way} {file.name}"
        shutil.rmtree(path)


def change_file(file: Path, way: str, rng: random.Random) -> None:
    data = file.read_bytes()
    match way:
        case "truncate":
            file.write_bytes(data[: rng.randrange(1, len(data) // 2)])
        case "delete":
            file.unlink()
        case "empty":
            file.write_bytes(b"")
        case "twice":
            file.write_bytes(data + data)
        case "other":
            file.write_bytes(rng.randbytes(len(data)))


def test_a_stray_file_is_named(tmp_path: Path) -> None:
    place = write_place(tmp_path / "place", entries(600))
    for name in (
        "tile/0/002",
        "tile/0/007",
        "tile/1/000",
        "tile/entries/002.zst",
        "tile/0/000.p/5",
        "tile/0/x",
        "note",
    ):
        shutil.copytree(place.path, tmp_path / "strayed")
        target = tmp_path / "strayed" / "logs" / TENANT / name
        target.parent.mkdir(parents=True, exist_ok=True)
        source = place.bundle(1) if name.endswith(".zst") else place.tile(0, 1)
        shutil.copy(source, target)
        assert [finding.place for finding in findings(check(tmp_path / "strayed"))] == [name]
        shutil.rmtree(tmp_path / "strayed")


def test_leftovers_of_interrupted_writes_are_no_findings(tmp_path: Path) -> None:
    place = write_place(tmp_path / "place", entries(600))
    (place.log / "tile" / "0" / "002.tmp-3f2a").write_bytes(b"half")
    assert not check(place.path).is_tampered


@pytest.mark.slow
@pytest.mark.parametrize("size", SIZES)
def test_any_flipped_bit_of_a_tiles_directory_is_found(
    size: int, tmp_path: Path, rng: random.Random, count: Callable[..., int]
) -> None:
    path = write_tiles(tmp_path / "log", entries(size))
    for _ in range(count(bounded=60, soak=6_000)):
        file = rng.choice(files_of(path))
        intact = file.read_bytes()
        flip_bit(file, rng.randrange(len(intact) * 8))
        report = check(path)
        assert report.is_tampered
        if file.is_relative_to(path / "tile"):
            assert {finding.place for finding in findings(report)} == {file.relative_to(path).as_posix()}
        file.write_bytes(intact)


def test_dropped_entries_of_a_tiles_directory_are_found(tmp_path: Path) -> None:
    path = write_tiles(tmp_path / "log", entries(600))
    bundle = path / EntryBundle(2, 88).path
    kept = bundle.read_bytes()[: -len(entry(599)) - 2]
    bundle.write_bytes(kept)
    assert [(f.place, f.index) for f in findings(check(path))] == [("tile/entries/002.p/88", 599)]


def test_a_bundle_that_is_cut_off_anywhere_names_the_first_entry_that_is_not_whole(
    tmp_path: Path, rng: random.Random
) -> None:
    stored = entries(100)
    path = write_tiles(tmp_path / "log", stored)
    bundle = path / EntryBundle(0, 100).path
    plain, begins = bundle.read_bytes(), [0]
    for one in stored:
        begins.append(begins[-1] + 2 + len(one))
    for index in (0, 99, *rng.sample(range(100), 10)):
        for cut in (begins[index], begins[index] + 1, begins[index] + 2, begins[index + 1] - 1):
            bundle.write_bytes(plain[:cut])
            assert [(f.place, f.index) for f in findings(check(path))] == [(EntryBundle(0, 100).path, index)]


def test_a_bundle_of_too_many_entries_is_not_read_to_its_end(tmp_path: Path) -> None:
    place = write_place(tmp_path / "place", entries(600))
    frames = [zstd.compress(bytes(FRAME_ENTRIES * ENTRY_BYTES_MAX)) for _ in range(4)]  # 8 million empty entries
    place.bundle(1).write_bytes(b"".join(frames))
    (finding,) = findings(check(place.path))
    assert (finding.place, finding.index) == ("tile/entries/001.zst", 256)
    assert "it holds 257 entries instead of 256" in finding.reason
