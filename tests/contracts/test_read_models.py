"""What every ReadModels keeps: no frame that may match is left out, whatever happened to what is stored."""

import os
import random
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from atp.adapters.memory_models import MemoryReadModels
from atp.adapters.signatures import Signatures
from atp.adapters.signatures.bits import BITS, BLOCK, FRAMES, ROW, block_of, grown, positions_of, rows_in, rows_of
from atp.adapters.signatures.files import ViewFiles
from atp.errors import ConflictError, UnavailableError
from atp.ports.read_models import Frame, Narrowing, ReadModels

EVERYWHERE = 7  # a term of every frame
ABSENT = 8_000_000_000_000_000_001
Opener = Callable[[], ReadModels]


@pytest.fixture(params=["memory", "signatures"])
def opener(request: pytest.FixtureRequest, tmp_path: Path) -> Opener:
    """Opens the same stored state again, as another process would."""
    if request.param == "memory":
        models = MemoryReadModels()
        return lambda: models
    return lambda: Signatures(tmp_path)


def term(number: int) -> int:
    """The term that frame `number` has alone."""
    return (number + 1) * 0x9E3779B97F4A7C15 % 2**64


def frame(number: int) -> Frame:
    """Frame `number`: its own term, one of every tenth, one of all; an hour of events a frame."""
    terms = [term(number), number % 10 + 100, EVERYWHERE]
    return Frame(number, np.array(terms, np.uint64), number * 3600, number * 3600 + 3599)


def frames(start: int, stop: int) -> list[Frame]:
    return [frame(number) for number in range(start, stop)]


def found(models: ReadModels, *terms: int, last: int = 10**5, tenant: str = "acme", **options: object) -> list[int]:
    narrowing = Narrowing(terms, options.pop("first", 0), last, **options)  # type: ignore[arg-type]
    return list(models.candidates(tenant, narrowing))


