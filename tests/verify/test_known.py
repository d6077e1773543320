"""What only an older checkpoint can show: dropped entries, forks, rollbacks; and the memory that keeps such ones."""

import shutil
from pathlib import Path

import pytest

from atp.merkle.keys import SigningKey
from atp.verify.options import Options
from atp.verify.place import check_place
from atp.verify.remember import Memory
from atp.verify.report import Report
from tests.verify.stored import KEY, ORIGIN, entries, entry, note, write_file, write_place, write_tiles

OTHER = SigningKey.from_seed(bytes(32), name=ORIGIN)


def check(path: Path, **options: object) -> Report:
    return check_place(str(path), Options(**options))  # type: ignore[arg-type]


def sentences(report: Report) -> str:
    return report.as_text()


@pytest.mark.parametrize("size", [1, 255, 256, 300, 777, 1_000])
def test_a_log_that_grew_is_consistent_with_every_older_checkpoint(size: int, tmp_path: Path) -> None:
    stored = entries(1_000)
    for path in (write_place(tmp_path / "place", stored).path, write_tiles(tmp_path / "log", stored)):
        report = check(path, against=note(stored[:size]))
        assert not report.is_tampered, sentences(report)
        assert report.logs[0].complete_up_to == "2026-02-01T00:00:11.400000Z"


def test_dropped_last_entries_are_found_with_a_checkpoint_that_had_them(tmp_path: Path) -> None:
    stored = entries(1_000)
    place = write_place(tmp_path / "place", stored[:900])
    assert not check(place.path).is_tampered
    report = check(place.path, against=note(stored))
    assert report.is_tampered
    (finding,) = report.logs[0].findings
    assert (finding.index, finding.stop) == (900, 1_000)
    assert "of 1000 entries, and here are only 900" in finding.reason


def test_without_an_older_checkpoint_a_shorter_log_says_up_to_when_it_is_complete(tmp_path: Path) -> None:
    place = write_place(tmp_path / "place", entries(900))
    assert "complete up to 2026-02-01T00:00:10.200000Z, nothing newer known" in check(place.path).as_text()


@pytest.mark.parametrize("size", [500, 1_000])
def test_a_fork_names_both_sizes(size: int, tmp_path: Path) -> None:
    stored = entries(1_000)
    other = [*stored]
    other[17] = entry(17, body='{"actor":{"id":"mallory"},"action":"invoice.delete"}')
    place = write_place(tmp_path / "place", other)
    report = check(place.path, against=note(stored[:size]))
    assert report.is_tampered
    assert f"its {size} entries are not those with which the 1000 entries here begin" in sentences(report)


def test_a_checkpoint_of_another_key_or_another_log_is_no_evidence_for_this_one(tmp_path: Path) -> None:
    stored = entries(300)
    place = write_place(tmp_path / "place", stored)
    assert check(place.path, against=note(stored, key=OTHER)).is_tampered
    assert check(place.path, against=note(stored, origin="example.com/else")).is_tampered
    tiles = write_tiles(tmp_path / "log", stored)
    assert check(tiles, against=note(stored, origin="example.com/else")).is_tampered


def test_a_log_signed_by_another_key_than_the_trusted_one_fails(tmp_path: Path) -> None:
    place = write_place(tmp_path / "place", entries(300), key=OTHER)
    assert not check(place.path).is_tampered
    report = check(place.path, trusted=(KEY.public(),))
    assert report.logs[0].levels["structure"].verdict == "failed"
    assert report.logs[0].levels["payload"].verdict == "not possible here"


def test_a_report_says_aloud_whom_it_trusted(tmp_path: Path) -> None:
    place = write_place(tmp_path / "place", entries(10))
    assert "under the key found in the directory: whoever could change the log" in check(place.path).as_text()
    assert "under the given key example.com/acme+" in check(place.path, trusted=(KEY.public(),)).as_text()


def test_any_one_of_two_found_keys_suffices_during_a_change_of_keys(tmp_path: Path) -> None:
    place = write_place(tmp_path / "place", entries(300))
    vkeys = f"{OTHER.public().vkey}\n{KEY.public().vkey}\n".encode()
    write_file(place.log / "vkey", vkeys)
    assert not check(place.path).is_tampered


def test_a_public_checkpoint_that_is_newer_than_the_order_is_a_rollback(tmp_path: Path) -> None:
    stored = entries(600)
    place = write_place(tmp_path / "place", stored[:500])
    write_file(place.log / "checkpoint", note(stored))
    assert "here are only 500" in check(place.path).as_text()


def test_the_newest_verified_checkpoint_is_remembered_and_held_against_the_next(tmp_path: Path) -> None:
    stored, memory = entries(1_000), Memory(tmp_path / "state")
    place = write_place(tmp_path / "place", stored)
    assert memory.remembered(ORIGIN) is None
    assert not check(place.path, memory=memory).is_tampered
    assert memory.remembered(ORIGIN) == note(stored)
    shorter = write_place(tmp_path / "shorter", stored[:999])
    assert "the last ones were dropped" in check(shorter.path, memory=memory).as_text()
    assert memory.remembered(ORIGIN) == note(stored), "the memory only moves forward"
    longer = write_place(tmp_path / "longer", entries(1_100))
    assert not check(longer.path, memory=memory).is_tampered
    assert memory.remembered(ORIGIN) == note(entries(1_100))


def test_both_checkpoints_of_a_fork_are_kept_as_evidence(tmp_path: Path) -> None:
    stored, memory = entries(300), Memory(tmp_path / "state")
    other = [*stored[:299], entry(299, body='{"actor":{"id":"mallory"},"action":"invoice.delete"}')]
    check(write_place(tmp_path / "place", stored).path, memory=memory)
    report = check(write_place(tmp_path / "other", [*other, entry(300)]).path, memory=memory)
    assert report.is_tampered and "both checkpoints are kept in" in report.as_text()
    kept = {file.read_bytes() for file in (tmp_path / "state" / "forks").iterdir()}
    assert kept == {note(stored), note([*other, entry(300)])}
    assert memory.remembered(ORIGIN) == note(stored)


def test_a_damaged_memory_is_ignored_aloud(tmp_path: Path) -> None:
    stored, memory = entries(300), Memory(tmp_path / "state")
    place = write_place(tmp_path / "place", stored)
    check(place.path, memory=memory)
    (file,) = (tmp_path / "state" / "checkpoints").iterdir()
    assert file.stat().st_mode & 0o777 == 0o600
    file.write_bytes(b"nothing")
    assert not check(place.path, memory=memory).is_tampered
    damaged = note(stored)[:-10] + b"A" + note(stored)[-9:]
    file.write_bytes(damaged)
    report = check(place.path, memory=memory)
    assert not report.is_tampered and "the remembered checkpoint was ignored" in report.as_text()


def test_a_place_that_failed_is_not_remembered(tmp_path: Path) -> None:
    memory = Memory(tmp_path / "state")
    place = write_place(tmp_path / "place", entries(600))
    shutil.copy(place.tile(0, 1), place.tile(0, 0))
    assert check(place.path, memory=memory).is_tampered
    assert memory.remembered(ORIGIN) is None
