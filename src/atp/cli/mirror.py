"""A whole log as a plain tlog-tiles directory (C2SP), fetched file by file; what lies there already is not fetched."""

from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

from atp.cli.files import make_directory, write_file
from atp.client import log_path
from atp.errors import TamperedError
from atp.merkle.checkpoints import open_checkpoint
from atp.merkle.entries import decode_entries
from atp.merkle.tiles import EntryBundle, Tile, tiles_at
from atp.ops.record.watch import Watched
from atp.verify.strays import stray_files
from atp.verify.trust import claimed_checkpoint

CHECKPOINT = "checkpoint"
VKEY = "vkey"

Place = Tile | EntryBundle


def is_mirror(directory: Path, vkey: bytes) -> bool:
    """Whether the directory holds a mirror, begun or whole, of the log that has this verifier key."""
    try:
        return (directory / VKEY).read_bytes() == vkey
    except OSError:
        return False


def mirror(log: Watched, directory: Path, *, progress: Callable[[int, int], None]) -> bytes:
    """Bring the directory to the newest checkpoint of the log and return that note.

    The checkpoint is written last: a directory without one is unfinished. What lies there in its full length already is
    kept unread, so verify the directory afterwards. Costs a request for each 256 entries and each tile.
    """
    vkey = log.client.get(log_path(log.tenant, VKEY)).body
    note = log.checkpoint()
    origin = claimed_checkpoint(note).origin
    size = open_checkpoint(note, origin=origin, log_keys=log.keys()).checkpoint.size
    make_directory(directory)
    write_file(directory / VKEY, vkey)
    places = list(places_at(size))
    for done, place in enumerate(places):
        progress(done, len(places))
        _fetch(log, directory, place)
    write_file(directory / CHECKPOINT, note)
    _drop_outgrown(directory, size)
    return note


def places_at(size: int) -> Iterator[Place]:
    """Every hash tile and entry bundle of a log of so many entries."""
    for tile in tiles_at(size):
        yield tile
        if tile.level == 0:
            yield EntryBundle(tile.index, tile.width)


def _drop_outgrown(directory: Path, size: int) -> None:
    """Remove partial tiles that are wider or full by now."""
    for stray in list(stray_files(directory, size=size, is_packed=False)):
        if stray.is_within(size):
            path = directory / stray.name
            path.unlink()
            with suppress(OSError):
                path.parent.rmdir()


def _fetch(log: Watched, directory: Path, place: Place) -> None:
    path = directory / place.path
    if _is_whole(path, place):
        return
    make_directory(path.parent)
    data = log.tiles([place])[0] if isinstance(place, Tile) else _bundle(log, place)
    write_file(path, data)


def _is_whole(path: Path, place: Place) -> bool:
    try:
        size = path.stat().st_size
    except OSError:
        return False
    return size == place.bytes_total if isinstance(place, Tile) else size > 0


def _bundle(log: Watched, place: EntryBundle) -> bytes:
    data = log.client.get(log_path(log.tenant, place.path)).body
    if len(decode_entries(data)) != place.width:
        raise TamperedError(f"could not use {place.path} of {log.tenant}: it does not hold {place.width} entries")
    return data
