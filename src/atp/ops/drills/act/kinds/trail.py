"""A trail: heartbeats are events in the operators' log, sent through its server; the copy is read without any key."""

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256
from pathlib import Path

from atp.client import Client, log_path
from atp.errors import AtpError, InvalidError, MissingError, TamperedError
from atp.limits import HEARTBEATS_MAX, TILE_WIDTH
from atp.log.reader import log_key
from atp.merkle.entries import decode_entries
from atp.merkle.tiles import EntryBundle
from atp.ops.backups.act.kinds.trail.capture import object_keys
from atp.ops.backups.act.kinds.trail.logs import INSTALLATION, ORDER, read_held
from atp.ops.backups.act.kinds.trail.merging import is_object, is_other
from atp.ops.backups.act.parts import unwatched
from atp.ops.backups.format.checking import check_tree, file_sha256
from atp.ops.backups.format.contents import ContentsReader, Entry
from atp.ops.drills.act.kinds.shape import Living, Row
from atp.tenants.names import OPERATIONS
from atp.tenants.restored import FILE as RESTORED
from atp.verify.directory import check_data_directory
from atp.verify.entry import parse_entry
from atp.verify.options import Options
from atp.verify.order import OrderedBatch, open_order
from atp.verify.source import FileSource
from atp.verify.trust import claimed_checkpoint
from atp.verify.workers import cores

BEAT = "heartbeat.beat"
_ID = "heartbeat."
_MARK = f'"{BEAT}"'.encode()
_KEYS = ("keys", "root.key")
_REWRITTEN = (".", RESTORED)
"""What a restore writes to after it was held against the list."""

Connect = Callable[[], Client]


@dataclass(frozen=True, slots=True)
class TrailProduction:
    """See Production. A look reads the checkpoints alone; to be written to meanwhile is the life of a trail."""

    source: Path
    dataset: str
    connect: Connect | None = None
    addresses: Sequence[str] = ()

    def look(self) -> Living | None:
        """See Production: size and root of each log; the name of the installation and the inode of the directory."""
        try:
            name, found = (self.source / INSTALLATION).read_text().strip(), self.source.stat()
            digest = sha256()
            with open_order(self.source / ORDER) as order:
                for log in order.logs():
                    digest.update(f"{log.origin} {_head(log.note)}\n".encode())
        except (AtpError, OSError, ValueError):
            return None
        return Living(digest.hexdigest(), f"{name}:{found.st_dev}:{found.st_ino}")

    def beat(self, name: str, at: datetime) -> None:
        """See Production. InvalidError when the server that answers serves another directory."""
        assert self.connect is not None, "whoever writes heartbeats of a trail has a server"
        if not self.source.is_dir():
            raise MissingError(f"could not write a heartbeat: {self.source} does not exist", hint="check source.place")
        with self.connect() as client:
            shown = client.get(log_path(OPERATIONS, "vkey")).body
            if shown != (self.source / log_key(OPERATIONS, "vkey")).read_bytes():
                raise InvalidError(
                    f"could not write a heartbeat: {client.url} serves another trail than {self.source}",
                    hint="--url names its server",
                )
            client.record([_event(self.dataset, name, at)], tenant=OPERATIONS)


