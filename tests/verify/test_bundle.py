"""Bundles: a range proves that nothing is missing, a selection that each entry stands where it says."""

import json
import random
import resource
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from atp.merkle.keys import SigningKey
from atp.verify.options import Options
from atp.verify.place import check_place
from atp.verify.report import Report
from tests.verify.stored import KEY, entries, instant, note, range_files, selection_files, write_bundle

SIZE = 1_000
STORED = entries(SIZE)
LARGE = 33_000


def check(path: Path, **options: object) -> Report:
    return check_place(str(path), Options(**options))  # type: ignore[arg-type]


def timed(since: int, until: int) -> dict[str, bytes]:
    """The bundle of the entries of the commit groups [since, until), eight entries each."""
    first, stop = max(0, since * 8 - 1), min(SIZE, until * 8 + 1)
    before, after = since > 0, until * 8 < SIZE
    return range_files(
        STORED,
        first,
        stop,
        asked={"received_since": instant(since), "received_until": instant(until)},
        neighbours={"before": before, "after": after},
        count=stop - first - before - after,
    )


@pytest.mark.parametrize(("first", "stop"), [(0, 1), (0, SIZE), (255, 257), (999, 1_000), (17, 800)])
@pytest.mark.parametrize("name", ["bundle", "bundle.zip"])
def test_a_range_proves_that_all_its_entries_are_there(first: int, stop: int, name: str, tmp_path: Path) -> None:
    path = write_bundle(tmp_path / name, range_files(STORED, first, stop))
    for level in (None, "structure", "payload"):
        report = check(path, level=level)
        assert not report.is_tampered, report.as_text()
    assert f"{stop - first} entries of [{first}, {stop}): that they are all of them is proven" in check(path).as_text()


def test_a_range_of_an_empty_log_is_complete(tmp_path: Path) -> None:
    files = range_files([], 0, 0)
    del files["range.proof"], files["leaves"]
    assert not check(write_bundle(tmp_path / "bundle", files)).is_tampered


@pytest.mark.parametrize(("since", "until"), [(0, 3), (3, 20), (20, 20), (100, 125), (0, 125)])
def test_a_range_of_time_is_complete_with_its_neighbours(since: int, until: int, tmp_path: Path) -> None:
    report = check(write_bundle(tmp_path / "bundle", timed(since, until)))
    assert not report.is_tampered, report.as_text()


@pytest.mark.parametrize(
    "change",
    [
        {"asked": {"received_since": instant(2), "received_until": instant(20)}},
        {"asked": {"received_since": instant(3), "received_until": instant(21)}},
        {"asked": {"received_since": instant(4), "received_until": instant(20)}},
        {"asked": {"received_since": instant(3), "received_until": instant(19)}},
        {"neighbours": {"before": False, "after": True}},
        {"neighbours": {"before": True, "after": False}, "count": 137},
        {"count": 1},
        {"size": 999},
        {"origin": "example.com/else"},
        {"completeness": "attested"},
        {"first": 22},
        {"stop": 160},
        {"first": -1},
        {"count": 10**30},
        {"asked": {"received_since": "yesterday"}},
    ],
)
def test_a_manifest_that_claims_more_than_is_proven_fails(change: dict[str, object], tmp_path: Path) -> None:
    files = timed(3, 20)
    files["bundle.json"] = json.dumps(json.loads(files["bundle.json"]) | change).encode()
    assert check(write_bundle(tmp_path / "bundle", files)).is_tampered


def test_a_changed_entry_of_a_range_is_named(tmp_path: Path, rng: random.Random) -> None:
    files = range_files(STORED, 100, 700)
    index = rng.randrange(100, 700)
    lines = files["entries.ndjson"].split(b"\n")
    lines[index - 100] = lines[index - 100].replace(b"success", b"failure")
    report = check(write_bundle(tmp_path / "bundle", files | {"entries.ndjson": b"\n".join(lines)}))
    assert [(f.level, f.place, f.index) for f in report.logs[0].findings] == [("payload", "entries.ndjson", index)]
    assert report.logs[0].levels["structure"].verdict == "ok"


