"""The files of a bundle, read in blocks of whole lines, from a folder and from a .zip."""

import random
import zipfile
from pathlib import Path

import pytest

from atp.errors import MissingError
from atp.verify.container import open_container
from tests.verify.stored import write_bundle

MEBIBYTE = 1 << 20


@pytest.mark.parametrize("name", ["bundle", "bundle.zip"])
@pytest.mark.parametrize("end", [b"\n", b"", b"not ended"])
def test_blocks_are_the_file_cut_between_lines(name: str, end: bytes, tmp_path: Path, rng: random.Random) -> None:
    lines = [rng.randbytes(rng.randrange(65_536)).replace(b"\n", b" ") for _ in range(100)]
    data = b"\n".join(lines) + end
    with open_container(write_bundle(tmp_path / name, {"lines": data})) as container:
        blocks = [block() for block in container.blocks("lines")]
    assert b"".join(blocks) == data
    assert all(block.endswith(b"\n") for block in blocks[:-1])
    assert len(blocks) > 2 and max(map(len, blocks)) < 2 * MEBIBYTE


@pytest.mark.parametrize("name", ["bundle", "bundle.zip"])
def test_a_line_that_never_ends_is_not_read_whole(name: str, tmp_path: Path) -> None:
    with open_container(write_bundle(tmp_path / name, {"lines": bytes(10 * MEBIBYTE)})) as container:
        assert max(len(block()) for block in container.blocks("lines")) < 2 * MEBIBYTE


@pytest.mark.parametrize("name", ["bundle", "bundle.zip"])
def test_a_file_that_is_empty_has_no_blocks_and_one_that_is_missing_is_said(name: str, tmp_path: Path) -> None:
    with open_container(write_bundle(tmp_path / name, {"lines": b""})) as container:
        assert list(container.blocks("lines")) == []
        with pytest.raises(MissingError):
            list(container.blocks("other"))


def test_a_zip_holds_what_was_written(tmp_path: Path) -> None:
    path = write_bundle(tmp_path / "bundle.zip", {"a": b"1\n2\n", "b": b""})
    assert zipfile.is_zipfile(path)
    with open_container(path) as container:
        assert container.names() == ["a", "b"] and list(container.lines("a")) == [b"1", b"2"]
