"""What may lie behind the end of a recovery: a record whose rest was never received, and nothing else."""

import struct
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import pytest

from atp.errors import MalformedError, TamperedError
from atp.ops.backups.act.kinds.postgresql.replay import Log, check_used
from atp.ops.backups.act.kinds.postgresql.segments import Shipped

SEGMENT, PAGE = 1 << 20, 8_192
SHORT = PAGE - 24  # what a page holds, but for the first one of a segment


def written(lengths: Sequence[int], *, segments: int = 1) -> tuple[bytearray, list[int]]:
    """A log with records of these lengths, all of ones, as a server lays them out; and where each of them begins."""
    log, places, at = bytearray(segments * SEGMENT), list[int](), 0
    for length in lengths:
        at = opened(log, at, left=0)
        places.append(at)
        record = struct.pack("=I", length) + b"\1" * (length - 4)
        while record and at < len(log):
            at = opened(log, at, left=len(record) if at != places[-1] else 0)
            room = PAGE - at % PAGE
            log[at : at + len(record[:room])] = record[:room]
            at, record = at + len(record[:room]), record[room:]
        at = (at + 7) // 8 * 8
    return log, places


def opened(log: bytearray, at: int, *, left: int) -> int:
    """The place behind the header of a page, which is made where one begins."""
    if at % PAGE or at >= len(log):
        return at
    struct.pack_into("=HHIQI", log, at, 0xD110, 1 if left else 0, 1, at, left)
    return at + (40 if at % SEGMENT == 0 else 24)


def check(here: Path, log: bytes, ended: int, *, is_partial: bool) -> None:
    """Whether it was used up by a recovery that ended at a place, as the history of its timeline says."""
    (here / "pg_wal").mkdir()
    (here / "pg_wal/00000002.history").write_text(f"1\t0/{ended:X}\tno recovery target specified\n")
    numbers = range(len(log) // SEGMENT)
    files = {number: here / f"00000001{0:08X}{number:08X}" for number in numbers}
    for number, path in files.items():
        path.write_bytes(log[number * SEGMENT : (number + 1) * SEGMENT])
    following = [
        Shipped("", path.name, is_partial and number == numbers[-1], datetime(2026, 11, 1, number, tzinfo=UTC), "", 1)
        for number, path in files.items()
    ]
    found = {number: partial(here.joinpath, path.name) for number, path in files.items()}
    check_used(here, Log(found, SEGMENT, PAGE), timeline=2, following=following)


def test_a_log_that_was_used_to_its_end_is_used(tmp_path: Path) -> None:
    check(tmp_path, bytes(SEGMENT), SEGMENT, is_partial=False)


def test_a_record_that_goes_on_in_a_segment_which_is_not_there_is_the_end(tmp_path: Path) -> None:
    log, places = written([900_000, 200_000])
    check(tmp_path, log, places[1], is_partial=False)


@pytest.mark.parametrize("length", [100, 3 * SHORT])
def test_a_whole_record_that_was_not_used_is_damage(tmp_path: Path, length: int) -> None:
    log, places = written([1_000, length, 1_000])
    with pytest.raises(TamperedError, match="000000010000000000000000 is damaged"):
        check(tmp_path, log, places[1], is_partial=False)


def test_a_length_that_was_changed_does_not_make_a_record_that_goes_on(tmp_path: Path) -> None:
    log, places = written([1_000, 1_000, *[20_000] * 80])
    log[places[1] + 2] ^= 0x80
    with pytest.raises(TamperedError):
        check(tmp_path, log, places[1], is_partial=False)


@pytest.mark.parametrize(
    ("cut", "is_partial"), [(0, True), (2_000, True), (3 * PAGE, True), (0, False), (2_000, False)]
)
def test_what_is_not_there_is_the_end_of_a_segment_that_is_not_whole_alone(
    tmp_path: Path, cut: int, *, is_partial: bool
) -> None:
    """The rest of a record, or of the log, was never received: zeros."""
    log, places = written([1_000, 100_000])
    log[places[1] + cut :] = bytes(len(log) - places[1] - cut)
    if is_partial:
        return check(tmp_path, log, places[1], is_partial=True)
    with pytest.raises(TamperedError):
        check(tmp_path, log, places[1], is_partial=False)


def test_a_record_before_the_last_one_received_is_damage(tmp_path: Path) -> None:
    log, places = written([1_000, 1_000, 1_000])
    with pytest.raises(TamperedError):
        check(tmp_path, log, places[1], is_partial=True)


@pytest.mark.parametrize("is_partial", [True, False])
@pytest.mark.parametrize("length", [100, SHORT - 2_000, 3 * SHORT])
def test_the_last_record_received_is_damage_when_all_of_it_is_there(
    tmp_path: Path, length: int, *, is_partial: bool
) -> None:
    log, places = written([1_000, length])
    log[places[1] + 8] ^= 1
    with pytest.raises(TamperedError, match=r"0+ is damaged \(hint: another backup|hint: --at"):
        check(tmp_path, log, places[1], is_partial=is_partial)


def test_the_last_record_of_a_log_that_ends_where_the_log_ends_is_damage(tmp_path: Path) -> None:
    pages = SEGMENT // PAGE
    log, places = written([1_000, SEGMENT - 40 - 1_000 - 24 * (pages - 1)])
    assert log[-1] == 1, "it takes all that is left"
    with pytest.raises(TamperedError):
        check(tmp_path, log, places[1], is_partial=False)


def test_a_record_of_which_the_rest_was_never_received_breaks_off_where_a_page_ends(tmp_path: Path) -> None:
    """A server sends up to the end of a page, or of a record."""
    log, places = written([1_000, 3 * SHORT])
    log[PAGE:] = bytes(len(log) - PAGE)
    check(tmp_path, log, places[1], is_partial=True)


def test_a_record_that_begins_in_a_whole_segment_may_end_in_one_that_is_not(tmp_path: Path) -> None:
    log, places = written([900_000, 400_000], segments=2)
    log[SEGMENT + 50_000 :] = bytes(SEGMENT - 50_000)
    check(tmp_path, log, places[1], is_partial=True)


def test_damage_says_which_moment_is_before_it(tmp_path: Path) -> None:
    log, places = written([1_000_000, 500_000, 500_000, 1_000], segments=3)
    with pytest.raises(TamperedError, match=r"0+1 is damaged \(hint: --at 2026-11-01T00:00:00.000000Z\)"):
        check(tmp_path, log, places[2], is_partial=False)


def test_a_recovery_that_does_not_say_where_it_ended_is_none(tmp_path: Path) -> None:
    with pytest.raises(MalformedError, match="timeline 3 has no history"):
        check_used(tmp_path, Log({}, SEGMENT, PAGE), timeline=3, following=[])
