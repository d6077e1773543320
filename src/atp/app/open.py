"""Opening a data directory: the one place that knows which adapter keeps which promise.

DIR/FORMAT        the format's number; a newer one is refused
DIR/order.lock    held by the one server on this directory
DIR/installation  what new origins begin with, drawn or configured at the first start
DIR/root.key      the first API key (0600)
DIR/order.db      the durable order (SQLite), DIR/ids its index of event ids
DIR/stopped.json  logs that may not go on after a damage, and why; whoever put that right removes it
DIR/RESTORED      that this is a copy: its logs go on under new origins before anything is signed; then RESTORED.<n>
DIR/logs          tiles, bundles, checkpoints and verifier keys of every log
DIR/views         what queries read; rebuilt from the logs when it is gone
DIR/views.lock    held by the one process that writes there
DIR/evidence      what the platform found wrong with a log: the report and the signed checkpoint
DIR/keys          signing keys, the evidence key, and the list of API keys (0600)
DIR/noted.json    how far the operators' trail was read for the checkpoints that it noted; rebuilt when it is gone
"""

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import msgspec

from atp.adapters.filesystem import FilesystemObjectStore
from atp.adapters.keyfile import FileKeyStore
from atp.adapters.signatures import Signatures
from atp.adapters.sqlite.file import lock_directory
from atp.adapters.sqlite.order import open_order
from atp.adapters.sqlite.rebuild import Rest, build, finish
from atp.adapters.sqlite.upgrade import pack_order
from atp.adapters.sqlite.wreck import Wreck, find_damage
from atp.adapters.system_clock import SystemClock
from atp.app.config import Config
from atp.app.migrations import migrate
from atp.app.pipeline import Follow, Stores
from atp.app.platform import Platform
from atp.app.salvage import salvage
from atp.app.succession import completed, generation, succeed
from atp.durable import replace_file
from atp.errors import MalformedError, MissingError, TamperedError, UnavailableError
from atp.formats.catalogue import load_formats
from atp.log.event import event_id, format_instant
from atp.log.reader import Cache, LogReader
from atp.observe import Lines, Meters
from atp.ports.clock import Clock
from atp.tenants.access import ROOT, SCOPES
from atp.tenants.names import DEFAULT, OPERATIONS, check_installation
from atp.tenants.restored import Restored, read_restored, settle_restored, write_restored

_ID_ENTRIES = 4_096
_STEPS = {1: pack_order}


@dataclass(frozen=True, slots=True)
class Opened:
    """A platform that is ready to start, whether this was the directory's first time, and what a damage cost."""

    platform: Platform
    is_new: bool
    root_key: Path
    losses: Sequence[str] = ()


def open_platform(
    config: Config, *, lines: Lines | None = None, clock: Clock | None = None, follow: Follow | None = None
) -> Opened:
    """Open or create a data directory. UnavailableError when another server holds it or the disk refuses,
    MalformedError for a format of the future. A damaged order is kept aside, and what is left of it opened."""
    lines = lines or Lines()
    clock = clock or SystemClock()
    _make_directory(config.data)
    migrate(config.data, steps=_STEPS)
    installation = _installation(config, clock)
    losses = _salvage(config.data, clock=clock, lines=lines)
    stores = open_stores(config.data)
    try:
        stopped = _read_stopped(config.data)
        if stores.events.is_missing_ids():
            stores.events.learn_ids(_all_ids(stores, stopped))
            _write_stopped(config.data, stopped)
        restored = read_restored(config.data)
        if restored is not None:
            stopped |= _go_on(config.data, restored, stores, stopped, installation, clock, lines, losses)
        platform = Platform(
            stores,
            config=config,
            installation=installation,
            generation=generation(stores.events.logs(), restored, installation=installation),
            formats=load_formats(config.formats),
            clock=clock,
            lines=lines,
            meters=Meters(),
            stopped=stopped,
            follow=follow,
        )
        is_new = _furnish(platform, config.data / "root.key")
    except BaseException:
        stores.events.close()
        raise
    return Opened(platform, is_new, config.data / "root.key", losses)


def open_stores(data: Path) -> Stores:
    """The keepers of a data directory, and nothing more. UnavailableError when another process holds it."""
    return Stores(
        events=open_order(data),
        objects=FilesystemObjectStore(data),
        models=Signatures(data / "views"),
        keys=FileKeyStore(data),
    )


def _make_directory(data: Path) -> None:
    try:
        data.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise UnavailableError(
            f"could not open {data}: {error.strerror}", hint="a directory that this user may write to, with free space"
        ) from None


def _installation(config: Config, clock: Clock) -> str:
    if config.installation:
        check_installation(config.installation)
    return _line(config.data / "installation", config.installation or f"atp-{clock.random_bytes(6).hex()}")