@pytest.mark.parametrize("way", ["drop first", "drop last", "drop inner", "repeat", "swap"])
def test_entries_of_a_range_that_are_not_as_they_were_are_found(way: str, tmp_path: Path) -> None:
    files = range_files(STORED, 100, 700)
    lines = files["entries.ndjson"].splitlines(keepends=True)
    match way:
        case "drop first":
            del lines[0]
        case "drop last":
            del lines[-1]
        case "drop inner":
            del lines[300]
        case "repeat":
            lines.insert(5, lines[5])
        case "swap":
            lines[5], lines[7] = lines[7], lines[5]
    report = check(write_bundle(tmp_path / "bundle", files | {"entries.ndjson": b"".join(lines)}))
    expected = {"drop first": 100, "drop last": 699, "drop inner": 400, "repeat": 106, "swap": 105}
    assert min(f.index for f in report.logs[0].findings if f.index is not None) == expected[way]


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["range", "selection", "range.zip"])
def test_any_flipped_bit_of_a_bundle_is_found(
    kind: str, tmp_path: Path, rng: random.Random, count: Callable[..., int]
) -> None:
    files = selection_files(STORED, [3, 500, 999]) if kind == "selection" else timed(3, 20)
    path = write_bundle(tmp_path / kind, files)
    stored = [path] if path.is_file() else sorted(path.iterdir())
    for _ in range(count(bounded=200, soak=20_000)):
        file = rng.choice(stored)
        intact = file.read_bytes()
        bit = rng.randrange(len(intact) * 8)
        data = bytearray(intact)
        data[bit // 8] ^= 1 << bit % 8
        file.write_bytes(bytes(data))
        if not check(path).is_tampered:
            # A name, a question, a date inside the zip: stated, and said to be no more than that.
            assert file.name in ("bundle.json", "range.zip"), f"bit {bit} of {file.name}"
            assert proven(path) == proven_of(files), f"bit {bit} of {file.name}"
        file.write_bytes(intact)


def proven(path: Path) -> dict[str, object]:
    if path.is_dir():
        return proven_of({file.name: file.read_bytes() for file in path.iterdir()})
    with zipfile.ZipFile(path) as archive:
        return proven_of({name: archive.read(name) for name in archive.namelist()})


def proven_of(files: dict[str, bytes]) -> dict[str, object]:
    """All of a bundle but what its manifest merely states."""
    said: dict[str, object] = dict(files)
    manifest = json.loads(files["bundle.json"])
    for stated in ("tenant", "asked", "first", "stop", "scanned"):
        manifest.pop(stated, None)
    return said | {"bundle.json": manifest if manifest["kind"] == "selection" else sorted(manifest.items(), key=str)}


def test_a_selection_proves_each_entry_and_says_that_completeness_is_attested(tmp_path: Path) -> None:
    for name in ("bundle", "bundle.zip"):
        report = check(write_bundle(tmp_path / name, selection_files(STORED, [0, 255, 256, 999])))
        assert not report.is_tampered, report.as_text()
        assert "that they are all is the exporter's word" in report.as_text()


def test_a_changed_entry_of_a_selection_is_named(tmp_path: Path) -> None:
    files = selection_files(STORED, [3, 500, 999])
    files["entries.ndjson"] = files["entries.ndjson"].replace(b"user-7", b"user-8")
    (finding,) = check(write_bundle(tmp_path / "bundle", files)).logs[0].findings
    assert (finding.level, finding.index) == ("payload", 500)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["range", "range.zip", "selection", "selection.zip"])
