"""The log as C2SP tlog-tiles: a foreign reader finds every byte where the specification says."""

import gzip

import httpx
import pytest

from atp.merkle.checkpoints import open_checkpoint
from atp.merkle.entries import decode_entries
from atp.merkle.hashes import complete_root, join_roots, leaf_hashes
from atp.merkle.keys import parse_vkey
from tests.api.calling import event, problem, record
from tests.web.serving import Served

_SIZE = 300


@pytest.fixture(scope="module")
def log(served: Served, root: httpx.Client) -> str:
    """The prefix of a log with one full tile and a partial one."""
    name = served.tenant("tiled")
    record(root, name, *(event(number) for number in range(_SIZE)))
    return f"/log/{name}"


def test_tiles_bundles_and_checkpoint_are_one_tree(root: httpx.Client, log: str) -> None:
    vkey = parse_vkey(root.get(f"{log}/vkey").text.strip())
    checkpoint = open_checkpoint(root.get(f"{log}/checkpoint").content, origin=vkey.name, log_keys=[vkey]).checkpoint
    assert checkpoint.size == _SIZE
    full, rest = (root.get(f"{log}/tile/0/{name}").content for name in ("000", "001.p/44"))
    bundles = [decode_entries(root.get(f"{log}/tile/entries/{name}").content) for name in ("000", "001.p/44")]
    assert [b"".join(leaf_hashes(entries)) for entries in bundles] == [full, rest]
    assert root.get(f"{log}/tile/1/000.p/1").content == complete_root(full)
    parts = [full, rest[: 32 * 32], rest[32 * 32 : 40 * 32], rest[40 * 32 :]]  # 300 = 256 + 32 + 8 + 4
    assert join_roots([complete_root(part) for part in parts]) == checkpoint.root


@pytest.mark.parametrize(("path", "whole", "width"), [("000.p/1", "000", 1), ("000.p/255", "000", 255)])
def test_a_full_tile_is_served_cut_to_every_width(
    root: httpx.Client, log: str, path: str, whole: str, width: int
) -> None:
    tile = root.get(f"{log}/tile/0/{whole}").content
    assert root.get(f"{log}/tile/0/{path}").content == tile[: width * 32]
    entries = decode_entries(root.get(f"{log}/tile/entries/{whole}").content)
    assert decode_entries(root.get(f"{log}/tile/entries/{path}").content) == entries[:width]


@pytest.mark.parametrize(
    "path",
    [
        "0/001",
        "0/001.p/45",
        "0/002",
        "0/000.p/0",
        "0/000.p/256",
        "0/000.p/01",
        "0/0",
        "0/0000",
        "0/x000/000",
        "0/x001/000",
        "00/000",
        "64/000",
        "-1/000",
        "1/000",
        "1/000.p/2",
        "2/000.p/1",
        "63/000.p/1",
        "entries/001",
        "entries/001.p/45",
        "entries/xxx",
        "entries",
        "entries/",
        "0/" + "x999/" * 7 + "999",
        "0/000/",
        "../checkpoint",
    ],
)
def test_a_path_that_names_nothing_published_is_missing(root: httpx.Client, log: str, path: str) -> None:
    problem(root.get(f"{log}/tile/{path.replace('../', '..%2F')}"), 404, "missing")


def test_what_never_changes_may_be_kept_and_the_checkpoint_soon_goes_stale(root: httpx.Client, log: str) -> None:
    for path in ("tile/0/000", "tile/0/001.p/44", "tile/entries/000", "tile/entries/001.p/3"):
        answer = root.get(f"{log}/{path}")
        assert answer.headers["content-type"] == "application/octet-stream"
        assert answer.headers["cache-control"] == "private, max-age=31536000, immutable"
    checkpoint = root.get(f"{log}/checkpoint")
    assert checkpoint.headers["content-type"] == "text/plain; charset=utf-8"
    assert checkpoint.headers["cache-control"] == "private, max-age=2"
    assert root.get(f"{log}/tile/0/005").headers["cache-control"] == "no-store"


@pytest.mark.parametrize(
    ("asked", "is_packed"),
    [("gzip", True), ("br, GZIP;q=0.5", True), ("gzip, identity", True), ("identity", False), ("gzip;q=0", False)],
)
def test_bundles_are_packed_for_those_who_ask(root: httpx.Client, log: str, asked: str, is_packed: bool) -> None:
    plain = root.get(f"{log}/tile/entries/000", headers={"Accept-Encoding": "identity"}).content
    with root.stream("GET", f"{log}/tile/entries/000", headers={"Accept-Encoding": asked}) as answer:
        sent = b"".join(answer.iter_raw())
    assert answer.headers.get("content-encoding") == ("gzip" if is_packed else None)
    assert answer.headers["vary"] == "Accept-Encoding"
    assert (gzip.decompress(sent) if is_packed else sent) == plain


def test_hashes_are_never_packed(root: httpx.Client, log: str) -> None:
    assert "content-encoding" not in root.get(f"{log}/tile/0/000", headers={"Accept-Encoding": "gzip"}).headers


@pytest.mark.parametrize("path", ["checkpoint", "vkey", "tile/0/000", "tile/entries/001.p/44"])
def test_head_answers_as_get_without_the_body(root: httpx.Client, log: str, path: str) -> None:
    got, headed = (root.request(method, f"{log}/{path}") for method in ("GET", "HEAD"))
    assert headed.status_code == 200
    assert headed.content == b""
    different = {"date"}
    assert {k: v for k, v in headed.headers.items() if k not in different} == {
        k: v for k, v in got.headers.items() if k not in different
    }


def test_an_empty_log_has_keys_and_no_tiles(root: httpx.Client, tenant: str) -> None:
    assert root.get(f"/log/{tenant}/vkey").text.endswith("\n")
    problem(root.get(f"/log/{tenant}/tile/0/000.p/1"), 404, "missing")
    problem(root.get(f"/log/{tenant}/tile/entries/000.p/1"), 404, "missing")


def test_a_tile_takes_no_parameters(root: httpx.Client, log: str) -> None:
    problem(root.get(f"{log}/tile/0/000?v=1"), 422, "invalid")
