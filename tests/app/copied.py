"""A data directory that lived, copied while it is served, and restored: what tests of restored trails stand on."""

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from atp.app.platform import Platform
from atp.errors import MissingError
from atp.log.event import read_event
from atp.ops.backups.act.kinds.trail.capture import capture
from atp.ops.backups.act.kinds.trail.recover import Recovered, recover
from atp.verify.options import Options
from atp.verify.place import check_place
from atp.verify.remember import Memory
from atp.verify.report import Report
from tests.app.opened import ROOT, record, running

BACKUP = "20260101T000000Z-0123456789ab"
SIZES = {"acme": 511, "globex": 10, "initech": 0}
NOW = datetime(2026, 3, 1, tzinfo=UTC)


def lived(data: Path) -> None:
    """Three tenants, one of whose logs ends just before a bundle is full, and one of which is empty."""
    with running(data) as platform:
        for tenant, size in SIZES.items():
            platform.create_tenant(tenant, by=ROOT)
            if size:
                record(platform, range(size), tenant=tenant)


def copy(data: Path, into: Path) -> Path:
    """A copy of it, as a backup holds it."""
    into.mkdir()
    capture(data, into, backup=BACKUP, now=lambda: datetime.now(UTC))
    return into


def restore(copied: Path, *, memory: Memory | None = None, known: Sequence[bytes] = ()) -> Recovered:
    """The copy is restored where it lies."""
    return recover(copied, backup=BACKUP, by="olga", reason="a lost disk", now=NOW, memory=memory, known=known)


def check(data: Path, **options: Any) -> Report:
    """What the verifier says, down to payloads."""
    return check_place(str(data), Options(level="payload", **options))


def checkpoint(platform: Platform, tenant: str) -> bytes:
    """The newest one."""
    return platform.reader(tenant, by=ROOT).checkpoint()


def public(data: Path, tenant: str) -> bytes:
    """The checkpoint that a directory at rest shows."""
    return (data / "logs" / tenant / "checkpoint").read_bytes()


def succeeded(platform: Platform, tenant: str) -> dict[int, dict[str, Any]]:
    """By index, the data of the entries that say that the log goes on under another origin."""
    size = platform.stores.events.size(tenant)
    found = {}
    for index, entry in enumerate(platform.reader(tenant, by=ROOT).durable(0, size)):
        _, event = read_event(entry)
        if event.action == "atp.log.succeeded":
            found[index] = json.loads(bytes(event.data))  # type: ignore[arg-type]
    return found


def has_keys(data: Path) -> bool:
    """Whether anything in a directory could sign or knock."""
    places = [data / "root.key", *(data / "keys").rglob("*.key"), *(data / "keys").rglob("access.json")]
    return any(place.exists() for place in places)


def sizes(platform: Platform) -> dict[str, int]:
    """How many entries are published, by tenant."""
    found = {}
    for tenant in SIZES:
        try:
            found[tenant] = platform.reader(tenant, by=ROOT).size()
        except MissingError:
            found[tenant] = 0
    return found
