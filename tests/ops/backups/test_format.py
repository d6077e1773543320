"""The two manifests and the sealed stream: what is written is read, and what is damaged is said to be."""

import io
import os
import signal
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import cycle
from pathlib import Path

import msgspec
import pyrage
import pytest
from hypothesis import given
from hypothesis import strategies as st

from atp.errors import AtpError, InvalidError, MalformedError, TamperedError, UnauthorizedError, UnavailableError
from atp.ops.backups.format import contents
from atp.ops.backups.format.beside import beside
from atp.ops.backups.format.contents import ContentsReader, Entry, Head, Tail, encode_line, path_bytes, path_text
from atp.ops.backups.format.manifest import Manifest, Part, encode_manifest, how_to_restore, parse_manifest
from atp.ops.backups.format.ring import Reading
from atp.ops.backups.format.seal import draw_identity, parse_identities, parse_recipients, seal, unseal, unsealed
from atp.ports.repository import Sink
from tests.ops.backups.world import IDENTITIES, PRIVATE, RECIPIENT

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

NOW = datetime(2026, 1, 1, tzinfo=UTC)
BACKUP = "20260101T000000Z-0123456789ab"
MANIFEST = Manifest(
    format="atp.backup/1",
    backup=BACKUP,
    dataset="letters",
    kind="files",
    begun_at=NOW,
    ended_at=NOW,
    consistent_at=NOW,
    data=(Part("data.00000", 1, "0" * 64),),
    contents=(Part("contents.00000", 1, "0" * 64),),
    recipients=(RECIPIENT,),
    tools={},
    how_to_restore=how_to_restore("files"),
)


class Gathered:
    def __init__(self) -> None:
        self.data = b""

    def write(self, data: bytes, /) -> None:
        self.data += data


def sealed(data: bytes) -> bytes:
    into = Gathered()
    seal([data[:10], b"", data[10:]], recipients=parse_recipients([RECIPIENT]), into=into)
    return into.data


def opened(data: bytes, *, private: str = PRIVATE) -> bytes:
    chunks = [data[at : at + 1000] for at in range(0, len(data), 1000)]
    with unsealed(iter(chunks), identities=parse_identities(private)) as plain:
        read = b""
        while chunk := plain.read(1 << 20):
            read += chunk
        return read


@given(st.binary(max_size=200_000))
def test_what_is_sealed_is_opened(data: bytes) -> None:
    assert opened(sealed(data)) == data


@given(st.data())
def test_a_stream_that_is_cut_or_changed_is_never_accepted(data: st.DataObject) -> None:
    whole = sealed(b"letters " * 20_000)
    at = data.draw(st.integers(0, 10_000)) * (len(whole) - 1) // 10_000  # no two are of the same length
    if data.draw(st.booleans()):
        damaged = whole[:at]
    else:
        damaged = whole[:at] + bytes([whole[at] ^ data.draw(st.integers(1, 255))]) + whole[at + 1 :]
    with pytest.raises((TamperedError, UnauthorizedError), match=r"^could not decrypt"):
        opened(damaged)


def test_a_stream_that_is_cut_at_any_byte_is_never_accepted() -> None:
    whole = sealed(b"letters")
    for length in range(len(whole)):
        with pytest.raises(TamperedError, match=r"^could not decrypt"):
            unseal([whole[:length]], identities=IDENTITIES, into=io.BytesIO())


def test_a_key_that_does_not_fit_is_said_to_be_that() -> None:
    with pytest.raises(UnauthorizedError, match="none of the keys"):
        opened(sealed(b"x"), private=draw_identity()[0])


def test_what_the_source_or_the_sink_raises_goes_through() -> None:
    def failing() -> Iterator[bytes]:
        yield b"x"
        raise TamperedError("could not read the source")

    class Full:
        def write(self, data: bytes, /) -> None:
            raise KeyboardInterrupt

    with pytest.raises(TamperedError, match="the source"):
        seal(failing(), recipients=parse_recipients([RECIPIENT]), into=Gathered())
    with pytest.raises(KeyboardInterrupt):
        seal([b"x"], recipients=parse_recipients([RECIPIENT]), into=Full())
    with pytest.raises(TamperedError, match="the source"), unsealed(failing(), identities=IDENTITIES) as plain:
        plain.read(1)


def test_whoever_stops_reading_gets_his_own_error() -> None:
    whole = sealed(bytes(range(256)) * 40_000)
    with pytest.raises(ZeroDivisionError), unsealed(iter([whole]), identities=IDENTITIES) as plain:
        plain.read(1)
        raise ZeroDivisionError
    with (
        pytest.raises(TamperedError, match="holds more"),
        unsealed(iter([whole]), identities=IDENTITIES) as plain,
    ):
        plain.read(1)


def test_what_stands_behind_the_end_is_never_passed_over() -> None:
    for behind in (b"x", sealed(b"more")):
        with pytest.raises(TamperedError, match=r"behind its end|could not decrypt"):
            opened(sealed(b"letters") + behind)
    twice = zstd.compress(b"one") + zstd.compress(b"two")
    made = pyrage.encrypt(twice, parse_recipients([RECIPIENT]))
    with pytest.raises(TamperedError, match="behind its end"):
        opened(made)


def children() -> set[int]:
    """The processes that this one started."""
    tasks = Path("/proc/self/task").iterdir()
    return {int(pid) for task in tasks for pid in (task / "children").read_text().split()}