@dataclass(frozen=True, slots=True)
class TrailCopy:
    """See Copy."""

    place: Path

    def open(self) -> str:
        """See Copy. TamperedError when there are keys in it: a copy must not be able to sign."""
        if keys := [name for name in _KEYS if os.path.lexists(self.place / name)]:
            raise TamperedError(f"it holds keys, which no copy of a trail has: {', '.join(keys)}")
        held = read_held(self.place)
        sizes = [f"{log.tenant} {log.size:,}" for log in held.logs]
        return f"{len(sizes):,} logs, by their entries: {', '.join(sizes)}"

    def whole(self, contents: ContentsReader) -> str:
        """See Copy. But for the file that says what the copy is, which the restore wrote anew, and nothing besides.

        Of a copy that was brought forward every object of the backup is as it was, and every other name is one that
        its logs have: what these hold their signatures say.
        """
        entries = list(contents.entries())
        followed = self._is_followed(entries)
        kept = [entry for entry in entries if entry.path not in _REWRITTEN and not (followed and _changes(entry))]
        listed = check_tree(self.place, kept, moved=unwatched)
        strays = self._strays((entry.path for entry in entries), is_followed=followed)
        if strays or not (self.place / RESTORED).is_file():
            raise TamperedError(f"{len(strays):,} names that were not backed up, {RESTORED} aside: {strays[:3]}")
        what = f"{listed:,} entries, every byte as it was backed up"
        if followed:
            what = f"{listed:,} of {len(entries):,} entries are as they were backed up, the others were brought forward"
        return f"{what}; {RESTORED} says what is known of the copy"

    def _is_followed(self, entries: Sequence[Entry]) -> bool:
        """Whether increments came over it: each brings another order."""
        order = next((entry for entry in entries if entry.path == ORDER), None)
        return order is not None and file_sha256(self.place / ORDER, moved=unwatched) != order.sha256

    def _strays(self, listed: Iterable[str], *, is_followed: bool) -> list[str]:
        """The names that neither the backup nor, when more followed it, its logs explain."""
        walked = [(folder, name) for folder, folders, files in os.walk(self.place) for name in (*folders, *files)]
        names = {os.path.relpath(os.path.join(folder, name), self.place) for folder, name in walked} - {RESTORED}
        explained = set(listed)
        if is_followed:
            logs = read_held(self.place).logs
            objects = {key for log in logs for key in object_keys(log.tenant, stop=log.published)}
            came = {name for name in names if name in objects or is_other(name)}
            explained |= came | {str(parent) for name in came for parent in Path(name).parents}
        return sorted(names - explained)

    def beats(self) -> Iterator[tuple[str, datetime]]:
        """See Copy: the newest of the operators' log, read from its end."""
        yield from read_beats(self.place)

    def count(self, table: str, *, within: timedelta) -> int:
        """See Copy."""
        raise _not_asked("rows")

    def select(self, sql: str, *, rows_max: int, within: timedelta) -> Sequence[Row]:
        """See Copy."""
        raise _not_asked("sql")

    def verify(self) -> str:
        """See Copy: structure and payload; there are no views in a copy that could be compared."""
        report = check_data_directory(self.place, Options(jobs=cores()))
        if report.is_tampered:
            raise TamperedError(report.first_sentence)
        entries = sum(log.size for log in report.logs)
        return f"{len(report.logs):,} logs with {entries:,} signed entries: structure and payload hold"

    def close(self) -> None:
        """See Copy."""


def _changes(entry: Entry) -> bool:
    """Whether an increment may replace it, or adds to it."""
    return entry.kind != "file" or not is_object(entry.path)


def read_beats(place: Path) -> list[tuple[str, datetime]]:
    """The newest heartbeats in the operators' log of a copy, oldest first. TamperedError, MissingError, MalformedError
    when it cannot be read. Costs one reading of the log, from its end until there are enough."""
    with open_order(place / ORDER) as order:
        log = next((one for one in order.logs() if one.tenant == OPERATIONS), None)
        if log is None:
            return []
        bundles = log.size // TILE_WIDTH
        found = [_beats_of(_tail(order.batches(log.number), first=bundles * TILE_WIDTH))]
    source = FileSource(place / log_key(OPERATIONS, ""), is_packed=True)
    for number in reversed(range(bundles)):
        if sum(map(len, found)) >= HEARTBEATS_MAX:
            break
        found.append(_beats_of(decode_entries(source.bundle(EntryBundle(number)))))
    return [beat for beats in reversed(found) for beat in beats][-HEARTBEATS_MAX:]


def _tail(batches: Iterable[OrderedBatch], *, first: int) -> Iterator[bytes]:
    """The entries from an index on that lie in the order, those that no checkpoint covers included."""
    for batch in batches:
        yield from (entry for index, entry in enumerate(batch.entries or (), batch.first) if index >= first)


def _beats_of(entries: Iterable[bytes]) -> list[tuple[str, datetime]]:
    found = list[tuple[str, datetime]]()
    for entry in entries:
        event = parse_entry(entry).get("event") if _MARK in entry else None
        if isinstance(event, dict) and event.get("action") == BEAT and str(event.get("id")).startswith(_ID):
            found.append((event["id"].removeprefix(_ID), datetime.fromisoformat(str(event.get("time")))))
    return found


def _event(dataset: str, name: str, at: datetime) -> Mapping[str, object]:
    return {
        "id": f"{_ID}{name}",
        "time": at.isoformat(),
        "actor": {"id": "heartbeat", "type": "service"},
        "action": BEAT,
        "resource": {"id": dataset, "type": "dataset"},
    }


def _head(note: bytes | None) -> str:
    if note is None:
        return "0"
    checkpoint = claimed_checkpoint(note)
    return f"{checkpoint.size} {checkpoint.root.hex()}"


def _not_asked(what: str) -> InvalidError:
    return InvalidError(f"could not ask a trail for {what}", hint="checks: [{verify: true}]")