def _line(path: Path, first: str, mode: int = 0o644) -> str:
    """The one line of a small file, which is written, synced, with `first` when it does not exist."""
    try:
        if not path.exists():
            replace_file(path, f"{first}\n".encode(), mode=mode)
        return path.read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise UnavailableError(f"could not open {path}: {reason}", hint="check its permissions and the disk") from None


def _furnish(platform: Platform, root_key: Path) -> bool:
    """The tenants and the root key that every installation has; True when they had to be made."""
    names = {log.tenant for log in platform.stores.events.logs()}
    for tenant in (DEFAULT, OPERATIONS):
        if tenant not in names:
            platform.add_tenant(tenant)
    if root_key.exists():
        return False
    _, text = platform.add_key(person=ROOT, scopes=SCOPES, tenants=())
    try:
        replace_file(root_key, f"{text}\n".encode())
    except OSError as error:
        raise UnavailableError(
            f"could not write {root_key}: {error.strerror}", hint="free space, permissions"
        ) from None
    return True


def _salvage(data: Path, *, clock: Clock, lines: Lines) -> list[str]:
    """Put a new order in the place of a damaged one; what is lost, a sentence for each log."""
    lock = lock_directory(data)
    try:
        aside = f"order.db.damaged-{clock.now():%Y%m%dT%H%M%SZ}"
        finish(data, name=aside)
        if (damage := find_damage(data)) is None:
            return []
        lines.write("critical", "order_damaged", reason=damage, kept_as=aside)
        losses, stopped = [f"order.db is damaged and kept as {aside}: {damage}"], _read_stopped(data)
        with closing(Wreck(data)) as wreck:
            build(data, _rests(wreck, data, clock, losses, stopped))
        _write_stopped(data, stopped)
        finish(data, name=aside)
        return losses
    finally:
        os.close(lock)


def _rests(wreck: Wreck, data: Path, clock: Clock, losses: list[str], stopped: dict[str, str]) -> Iterator[Rest]:
    now = format_instant(int(clock.now().timestamp() * 1_000_000))
    for left in salvage(wreck, objects=FilesystemObjectStore(data), now=now):
        if left.loss:
            losses.append(left.loss)
        if left.stop:
            stopped[left.log.tenant] = left.stop
        batches = ((first, entries, [event_id(entry) for entry in entries]) for first, entries in left.batches)
        yield Rest(left.log, left.note, left.size, batches, left.parked)


def _go_on(
    data: Path,
    restored: Restored,
    stores: Stores,
    stopped: Mapping[str, str],
    installation: str,
    clock: Clock,
    lines: Lines,
    losses: list[str],
) -> Mapping[str, str]:
    """Let the logs of a restored copy go on under new origins; which could not, and why. While there is one, the
    directory stays a copy, and the next start tries again."""
    whole = completed(stores, restored, installation=installation)
    if whole != restored:
        write_restored(data, whole)
    gone = succeed(stores, whole, stopped=stopped, installation=installation, clock=clock)
    for tenant, loss in gone.losses.items():
        lines.write("error", "log_succeeded", tenant=tenant, reason=loss)
        losses.append(loss)
    if not gone.failed:
        settle_restored(data, restored)
    return gone.failed


def _all_ids(stores: Stores, stopped: dict[str, str]) -> Iterator[tuple[str, int, list[str]]]:
    """The ids of all logs. A log with entries that cannot be read is stopped: its duplicates could not be told."""
    cache = Cache()
    for log in stores.events.logs():
        reader = LogReader(log.tenant, event_store=stores.events, object_store=stores.objects, cache=cache)
        size = stores.events.size(log.tenant)
        for start in range(0, size, _ID_ENTRIES):
            stop = min(start + _ID_ENTRIES, size)
            try:
                ids = [event_id(entry) for entry in reader.durable(start, stop)]
            except (TamperedError, MalformedError, MissingError) as error:
                stopped.setdefault(log.tenant, str(error))
                ids = [""] * (stop - start)
            yield log.tenant, start, ids


def _read_stopped(data: Path) -> dict[str, str]:
    path = data / "stopped.json"
    try:
        return msgspec.json.decode(path.read_bytes(), type=dict[str, str]) if path.exists() else {}
    except (OSError, msgspec.MsgspecError) as error:
        raise UnavailableError(f"could not read {path}: {error}", hint="put it right; it names stopped logs") from None


def _write_stopped(data: Path, stopped: dict[str, str]) -> None:
    if stopped:
        text = msgspec.json.format(msgspec.json.encode(stopped), indent=1)
        try:
            replace_file(data / "stopped.json", text + b"\n", mode=0o644)
        except OSError as error:
            raise UnavailableError(f"could not write stopped.json: {error.strerror}", hint="free space") from None
