"""Any tree comes back as it was, by our reader and by tar; an archive that means harm does none."""

import io
import os
import shutil
import subprocess
import tarfile
from collections.abc import Callable
from contextlib import chdir, suppress
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from atp.errors import AtpError, TamperedError
from atp.ops.backups.format.archive import END, ArchiveReader, header
from atp.ops.backups.format.checking import check_tree
from atp.ops.backups.format.contents import Entry, path_bytes, path_text
from atp.ops.backups.format.tree import Packed, pack
from atp.ops.backups.format.unpacking import unpack
from tests.ops.backups.world import nothing, portrait, small_tree

NAMES = (
    st.binary(min_size=1, max_size=60)
    .filter(lambda name: b"/" not in name and b"\0" not in name)
    .filter(lambda name: name not in (b".", b".."))
)
TREES = st.recursive(
    st.binary(max_size=3_000) | NAMES.map(lambda target: ("link", target)),
    lambda below: st.dictionaries(NAMES, below, max_size=5),
    max_leaves=12,
).filter(lambda tree: isinstance(tree, dict))


def packed(root: Path) -> tuple[bytes, list[Entry], Packed]:
    entries, found = list[Entry](), Packed()
    return b"".join(pack(root, packed=found, note=entries.append)), entries, found


def plant(tree: object, at: bytes) -> None:
    if isinstance(tree, dict):
        os.mkdir(at)
        for name, below in tree.items():
            plant(below, at + b"/" + name)
    elif isinstance(tree, tuple):
        os.symlink(tree[1], at)
    else:
        assert isinstance(tree, bytes)
        with open(at, "wb") as file:
            file.write(tree)


@given(TREES)
def test_any_tree_comes_back_as_it_was(tree: object) -> None:
    with TemporaryDirectory() as folder:
        source, into = Path(folder) / "source", Path(folder) / "into"
        plant(tree, os.fsencode(source))
        data, entries, _ = packed(source)
        into.mkdir()
        assert unpack(io.BytesIO(data), into, moved=nothing) == len(entries)
        assert portrait(into) == portrait(source)
        assert check_tree(into, entries, moved=nothing) == len(entries)


def test_all_that_is_easily_lost_comes_back(tmp_path: Path) -> None:
    source, into = small_tree(tmp_path / "source"), tmp_path / "into"
    os.setxattr(source / "zero", "user.note", b"\xff\0 any bytes")
    data, _, found = packed(source)
    into.mkdir()
    unpack(io.BytesIO(data), into, moved=nothing)
    assert portrait(into) == portrait(source)
    assert found.warnings == []
    assert os.stat(into / "holes").st_blocks * 512 < 2_000_000, "holes are holes again"
    assert os.stat(into / "big").st_ino == os.stat(into / "deep/hard").st_ino


def test_tar_restores_the_same(tmp_path: Path) -> None:
    if not shutil.which("tar"):
        pytest.skip("could not find tar (hint: apt-get install tar)")
    source, into = small_tree(tmp_path / "source"), tmp_path / "into"
    os.setxattr(source / "zero", "user.note", b"\xff\0 any bytes")
    data, _, _ = packed(source)
    into.mkdir()
    command = ["tar", "--extract", "--preserve-permissions", "--numeric-owner", "--xattrs", "--xattrs-include=*"]
    subprocess.run([*command, "-C", into], input=data, check=True, capture_output=True)
    assert portrait(into) == portrait(source)


ENTRIES = st.builds(
    Entry,
    path=st.lists(NAMES, min_size=1, max_size=5).map(lambda names: path_text(b"/".join(names))),
    kind=st.sampled_from(["file", "fifo"]),
    mode=st.integers(0, 0o7777),
    mtime_ns=st.integers(-(10**19), 10**19) | st.sampled_from([0, -1, 8**11 * 10**9 - 1, 8**11 * 10**9]),
    uid=st.integers(0, 2**32 - 2) | st.sampled_from([8**7 - 1, 8**7]),
    gid=st.integers(0, 2**32 - 2),
)


