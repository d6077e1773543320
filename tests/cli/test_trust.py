"""A log that was forked, cut or signed by somebody else is noticed by whoever saw it before."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from atp.client import Client
from atp.errors import TamperedError
from atp.merkle.keys import SigningKey
from atp.ops.record.watch import Watched, compare
from atp.verify.remember import Memory
from tests.cli.scripted import Asked, Scripted, Told, scripted
from tests.verify.stored import KEY, entries, note, tiles_of


class Served:
    """A log that a server shows: any list of entries at any time, under any key."""

    def __init__(self, stored: Sequence[bytes], *, key: SigningKey = KEY) -> None:
        self.show(stored, key=key)

    def show(self, stored: Sequence[bytes], *, key: SigningKey = KEY, origin: str = KEY.name) -> None:
        self.note = note(stored, key=key, origin=origin)
        self.vkey = key.public().vkey.encode() + b"\n"
        # A log serves the tiles of every size that it had.
        self.files = {
            f"/log/acme/{tile.path}": data for size in range(len(stored) + 1) for tile, data in _edge(stored, size)
        }

    def __call__(self, asked: Asked, _: int) -> Told:
        files = {"/log/acme/checkpoint": self.note, "/log/acme/vkey": self.vkey, **self.files}
        return Told(200, files[asked.path]) if asked.path in files else Told(404)


def _edge(stored: Sequence[bytes], size: int) -> list[tuple[object, bytes]]:
    return list(tiles_of(stored[:size]).items()) if size in (300, 400, 520, len(stored)) else []


def look(server: Scripted, memory: Memory) -> tuple[int | None, str]:
    """The size that was remembered and the remark about the newest checkpoint."""
    with Client(server.url, tries=1) as client:
        log = Watched(client, "acme")
        seen, remark = compare(log, log.checkpoint(), memory)
    return seen.remembered, remark


def forked(size: int) -> list[bytes]:
    return [*entries(size)[:7], b"another", *entries(size)[8:]]


def test_a_log_that_grows_is_followed(tmp_path: Path) -> None:
    served, memory = Served(entries(300)), Memory(tmp_path)
    with scripted(served) as server:
        assert look(server, memory) == (None, "")
        assert look(server, memory) == (300, "")
        served.show(entries(520))
        assert look(server, memory) == (300, "")
        assert look(server, memory) == (520, "")


@pytest.mark.parametrize("size", [300, 400])
def test_a_forked_log_is_noticed_and_the_evidence_kept(tmp_path: Path, size: int) -> None:
    served, memory = Served(entries(300)), Memory(tmp_path)
    with scripted(served) as server:
        look(server, memory)
        served.show(forked(size))
        with pytest.raises(TamperedError, match="forked or cut"):
            look(server, memory)
    assert sorted(path.read_bytes() for path in (tmp_path / "forks").iterdir()) == sorted(
        [note(entries(300)), note(forked(size))]
    )
    assert b"\n300\n" in (memory.remembered(KEY.name) or b"")


def test_a_cut_log_is_noticed(tmp_path: Path) -> None:
    served, memory = Served(entries(400)), Memory(tmp_path)
    with scripted(served) as server:
        look(server, memory)
        served.show(entries(300))
        with pytest.raises(TamperedError, match="does not have all of the 400 entries"):
            look(server, memory)


def test_an_older_checkpoint_of_the_same_log_is_none_the_worse(tmp_path: Path) -> None:
    served, memory = Served(entries(520)), Memory(tmp_path)
    with scripted(served) as server, Client(server.url, tries=1) as client:
        look(server, memory)
        seen, _ = compare(Watched(client, "acme"), note(entries(300)), memory)
    assert (seen.size, seen.remembered) == (300, 520)
    assert look_size(memory) == 520


def look_size(memory: Memory) -> int:
    return int((memory.remembered(KEY.name) or b"\n0").split(b"\n")[1])


def test_a_checkpoint_of_another_signer_is_refused(tmp_path: Path) -> None:
    served = Served(entries(300))
    served.note = note(entries(300), key=SigningKey.from_seed(bytes(32), name=KEY.name))
    with scripted(served) as server, pytest.raises(TamperedError):
        look(server, Memory(tmp_path))


def test_a_log_under_a_new_origin_is_remarked_until_it_was_verified(tmp_path: Path) -> None:
    served, memory = Served(entries(300)), Memory(tmp_path)
    heir = SigningKey.from_seed(bytes(32), name=f"{KEY.name}/2")
    with scripted(served) as server:
        look(server, memory)
        served.show(entries(400), key=heir, origin=heir.name)
        for _ in range(2):
            remembered, remark = look(server, memory)
            assert remembered is None and f"goes on as {heir.name}" in remark and f"lost of {KEY.name}" in remark
        memory.remember(served.note)
        assert look(server, memory) == (400, "")


def test_a_new_key_is_remarked(tmp_path: Path) -> None:
    served, memory = Served(entries(300)), Memory(tmp_path)
    with scripted(served) as server:
        look(server, memory)
        served.show(entries(520), key=SigningKey.from_seed(bytes(32), name=KEY.name))
        assert look(server, memory) == (
            300,
            f"the key of {KEY.name} is another one than before: ask its operators whether they changed it",
        )


def test_a_tile_of_a_wrong_length_is_no_tile(tmp_path: Path) -> None:
    served, memory = Served(entries(300)), Memory(tmp_path)
    with scripted(served) as server:
        look(server, memory)
        served.show(entries(520))
        served.files = {path: data[:-1] for path, data in served.files.items()}
        with pytest.raises(TamperedError):
            look(server, memory)


def test_a_memory_that_cannot_be_written_is_no_reason_to_fail(tmp_path: Path) -> None:
    (tmp_path / "checkpoints").write_text("in the way")
    with scripted(Served(entries(300))) as server:
        remembered, remark = look(server, Memory(tmp_path))
    assert remembered is None
    assert "could not remember" in remark