def test_a_stream_is_drawn_a_ring_ahead_and_no_further_when_nobody_wants_it() -> None:
    drawn = list[int]()

    def chunks() -> Iterator[bytes]:
        for number in range(10_000):
            drawn.append(number)
            yield bytes(1 << 16)

    before = children()
    with beside(copy, chunks(), what="copy") as worked:
        assert worked.read(3) == bytes(3)
    assert 1 <= len(drawn) < 300, "two rings of 8 MiB, in chunks of 64 KiB"
    assert children() <= before, "none is left"


def copy(source: Reading, target: Sink) -> None:
    while data := source.read_some():
        target.write(data)


def test_a_process_that_is_killed_or_fails_is_told_where_the_stream_ends() -> None:
    def killed(source: Reading, target: Sink) -> None:
        target.write(source.read(1 << 20))
        os.kill(os.getpid(), signal.SIGKILL)

    def failing(source: Reading, target: Sink) -> None:
        raise ZeroDivisionError("by zero")

    xs = b"x" * (1 << 20)
    with pytest.raises(UnavailableError, match="copy: it was killed"), beside(killed, [xs], what="copy") as worked:
        assert worked.read(1 << 20) == xs
        worked.read(1)
    with pytest.raises(UnavailableError, match="copy: ZeroDivisionError"), beside(failing, [], what="copy") as worked:
        worked.read(1)


@given(st.lists(st.integers(0, 600_000), max_size=12), st.lists(st.integers(1, 300_000), min_size=1, max_size=5))
def test_whatever_the_sizes_of_chunks_and_reads_the_same_bytes_come_out(sizes: list[int], reads: list[int]) -> None:
    letters = bytes(range(251)) * 2_400
    given_ = [letters[number : number + size] for number, size in enumerate(sizes)]
    out, turn = bytearray(), cycle(reads)
    with beside(copy, given_, what="copy") as worked:
        while data := worked.read(next(turn)):
            out += data
    assert bytes(out) == b"".join(given_)


def test_two_streams_at_once_end_by_themselves() -> None:
    with beside(copy, [b"one"], what="copy") as one, beside(copy, [b"two"], what="copy") as two:
        assert one.read(10) == b"one"
        assert two.read(10) == b"two"


@pytest.mark.parametrize("text", ["", "age1xyz", "AGE-SECRET-KEY-1", "ssh-ed25519 x"])
def test_what_is_no_recipient_is_refused(text: str) -> None:
    with pytest.raises(InvalidError):
        parse_recipients([text] if text else [])


@pytest.mark.parametrize(
    "text",
    [
        "",
        "# only a comment\n",
        "age1xyz",
        pytest.param(PRIVATE[:-1], id="cut short"),
        "-----BEGIN OPENSSH PRIVATE KEY",
    ],
)
def test_what_is_no_identity_is_refused_and_never_shown(text: str) -> None:
    with pytest.raises(MalformedError) as raised:
        parse_identities(text)
    assert PRIVATE[20:40] not in str(raised.value)


@given(st.binary(max_size=200))
def test_any_path_is_one_text_and_back(path: bytes) -> None:
    assert path_bytes(path_text(path)) == path
    msgspec.json.encode(path_text(path))


def lines(*, count: int, said: int | None = None) -> bytes:
    head = Head(format=contents.FORMAT, backup=BACKUP, dataset="letters", source="/srv", consistent_at=NOW)
    entries = [
        Entry(path=f"f{n}", kind="file", mode=0o644, mtime_ns=n, uid=0, gid=0, size_bytes=n) for n in range(count)
    ]
    tail = Tail(entries=count if said is None else said, total_bytes=sum(range(count)))
    return b"".join(map(encode_line, [head, *entries, tail]))


def test_a_list_of_contents_is_read_back() -> None:
    reader = ContentsReader(io.BytesIO(lines(count=5)))
    assert (reader.head.backup, [entry.path for entry in reader.entries()]) == (BACKUP, [f"f{n}" for n in range(5)])
    assert reader.tail == Tail(entries=5, total_bytes=10)


@given(st.integers(0, len(lines(count=5)) - 1))
def test_a_list_that_is_cut_is_never_accepted(at: int) -> None:
    with pytest.raises(AtpError, match="could not read the list"):
        list(ContentsReader(io.BytesIO(lines(count=5)[:at])).entries())


def test_a_list_that_counts_wrong_is_not_accepted() -> None:
    with pytest.raises(AtpError, match="wrong"):
        list(ContentsReader(io.BytesIO(lines(count=5, said=6))).entries())


def test_a_manifest_is_read_back_and_is_plain_json() -> None:
    data = encode_manifest(MANIFEST)
    assert parse_manifest(data, dataset="letters", backup=BACKUP) == MANIFEST
    assert b'"how_to_restore": "cat data.* | age --decrypt' in data


def test_the_manifest_of_another_backup_is_refused() -> None:
    data = encode_manifest(MANIFEST)
    for dataset, backup in (("other", BACKUP), ("letters", BACKUP[:-1] + "c")):
        with pytest.raises(MalformedError):
            parse_manifest(data, dataset=dataset, backup=backup)


@pytest.mark.parametrize(
    "change",
    [
        {"data": (Part("data.00001", 1, "0" * 64),)},
        {"data": ()},
        {"data": (Part("../evil", 1, "0" * 64),)},
        {"data": (Part("data.00000", -1, "0" * 64),)},
        {"backup": "../../evil"},
        {"format": "atp.backup/2"},
        {"kind": "postgres"},
    ],
)
def test_a_manifest_that_cannot_be_is_refused(change: dict[str, object]) -> None:
    data = encode_manifest(msgspec.structs.replace(MANIFEST, **change))
    with pytest.raises(MalformedError):
        parse_manifest(data, dataset="letters", backup=str(change.get("backup", BACKUP)))
