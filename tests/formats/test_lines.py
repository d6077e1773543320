"""Chunks -> lines: any cut, plain or packed, blank lines, limits."""

import gzip
import io

from hypothesis import given
from hypothesis import strategies as st

from atp import limits
from atp.formats.lines import LINE_BYTES_MAX, read_lines


def cut(content: bytes, size: int) -> list[bytes]:
    return [content[at : at + size] for at in range(0, len(content), size)]


@given(st.lists(st.binary(max_size=20).filter(lambda line: b"\n" not in line)), st.integers(1, 9), st.booleans())
def test_lines_do_not_depend_on_how_the_bytes_are_cut_or_packed(texts: list[bytes], size: int, is_packed: bool) -> None:
    content = b"#\n" + b"\n".join(texts)  # so that it neither begins like gzip nor with a byte order mark
    expected = [
        (number, line.removesuffix(b"\r"))
        for number, line in enumerate(content.split(b"\n"), start=1)
        if line.removesuffix(b"\r").strip(b" \t\r\n\x0b\x0c")
    ]
    packed = gzip.compress(content) if is_packed else content
    assert [(line.number, line.raw) for line in read_lines(cut(packed, size))] == expected


def test_gzip_members_may_follow_each_other() -> None:
    content = gzip.compress(b"a\nb") + gzip.compress(b"c\nd\n")
    for size in (1, 7, len(content)):
        assert [line.raw for line in read_lines(cut(content, size))] == [b"a", b"bc", b"d"]


def test_what_packs_well_is_unpacked_to_the_end() -> None:
    content = b"\n".join([b"0" * 1_000_003] * 9)
    assert [len(line.raw) for line in read_lines([gzip.compress(content)])] == [1_000_003] * 9


def test_a_gzip_stream_that_breaks_off_keeps_its_lines_and_says_so() -> None:
    whole = gzip.compress(b"\n".join(b"line %d" % number for number in range(5_000)), compresslevel=1)
    for broken in (whole[: len(whole) // 2], whole[: len(whole) // 2] + b"\xff" * 40):
        *lines, last = read_lines([broken])
        assert lines[0].raw == b"line 0" and len(lines) > 1_000
        assert "gzip stream breaks off" in (last.reason or "")


def test_a_byte_order_mark_is_not_part_of_the_first_line() -> None:
    assert [line.raw for line in read_lines([b"\xef\xbb\xbf{}\r\n{}\r\n"])] == [b"{}", b"{}"]


def test_a_line_over_the_limit_is_cut_and_told_and_the_next_is_read() -> None:
    long = io.BytesIO(b"x" * (LINE_BYTES_MAX + 5) + b"\nnext")
    first, second = read_lines(iter(lambda: long.read(1 << 22), b""))
    assert len(first.raw) == limits.ENTRY_BYTES_MAX and "longer than" in (first.reason or "")
    assert second.raw == b"next" and second.number == 2