def check_whole(models: ReadModels, *, size: int, tenant: str = "acme") -> None:
    """Exactly frames 0 .. size-1 are stored, and each is found by what it has."""
    assert models.followed(tenant) == size
    assert all(models.matches(tenant, frame(number)) for number in range(max(0, size - 40), size))
    assert found(models, EVERYWHERE, last=size - 1, tenant=tenant) == list(range(size))[::-1]
    for number in {0, size // 2, size - 1} if size else ():
        assert number in found(models, term(number), EVERYWHERE, last=size - 1, tenant=tenant)


def test_an_unknown_log_has_no_frames_and_every_frame_may_match(opener: Opener) -> None:
    models = opener()
    assert models.followed("acme") == 0
    assert found(models, ABSENT, last=3) == [3, 2, 1, 0]
    assert not models.matches("acme", frame(0))
    models.clear("acme")


def test_frames_are_found_by_their_terms_in_both_orders(opener: Opener) -> None:
    models = opener()
    models.extend("acme", frames(0, 50))
    assert set(found(models, 103, last=49)) >= {3, 13, 23, 33, 43}
    assert found(models, EVERYWHERE, first=10, last=20, newest_first=False) == list(range(10, 21))
    assert found(models, EVERYWHERE, first=10, last=20) == list(range(20, 9, -1))
    assert found(models, last=2) == [2, 1, 0]
    assert found(models, EVERYWHERE, first=5, last=4) == []


def test_frames_without_the_terms_are_nearly_never_read(opener: Opener) -> None:
    models = opener()
    models.extend("acme", frames(0, 1_500))
    assert sum(len(found(models, ABSENT + step, last=1_499)) for step in range(20)) <= 1


def test_frames_that_are_not_stored_may_match(opener: Opener) -> None:
    models = opener()
    models.extend("acme", frames(0, 5))
    assert found(models, ABSENT, last=7) == [7, 6, 5]
    assert found(models, ABSENT, last=7, newest_first=False) == [5, 6, 7]
    assert found(models, ABSENT, last=6, since=10**9) == [6, 5], "nobody knows the times of these"


def test_a_window_leaves_out_frames_on_both_sides_and_none_inside(opener: Opener) -> None:
    models = opener()
    models.extend("acme", frames(0, 10))
    assert found(models, since=3600, last=9) == list(range(9, 0, -1))
    assert found(models, since=3601, until=7200, last=9) == [1], "since is inside, until is not"
    assert found(models, since=7199, until=7201, last=9) == [2, 1]
    assert found(models, until=3600, last=9) == [0]


def test_frames_have_to_follow_one_another(opener: Opener) -> None:
    models = opener()
    models.extend("acme", frames(0, 3))
    for wrong in ([frame(2)], [frame(4)], [frame(3), frame(5)], [frame(4), frame(3)]):
        with pytest.raises(ConflictError):
            models.extend("acme", wrong)
    models.extend("acme", [])
    check_whole(models, size=3)


def test_logs_do_not_see_one_another(opener: Opener) -> None:
    models = opener()
    models.extend("acme", frames(0, 4))
    models.extend("globex", frames(0, 2))
    models.clear("acme")
    assert models.followed("acme") == 0
    check_whole(models, size=2, tenant="globex")
    models.extend("acme", frames(0, 1))
    check_whole(models, size=1)


def test_a_frame_matches_only_what_was_stored_bit_for_bit(opener: Opener) -> None:
    models = opener()
    models.extend("acme", frames(0, 1_030))
    for number in (0, 1_023, 1_024, 1_029):
        stored = frame(number)
        assert models.matches("acme", stored)
        others = (
            Frame(number, stored.terms[:-1], stored.time_min, stored.time_max),
            Frame(number, np.append(stored.terms, np.uint64(ABSENT)), stored.time_min, stored.time_max),
            Frame(number, stored.terms, stored.time_min + 1, stored.time_max),
            Frame(number, stored.terms, stored.time_min, stored.time_max + 1),
        )
        assert [models.matches("acme", other) for other in others] == [False] * 4
    assert not models.matches("acme", frame(1_030))


@pytest.mark.parametrize("steps", [[1_024], [1_000, 24], [1_000, 25, 1], [3_100], [1, 1_022, 1, 1, 1_023, 2]])
def test_segments_fill_in_steps_of_any_size(opener: Opener, steps: list[int]) -> None:
    size = 0
    for step in steps:
        opener().extend("acme", frames(size, size + step))
        size += step
    check_whole(opener(), size=size)


def test_answers_are_whole_while_another_thread_stores(opener: Opener) -> None:
    models = opener()
    with ThreadPoolExecutor(1) as pool:
        storing = pool.submit(lambda: [models.extend("acme", frames(at, at + 20)) for at in range(0, 2_500, 20)])
        while not storing.done():
            assert found(models, EVERYWHERE, last=2_499) == list(range(2_500))[::-1]
            assert 1_030 in found(models, term(1_030), first=1_000, last=1_100)
    check_whole(models, size=2_500)


# --- what only files can suffer


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Signatures of 1,500 frames: one block and an open segment of 476 rows."""
    Signatures(tmp_path).extend("acme", frames(0, 1_500))
    return tmp_path


def overwrite(path: Path, offset: int, data: bytes) -> None:
    with path.open("r+b") as file:
        file.seek(offset)
        file.write(data)


def heal(models: Signatures) -> None:
    """Follow what is not stored, as the follower does."""
    while (size := models.followed("acme")) < 1_500:
        models.extend("acme", frames(size, min(size + 128, 1_500)))
    check_whole(models, size=1_500)


@pytest.mark.parametrize("cut", [1, ROW.itemsize - 1, ROW.itemsize, ROW.itemsize * 475 + 1, ROW.itemsize * 476])
def test_rows_that_were_cut_short_are_followed_again(root: Path, cut: int) -> None:
    path = root / "acme/open"
    os.truncate(path, path.stat().st_size - cut)
    models = Signatures(root)
    assert models.followed("acme") == 1_500 - -(-cut // ROW.itemsize)
    heal(models)


@pytest.mark.parametrize("row", [0, 1, 475])
def test_a_flipped_bit_in_a_row_ends_the_rows_that_count(root: Path, row: int) -> None:
    overwrite(root / "acme/open", row * ROW.itemsize + 77, b"\xff\xfe")
    models = Signatures(root)
    assert models.followed("acme") == FRAMES + row
    assert set(range(FRAMES + row, 1_500)) <= set(found(models, ABSENT, last=1_499))
    heal(models)


def test_a_flipped_bit_in_a_block_hides_no_frame(root: Path) -> None:
    row = int(positions_of(np.array([EVERYWHERE], np.uint64))[0])
    overwrite(root / "acme/sealed", row * FRAMES // 8, bytes(FRAMES // 8))
    models = Signatures(root)
    assert not models.matches("acme", frame(5))
    assert found(models, EVERYWHERE, last=1_499) == list(range(1_500))[::-1]
    assert models.followed("acme") == 0, "what is damaged is followed again once it was noticed"
    heal(models)
    heal(Signatures(root))


@pytest.mark.parametrize("size", [0, 5, BLOCK.itemsize - 1])
def test_a_block_that_was_cut_short_is_followed_again(root: Path, size: int) -> None:
    os.truncate(root / "acme/sealed", size)
    models = Signatures(root)
    assert found(models, EVERYWHERE, last=1_499) == list(range(1_500))[::-1]
    heal(models)


@pytest.mark.parametrize("lost", [["open"], ["sealed"], ["open", "sealed"]])
def test_lost_files_are_followed_again(root: Path, lost: list[str]) -> None:
    models = Signatures(root)
    check_whole(models, size=1_500)
    for name in lost:
        (root / "acme" / name).unlink()
    assert models.followed("acme") == (1_024 if lost == ["open"] else 0)
    assert found(models, EVERYWHERE, last=1_499) == list(range(1_500))[::-1]
    heal(models)


def test_garbage_is_no_frame(root: Path) -> None:
    for name in ("open", "sealed"):
        (root / "acme" / name).write_bytes(os.urandom(3 * BLOCK.itemsize + 11))
    models = Signatures(root)
    assert models.followed("acme") == 0
    heal(models)


def test_terms_of_another_format_are_no_frames(root: Path) -> None:
    rows = np.fromfile(root / "acme/open", ROW)
    rows["checksum"] ^= 1
    rows.tofile(root / "acme/open")
    assert Signatures(root).followed("acme") == FRAMES


@pytest.mark.parametrize("is_block_whole", [True, False])
def test_a_crash_while_sealing_loses_nothing(tmp_path: Path, is_block_whole: bool) -> None:
    Signatures(tmp_path).extend("acme", frames(0, 1_023))
    rows = np.append(np.fromfile(tmp_path / "acme/open", ROW), rows_of(frames(1_023, 1_024)))
    rows.tofile(tmp_path / "acme/open")
    block = block_of(rows).tobytes()
    (tmp_path / "acme/sealed").write_bytes(block if is_block_whole else block[: len(block) // 2])
    models = Signatures(tmp_path)
    check_whole(models, size=1_024)
    models.extend("acme", frames(1_024, 1_030))
    check_whole(Signatures(tmp_path), size=1_030)


def test_a_process_that_only_reads_sees_what_another_one_stores(tmp_path: Path) -> None:
    reader, writer = Signatures(tmp_path), Signatures(tmp_path)
    size = 0
    for step in (1, 3, 1_019, 1, 1, 500):
        writer.extend("acme", frames(size, size + step))
        size += step
        check_whole(reader, size=size)
    writer.clear("acme")
    assert reader.followed("acme") == 0


def test_writers_that_take_turns_continue_one_another(tmp_path: Path, rng: random.Random) -> None:
    writers, size = [Signatures(tmp_path), Signatures(tmp_path)], 0
    while size < 1_300:
        step = rng.choice((1, 2, 60, 300))
        rng.choice(writers).extend("acme", frames(size, size + step))
        size += step
    for models in (*writers, Signatures(tmp_path)):
        check_whole(models, size=size)


@pytest.mark.parametrize("harm", ["cut", "flip", "lose", "append"])
def test_what_happens_to_rows_that_a_writer_still_knows_is_noticed(tmp_path: Path, harm: str) -> None:
    models, path = Signatures(tmp_path), tmp_path / "acme/open"
    models.extend("acme", frames(0, 40))
    models.extend("acme", frames(40, 60))
    if harm == "cut":
        os.truncate(path, path.stat().st_size - 1)
    elif harm == "flip":
        overwrite(path, 50 * ROW.itemsize, b"\xff\xfe")
        os.utime(path, ns=(0, 0))
    elif harm == "lose":
        path.unlink()
    else:
        path.write_bytes(path.read_bytes() + b"garbage")
    assert models.followed("acme") == {"cut": 59, "flip": 50, "lose": 0, "append": 60}[harm]
    heal(models)
    heal(Signatures(tmp_path))


def test_a_segment_is_not_sealed_over_what_another_process_wrote(tmp_path: Path) -> None:
    models, files = Signatures(tmp_path), ViewFiles(tmp_path / "acme")
    models.extend("acme", frames(0, 1_023))
    files.append_rows(rows_of(frames(1_023, 1_024)))
    with pytest.raises(ConflictError, match="another process changed it"):
        files.seal(rows_of(frames(0, 1_023)))
    check_whole(models, size=1_024)


def test_blocks_and_rows_answer_what_a_plain_scan_of_all_rows_finds(
    tmp_path: Path, rng: random.Random, count: Callable[..., int]
) -> None:
    made = [
        Frame(number, np.array([rng.randrange(40) for _ in range(rng.randrange(3))], np.uint64), number, number + 5)
        for number in range(2 * FRAMES + 100)
    ]
    rows, models = rows_of(made), Signatures(tmp_path)
    models.extend("acme", made)
    for _ in range(count(bounded=25, soak=2_000)):
        terms = rng.sample(range(42), rng.randrange(3))
        positions = positions_of(np.array(terms, np.uint64))
        is_held = [bool((row["bits"][positions >> 3] >> (positions & 7) & 1).all()) for row in rows]
        first, last = sorted(rng.choices(range(len(made)), k=2))
        since, until = rng.choice((None, first + 3)), rng.choice((None, last - 3))
        expected = [
            number
            for number in range(first, last + 1)
            if is_held[number] and (since is None or number + 5 >= since) and (until is None or number < until)
        ]
        options = {"first": first, "last": last, "since": since, "until": until}
        assert found(models, *terms, newest_first=False, **options) == expected
        assert found(models, *terms, **options) == expected[::-1]


@given(st.lists(st.integers(0, 5), max_size=30))
def test_rows_that_grow_are_those_that_were_put_together(steps: list[int]) -> None:
    rows, seen, size = rows_of([]), [], 0
    for step in steps:
        rows = grown(rows, rows_of(frames(size, size + step)))
        size += step
        seen.append((rows, size))
    for earlier, length in seen:
        assert earlier.tobytes() == rows_of(frames(0, length)).tobytes()


def test_many_small_logs_cost_no_files(tmp_path: Path) -> None:
    models = Signatures(tmp_path)
    assert [models.followed(f"tenant-{number}") for number in range(5_000)] == [0] * 5_000
    models.extend("tenant-1", [])
    assert list(tmp_path.iterdir()) == []


def test_views_that_are_let_go_are_read_again(tmp_path: Path) -> None:
    models = Signatures(tmp_path)
    tenants = [f"tenant-{number}" for number in range(20)]
    for tenant in tenants:
        models.extend(tenant, frames(0, 1_000))
    assert [models.followed(tenant) for tenant in tenants] == [1_000] * 20


def test_a_disk_that_takes_nothing_is_said_so(tmp_path: Path) -> None:
    (tmp_path / "acme").write_bytes(b"in the way")
    with pytest.raises(UnavailableError, match="could not read the view of acme: Not a directory"):
        Signatures(tmp_path).extend("acme", frames(0, 1))


def test_a_block_holds_the_rows_that_it_was_made_of(rng: random.Random) -> None:
    rows = rows_of(frames(0, FRAMES))
    rows["bits"] = np.frombuffer(rng.randbytes(FRAMES * BITS // 8), np.uint8).reshape(FRAMES, -1)
    made = rows_in(block_of(rows))
    assert (made["bits"] == rows["bits"]).all() and (made["time_max"] == rows["time_max"]).all()


@given(st.lists(st.integers(0, 2**64 - 1), max_size=50))
def test_every_term_of_a_frame_is_found(terms: list[int]) -> None:
    row = rows_of([Frame(0, np.array(terms, np.uint64), 0, 0)])
    bits = np.unpackbits(row["bits"][0], bitorder="little")
    assert bits[positions_of(np.array(terms, np.uint64))].all()
    assert bits.sum() <= 6 * len(terms)