def test_all_cores_say_of_a_bundle_what_one_says(name: str, tmp_path: Path, rng: random.Random) -> None:
    stored = entries(LARGE)
    is_range = name.startswith("range")
    files = range_files(stored, 1, LARGE) if is_range else selection_files(stored, range(0, LARGE, 5))
    beside = "leaves" if is_range else "proofs.ndjson"
    lines = files["entries.ndjson"].splitlines(keepends=True)
    at = rng.randrange(len(lines))
    damaged = {
        "nothing": files,
        "an entry": files | {"entries.ndjson": b"".join([*lines[:at], b"{}\n", *lines[at + 1 :]])},
        "a line less": files | {"entries.ndjson": b"".join([*lines[:at], *lines[at + 1 :]])},
        "a line more": files | {"entries.ndjson": b"".join([*lines, lines[at]])},
        "an end": files | {"entries.ndjson": files["entries.ndjson"][: -rng.randrange(1, 1_000)]},
        "the other file": files | {beside: files[beside][: rng.randrange(len(files[beside]))]},
    }
    for what, changed in damaged.items():
        path = write_bundle(tmp_path / f"{what} {name}", changed)
        before = seconds_of_others()
        many = check(path, jobs=2)
        assert seconds_of_others() > before, "other processes did the work"
        assert many.as_json() == check(path).as_json()
        assert many.is_tampered == (changed is not files), what


def seconds_of_others() -> float:
    """Processor time of all processes that this one started, and that have ended."""
    return resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime


def test_a_small_bundle_is_checked_in_one_process(tmp_path: Path) -> None:
    before = seconds_of_others()
    for number, files in enumerate((range_files(STORED, 0, SIZE), selection_files(STORED, range(SIZE)))):
        assert not check(write_bundle(tmp_path / str(number), files), jobs=2).is_tampered
    assert seconds_of_others() == before


@pytest.mark.parametrize("name", ["range", "range.zip", "selection"])
def test_an_entry_that_was_signed_as_garbage_is_named(name: str, tmp_path: Path) -> None:
    stored = [*STORED]
    stored[500] = stored[500].replace(b'"outcome":"success",', b'"outcome"!"success",')
    files = selection_files(stored, [3, 500, 999]) if name == "selection" else range_files(stored, 100, 700)
    path = write_bundle(tmp_path / name, files)
    assert not check(path, level="payload").is_tampered
    (finding,) = check(path).logs[0].findings
    assert (finding.place, finding.reason, finding.index) == ("entries.ndjson", "it is not of format 1", 500)


def test_a_line_that_does_not_end_is_said(tmp_path: Path) -> None:
    for number, (size, first) in enumerate([(100, 0), (3_000_000, 0)]):
        files = range_files(STORED, 0, 10)
        files["entries.ndjson"] += b"x" * size
        report = check(write_bundle(tmp_path / str(number), files))
        (finding,) = report.logs[0].findings
        assert "its line b'xxx" in finding.reason and "is too long, or cut off" in finding.reason, first


def test_a_bundle_is_checked_under_given_keys(tmp_path: Path) -> None:
    path = write_bundle(tmp_path / "bundle", range_files(STORED, 0, 10))
    other = SigningKey.from_seed(bytes(32), name=KEY.name)
    assert not check(path, trusted=(KEY.public(),)).is_tampered
    assert check(path, trusted=(other.public(),)).is_tampered


def test_a_bundle_that_contradicts_a_known_checkpoint_of_its_size_is_a_fork(tmp_path: Path) -> None:
    path = write_bundle(tmp_path / "bundle", range_files(STORED, 0, 10))
    other = [*STORED[:-1], STORED[0]]
    assert "the log was forked" in check(path, against=note(other)).as_text()
    assert not check(path, against=note(entries(1_001))).is_tampered


def test_a_zip_whose_directory_points_before_its_begin_is_damaged(tmp_path: Path) -> None:
    path = write_bundle(tmp_path / "bundle.zip", range_files(STORED, 0, 10))
    data = bytearray(path.read_bytes())
    data[-5] ^= 1  # of where the directory begins (APPNOTE 4.3.16): what it lists moves by 256 bytes
    path.write_bytes(data)
    assert "it cannot be unpacked" in check(path).as_text()


def test_a_file_that_is_there_twice_in_a_zip_is_named(tmp_path: Path) -> None:
    path = write_bundle(tmp_path / "bundle.zip", range_files(STORED, 0, 10))
    with zipfile.ZipFile(path, "a") as archive, pytest.warns(UserWarning, match="Duplicate name"):
        archive.writestr("entries.ndjson", b"other\n")
    assert "entries.ndjson: it is there twice" in check(path).as_text()
