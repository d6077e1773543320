"""Opening a data directory: the one place that knows which adapter keeps which promise.

DIR/FORMAT        the format's number; a newer one is refused
DIR/lock          held by the one server on this directory
DIR/installation  what new origins begin with, drawn or configured at the first start
DIR/root.key      the first API key (0600)
DIR/order.db      the durable order (SQLite), DIR/ids its index of event ids
DIR/logs          tiles, bundles, checkpoints and verifier keys of every log
DIR/views         what queries read; rebuilt from the logs when it is gone
DIR/keys          signing keys and the list of API keys (0600)
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from atp.adapters.filesystem import FilesystemObjectStore
from atp.adapters.keyfile import FileKeyStore
from atp.adapters.signatures import Signatures
from atp.adapters.sqlite.order import open_order
from atp.adapters.system_clock import SystemClock
from atp.app.config import Config
from atp.app.pipeline import Stores
from atp.app.platform import Platform
from atp.errors import MalformedError, UnavailableError
from atp.formats.catalogue import load_formats
from atp.log.event import event_id
from atp.log.reader import Cache, LogReader
from atp.observe import Lines, Meters
from atp.ports.clock import Clock
from atp.tenants.access import ROOT, SCOPES
from atp.tenants.names import DEFAULT, OPERATIONS, check_installation

FORMAT = 1
_ID_ENTRIES = 4_096


@dataclass(frozen=True, slots=True)
class Opened:
    """A platform that is ready to start, and whether this was the directory's first time."""

    platform: Platform
    is_new: bool
    root_key: Path


def open_platform(config: Config, *, lines: Lines | None = None, clock: Clock | None = None) -> Opened:
    """Open or create a data directory. UnavailableError when another server holds it or the disk refuses,
    MalformedError for a format of the future, TamperedError for an order that is damaged."""
    lines = lines or Lines()
    clock = clock or SystemClock()
    _make_directory(config.data)
    _check_format(config.data)
    installation = _installation(config, clock)
    order = open_order(config.data)
    try:
        stores = Stores(
            events=order,
            objects=FilesystemObjectStore(config.data),
            models=Signatures(config.data / "views"),
            keys=FileKeyStore(config.data / "keys"),
        )
        _relearn_ids(stores)
        platform = Platform(
            stores,
            config=config,
            installation=installation,
            formats=load_formats(config.formats),
            clock=clock,
            lines=lines,
            meters=Meters(),
        )
        is_new = _furnish(platform, config.data / "root.key")
    except BaseException:
        order.close()
        raise
    return Opened(platform, is_new, config.data / "root.key")


def _make_directory(data: Path) -> None:
    try:
        data.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise UnavailableError(
            f"could not open {data}: {error.strerror}", hint="a directory that this user may write to, with free space"
        ) from None


def _check_format(data: Path) -> None:
    found = _line(data / "FORMAT", str(FORMAT))
    if not found.isdecimal() or int(found) > FORMAT:
        raise MalformedError(
            f"could not open {data}: its format is {found[:20]!r}, this program knows up to {FORMAT}",
            hint="use the newer program that wrote it",
        )


def _installation(config: Config, clock: Clock) -> str:
    if config.installation:
        check_installation(config.installation)
    return _line(config.data / "installation", config.installation or f"atp-{clock.random_bytes(6).hex()}")


def _line(path: Path, first: str, mode: int = 0o644) -> str:
    """The one line of a small file, which is written, synced, with `first` when it does not exist."""
    try:
        if not path.exists():
            _write_once(path, first + "\n", mode)
        return path.read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        raise UnavailableError(f"could not read {path}: {error}", hint="check its permissions and the disk") from None


def _write_once(path: Path, text: str, mode: int) -> None:
    new = path.with_name(path.name + ".new")
    descriptor = os.open(new, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, mode)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
        file.flush()
        os.fsync(descriptor)
    new.rename(path)
    directory = os.open(path.parent, os.O_RDONLY)
    os.fsync(directory)
    os.close(directory)


def _furnish(platform: Platform, root_key: Path) -> bool:
    """The tenants and the root key that every installation has; True when they had to be made."""
    names = {log.tenant for log in platform.stores.events.logs()}
    for tenant in (DEFAULT, OPERATIONS):
        if tenant not in names:
            platform.add_tenant(tenant, by=ROOT)
    if root_key.exists():
        return False
    _, text = platform.add_key(person=ROOT, scopes=SCOPES, tenants=())
    try:
        _write_once(root_key, text + "\n", 0o600)
    except OSError as error:
        raise UnavailableError(
            f"could not write {root_key}: {error.strerror}", hint="free space, permissions"
        ) from None
    return True


def _relearn_ids(stores: Stores) -> None:
    """Rebuild the index of event ids from the logs when it was lost."""
    if stores.events.is_missing_ids():
        stores.events.learn_ids(_all_ids(stores))


def _all_ids(stores: Stores) -> Iterator[tuple[str, int, list[str]]]:
    cache = Cache()
    for log in stores.events.logs():
        reader = LogReader(log.tenant, event_store=stores.events, object_store=stores.objects, cache=cache)
        for start in range(0, stores.events.size(log.tenant), _ID_ENTRIES):
            yield log.tenant, start, [event_id(entry) for entry in reader.durable(start, start + _ID_ENTRIES)]
