"""Files are read so that what is recorded depends on their records alone: not on names, packing, order or batches."""

import gzip
import io
import json
import random
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atp.cli.batches import BATCH_BYTES, BATCH_RECORDS, Batch, Reading, bytes_in, open_file, read_batches
from atp.errors import InvalidError, MissingError
from atp.formats import load_formats

FORMATS = load_formats()


def batches_of(data: bytes, *, format_name: str = "auto") -> tuple[list[Batch], Reading]:
    reading = Reading()
    return list(read_batches(io.BytesIO(data), format_name=format_name, formats=FORMATS, reading=reading)), reading


def ids_of(data: bytes) -> list[str]:
    return [json.loads(event)["id"] for batch in batches_of(data)[0] for event in batch.events]


def event(number: int, **members: object) -> bytes:
    return json.dumps({"actor": {"id": f"user-{number}"}, "action": "door.open", **members}).encode()


def test_ids_of_the_sender_stay() -> None:
    assert ids_of(b"\n".join([event(1, id="one"), event(2, id="two")])) == ["one", "two"]


@given(st.lists(st.integers(0, 3), max_size=30), st.randoms())
def test_an_event_without_an_id_gets_the_same_one_however_the_file_is_sorted(
    numbers: list[int], rng: random.Random
) -> None:
    lines = [event(number) for number in numbers]
    ids = ids_of(b"\n".join(lines))
    assert len(set(ids)) == len(lines)
    rng.shuffle(lines)
    assert sorted(ids_of(b"\n".join(lines))) == sorted(ids)


@given(st.integers(0, 1200), st.booleans(), st.booleans())
def test_lines_and_records_are_counted(count: int, is_ended: bool, is_packed: bool) -> None:
    data = b"\n".join([event(number) for number in range(count)] + [b"{broken"]) + (b"\n" if is_ended else b"")
    batches, reading = batches_of(gzip.compress(data, 1) if is_packed else data)
    assert (reading.lines, reading.records) == (count + 1, count + 1)
    assert sum(len(batch.events) for batch in batches) == count
    assert [one.raw for batch in batches for one in batch.rejected] == [b"{broken"]
    assert all(len(batch.events) + len(batch.rejected) <= BATCH_RECORDS for batch in batches)


def test_batches_are_bounded_in_bytes() -> None:
    batches, _ = batches_of(b"\n".join(event(number, data="x" * 60_000) for number in range(100)))
    assert len(batches) > 4
    assert all(sum(map(len, batch.events)) <= BATCH_BYTES + 65_535 for batch in batches)


def test_data_is_kept_byte_for_byte() -> None:
    data = b'{"n":123456789012345678901234567890,"f":1.10,"a":1,"a":2}'
    ((batch,), _) = batches_of(b'{"id":"x","actor":{"id":"a"},"action":"b","data":%b}' % data)
    assert batch.events[0].endswith(b'"data":%b}' % data)


def test_a_broken_gzip_file_is_read_as_far_as_it_goes() -> None:
    whole = gzip.compress(b"".join(event(number) + b"\n" for number in range(20_000)), 1)
    batches, reading = batches_of(whole[: len(whole) // 2])
    sent = sum(len(batch.events) + len(batch.rejected) for batch in batches)
    assert sent == reading.records > 1_000
    assert "breaks off" in batches[-1].rejected[-1].reason


def test_an_empty_file_has_nothing() -> None:
    assert batches_of(b"") == ([], Reading())


def test_what_cannot_be_opened_is_named(tmp_path: Path) -> None:
    with pytest.raises(MissingError, match="does not exist"):
        open_file(f"{tmp_path}/nothing.json")
    with pytest.raises(InvalidError, match="is a directory"):
        open_file(str(tmp_path))


def test_a_stream_has_no_known_size(tmp_path: Path) -> None:
    path = tmp_path / "events"
    path.write_bytes(b"12345")
    with path.open("rb") as file:
        assert bytes_in([file, file]) == 10
        assert bytes_in([file, io.BytesIO(b"12")]) == 0