@given(ENTRIES, st.integers(0, 1 << 40), st.dictionaries(st.sampled_from(["user.a", "user.b"]), st.binary(max_size=99)))
def test_a_header_means_the_same_to_another_reader(entry: Entry, size: int, xattrs: dict[str, bytes]) -> None:
    entry = msgspec.structs.replace(entry, size_bytes=size if entry.kind == "file" else 0)
    block = header(entry, xattrs)
    with tarfile.open(fileobj=io.BytesIO(block + END), encoding="utf-8", errors="surrogateescape") as tar:
        found = tar.firstmember
    assert found is not None
    assert os.fsencode(found.name) == path_bytes(entry.path).rstrip(b"/")
    assert (found.mode, found.uid, found.gid, found.size) == (entry.mode, entry.uid, entry.gid, entry.size_bytes)
    assert abs(found.mtime - entry.mtime_ns / 1e9) < 1e-5
    told = {name.removeprefix("SCHILY.xattr."): os.fsencode(value) for name, value in found.pax_headers.items()}
    assert {name: told[name] for name in xattrs} == xattrs
    ours = next(ArchiveReader(io.BytesIO(block + bytes(1 << 16))).members())
    assert (ours.path, ours.mtime_ns, ours.size_bytes, ours.xattrs, ours.uid, ours.gid, ours.mode) == (
        path_bytes(entry.path),
        entry.mtime_ns,
        entry.size_bytes,
        xattrs,
        entry.uid,
        entry.gid,
        entry.mode,
    )


@pytest.mark.slow
def test_ten_thousand_files_come_back(tmp_path: Path, rng: Random, count: Callable[..., int]) -> None:
    source, into = tmp_path / "source", tmp_path / "into"
    for number in range(count(bounded=500, soak=10_000)):
        path = source / f"{number % 97}" / f"{number % 13}" / f"{number}-{rng.randbytes(3).hex()}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(rng.randbytes(rng.randrange(5_000)))
    data, entries, _ = packed(source)
    into.mkdir()
    assert unpack(io.BytesIO(data), into, moved=nothing) == len(entries)
    assert portrait(into) == portrait(source)


def test_a_file_that_changes_while_it_is_read_is_said_to_be_torn(tmp_path: Path) -> None:
    (tmp_path / "source").mkdir()
    path = tmp_path / "source" / "log"
    path.write_bytes(b"1" * 3_000_000)
    entries, found = list[Entry](), Packed()
    chunks = list[bytes]()
    for chunk in pack(tmp_path / "source", packed=found, note=entries.append):
        if len(chunk) > 1_000_000 and path.stat().st_size == 3_000_000:
            os.truncate(path, 1_500_000)
        chunks.append(chunk)
    (tmp_path / "into").mkdir()
    unpack(io.BytesIO(b"".join(chunks)), tmp_path / "into", moved=nothing)
    assert [entry.is_torn for entry in entries] == [False, True]
    assert found.warnings == ["log changed while it was read"]
    assert (tmp_path / "into/log").read_bytes() == b"1" * 1_500_000 + bytes(1_500_000)
    check_tree(tmp_path / "into", entries, moved=nothing)


def test_what_cannot_be_read_stops_the_backup(tmp_path: Path) -> None:
    with pytest.raises(AtpError, match="could not back up"):
        packed(tmp_path / "nowhere")
    (tmp_path / "source").mkdir()
    with chdir(tmp_path / "source"):
        for _ in range(20):
            os.mkdir("d" * 250)
            os.chdir("d" * 250)
        with pytest.raises(AtpError, match=r"could not back up .*too long"):
            packed(tmp_path / "source")


