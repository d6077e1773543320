"""Parsers of what others wrote: any bytes are read or refused, and what is read is what was written."""

import json
import zlib
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from atp.errors import AtpError, TamperedError
from atp.verify.crc import locate_flipped_bit
from atp.verify.entry import is_format_1, read_endings, read_heads, received_at
from atp.verify.manifest import parse_manifest
from atp.verify.options import Options
from atp.verify.packed import salvage_frames, unpack_bundle
from atp.verify.place import check_place
from atp.verify.selection import parse_proof
from atp.verify.stretch import parse_range_proof
from atp.verify.trust import parse_vkeys
from tests.verify.stored import KEY, entries, entry, event, instant, pack, range_files, write_file

BUNDLE = pack(entries(256))
RANGE = range_files(entries(300), 10, 200)

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@given(st.binary(min_size=1, max_size=3_000), st.data())
def test_a_checksum_tells_which_bit_was_flipped(data: bytes, draw: st.DataObject) -> None:
    bit = draw.draw(st.integers(0, len(data) * 8 - 1))
    flipped = bytearray(data)
    flipped[bit // 8] ^= 1 << bit % 8
    assert locate_flipped_bit(bytes(flipped), crc=zlib.crc32(data)) == (bit // 8, 1 << bit % 8)


@given(st.binary(max_size=3_000))
def test_bytes_with_their_checksum_have_no_flipped_bit(data: bytes) -> None:
    assert locate_flipped_bit(data, crc=zlib.crc32(data)) is None


@given(st.binary(max_size=300) | st.integers(0, len(BUNDLE)).map(lambda cut: BUNDLE[:cut]))
@example(BUNDLE + b"\x00")
def test_any_bytes_are_no_stored_bundle(data: bytes) -> None:
    if data == BUNDLE:
        return
    with pytest.raises(TamperedError):
        list(unpack_bundle(data))
    assert isinstance(salvage_frames(data), bytes)


@given(st.binary(max_size=300) | json_values.map(lambda value: json.dumps(value).encode()))
def test_any_bytes_are_a_manifest_or_refused(data: bytes) -> None:
    with pytest.raises(TamperedError):
        parse_manifest(data)


@given(st.sampled_from(sorted(json.loads(RANGE["bundle.json"]))), json_values)
def test_a_manifest_with_any_value_is_read_or_refused(name: str, value: object) -> None:
    try:
        manifest = parse_manifest(json.dumps(json.loads(RANGE["bundle.json"]) | {name: value}).encode())
    except TamperedError:
        return
    assert 0 <= manifest.first <= manifest.stop <= manifest.size


@given(st.binary(max_size=300), st.integers(0, len(RANGE["range.proof"])))
def test_any_bytes_are_a_range_proof_or_refused(data: bytes, cut: int) -> None:
    for text in (data, RANGE["range.proof"][:cut] + data):
        try:
            hashes = parse_range_proof(text, first=10, stop=200, size=300)
        except TamperedError:
            continue
        assert all(len(element) == 32 for element in hashes)


@given(st.binary(max_size=300) | json_values.map(lambda value: json.dumps({"index": 3, "hashes": value}).encode()))
def test_any_line_is_an_inclusion_proof_or_refused(line: bytes) -> None:
    try:
        index, hashes = parse_proof(line)
    except TamperedError:
        return
    assert index >= 0 and all(isinstance(element, bytes) for element in hashes)


@given(st.binary(max_size=300))
def test_any_bytes_are_keys_or_refused(data: bytes) -> None:
    try:
        assert parse_vkeys(data)
    except AtpError as error:
        assert str(error).startswith("could not ")


@given(st.lists(st.binary(max_size=100) | st.integers(0, 10).map(entry), max_size=8))
def test_any_bytes_are_an_entry_or_unread(stored: list[bytes]) -> None:
    heads = read_heads(stored, first_index=5)
    ours = {entry(number) for number in range(11)}
    assert heads.unread == tuple(index for index, one in enumerate(stored, 5) if one not in ours)
    assert read_endings(stored, first_index=5) == []


@given(json_values, st.integers(0, 10_000))
def test_an_entry_is_of_format_1_whatever_its_data_is_and_none_of_its_beginnings_is(data: object, cut: int) -> None:
    stored = entry(1, body=event(1, data=json.dumps(data, allow_nan=False)))
    assert is_format_1(stored)
    assert not is_format_1(stored[: cut % len(stored)])


@pytest.mark.parametrize("data", ["9" * 5_000, "-1e999", "[" * 200 + "]" * 200, r'"\ud83d\ude00 \u0000"'])
def test_data_that_no_program_can_hold_is_json_all_the_same(data: str) -> None:
    assert is_format_1(entry(1, body=event(1, data=data)))


@pytest.mark.parametrize("data", ["NaN", "-Infinity", "01", "'x'", '"\x01"', "1,", "{1:2}", '"\n"', "1\n", "1\r"])
def test_data_that_is_not_json_on_one_line_is_not_of_format_1(data: str) -> None:
    assert not is_format_1(entry(1, body=event(1, data=data)))


@pytest.mark.parametrize(
    "body", ["{}", '{"actor":{"id":"a"}}', '{"action":"a"}', '{"actor":1,"action":2}},"more":{"x":1}']
)
def test_an_entry_without_an_event_is_not_of_format_1(body: str) -> None:
    assert not is_format_1(entry(1, body=body))


@given(json_values)
def test_an_entry_may_end_payloads_in_no_other_form(ranges: object) -> None:
    body = json.dumps({"action": "atp.payload.erased", "data": {"ranges": ranges}}, separators=(",", ":"))
    assert read_endings([b"", entry(1, body=body)], first_index=0) == []


def test_an_entry_says_when_it_was_received() -> None:
    assert received_at(entry(80)) == instant(10)
    with pytest.raises(AtpError, match="not of format 1"):
        received_at(b"{}")


@given(data=st.binary(max_size=2_000))
def test_any_file_is_verified_or_refused(data: bytes, tmp_path_factory: pytest.TempPathFactory) -> None:
    folder: Path = tmp_path_factory.mktemp("any")
    for name in ("bundle.zip", "event.tlog-proof"):
        write_file(folder / name, (b"" if name.endswith("zip") else b"c2sp.org/tlog-proof@v1\n") + data)
        assert check_place(str(folder / name), Options(entry=b"", trusted=(KEY.public(),))).is_tampered