def archive(*members: tuple[str, bytes, str | bytes]) -> bytes:
    """A tar file of (name, type, link or data)."""
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w", format=tarfile.PAX_FORMAT) as tar:
        root = tarfile.TarInfo(".")
        root.type, root.mode = tarfile.DIRTYPE, 0o755
        tar.addfile(root)
        for name, kind, what in members:
            info = tarfile.TarInfo(name)
            info.type, info.mode = kind, 0o755
            data = what if isinstance(what, bytes) else b""
            info.linkname, info.size = what if isinstance(what, str) else "", len(data)
            tar.addfile(info, io.BytesIO(data))
    return made.getvalue()


REG, DIR, SYM, LNK = tarfile.REGTYPE, tarfile.DIRTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE
HOSTILE = {
    "above": [("../evil", REG, b"x")],
    "absolute": [("/evil", REG, b"x")],
    "above in the middle": [("d", DIR, ""), ("d/../../evil", REG, b"x")],
    "dot": [("./evil", REG, b"x")],
    "through a link": [("l", SYM, ".."), ("l/evil", REG, b"x")],
    "through a link to itself": [("l", SYM, "."), ("l/evil", REG, b"x")],
    "over a link": [("evil", SYM, "../outside"), ("evil", REG, b"x")],
    "twice": [("a", REG, b"x"), ("a", REG, b"y")],
    "a directory over a link": [("d", SYM, ".."), ("d", DIR, ""), ("d/evil", REG, b"x")],
    "linked outside": [("h", LNK, "../outside")],
    "linked to the root": [("h", LNK, "/etc/passwd")],
    "linked through a link": [("l", SYM, ".."), ("h", LNK, "l/outside")],
    "linked to a link": [("l", SYM, "../outside"), ("h", LNK, "l")],
    "linked to nothing": [("h", LNK, "gone")],
    "no directory": [("d/evil", REG, b"x")],
    "a block device": [("disk", tarfile.BLKTYPE, "")],
    "a character device": [("null", tarfile.CHRTYPE, "")],
    "a contiguous file": [("c", tarfile.CONTTYPE, "")],
    "a link without a target": [("l", SYM, "")],
    "a second root": [(".", DIR, "")],
}


@pytest.mark.parametrize("what", HOSTILE)
def test_an_archive_that_means_harm_does_none(tmp_path: Path, what: str) -> None:
    (tmp_path / "outside").write_text("untouched")
    (tmp_path / "into").mkdir()
    before = sorted(tmp_path.iterdir())
    with pytest.raises(TamperedError, match=r"^could not"):
        unpack(io.BytesIO(archive(*HOSTILE[what])), tmp_path / "into", moved=nothing)
    assert sorted(tmp_path.iterdir()) == before
    assert (tmp_path / "outside").read_text() == "untouched"
    assert (tmp_path / "outside").stat().st_nlink == 1


@given(st.data())
def test_bytes_that_were_changed_never_escape(data: st.DataObject) -> None:
    """Whatever is done to an archive: an error of ours or a tree, and nothing beside it."""
    tar = bytearray(archive(("d", DIR, ""), ("d/f", REG, b"x" * 700), ("l", SYM, "d"), ("ä" * 90, REG, b"long")))
    for _ in range(data.draw(st.integers(1, 4))):
        tar[data.draw(st.integers(0, len(tar) - 1))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(tar)))
    with TemporaryDirectory() as folder:
        into = Path(folder) / "into"
        into.mkdir()
        with suppress(AtpError):
            unpack(io.BytesIO(bytes(tar[:cut])), into, moved=nothing)
        assert os.listdir(folder) == ["into"]


def test_an_extended_header_that_is_huge_is_refused(tmp_path: Path) -> None:
    info = tarfile.TarInfo("x")
    info.type, info.size = tarfile.XHDTYPE, 8**11 - 1
    with pytest.raises(TamperedError, match="extended header has"):
        unpack(io.BytesIO(info.tobuf(tarfile.USTAR_FORMAT) + bytes(1024)), tmp_path, moved=nothing)
