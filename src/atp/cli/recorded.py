"""What the operators' trail remembers of a backup and of what was shipped after it: asked of a server, and of what
waits on this machine."""

import time
from collections.abc import Iterable, Set
from contextlib import suppress
from datetime import timedelta
from typing import Any

import msgspec

from atp import limits
from atp.cli.evidence import waiting_events
from atp.cli.query import Page, ask
from atp.cli.server import find_key
from atp.cli.vault import Desk
from atp.client import Client
from atp.errors import AtpError, UnauthorizedError
from atp.log.event import Event
from atp.ops.backups.act.kinds.choose import following_names
from atp.ops.backups.act.listing import Listed
from atp.ops.backups.evidence import BACKUP_SHIPPED, Recorded, recorded_of, shipped_names
from atp.ops.backups.format.manifest import Manifest
from atp.ops.estate.evidence.proofs import BACKUP_DONE
from atp.ports.repository import Repository
from atp.tenants.names import OPERATIONS

_PUBLISHED_SECONDS = 1.0
"""Within which an event that was taken can be found, as a rule."""
_SKEW = timedelta(seconds=limits.RECORDED_SKEW_SECONDS)


def recorded(
    desk: Desk,
    repository: Repository,
    listed: Listed,
    *,
    dataset: str,
    given: str | None = None,
    insists: bool = False,
) -> Recorded:
    """What is remembered of a backup in a repository: the digest that was `given`, else the one that was told first,
    and which of the objects that follow it were written down before they were stored; all of them, when it `insists`.

    What could not be asked is said, and is no error. Costs a listing, a question about the backup, and pages of what
    was shipped since it began, `limits.RECORDED_EVENTS_MAX` events at most, until all that is there is known.
    """
    following = following_names(repository, listed.manifest) if listed.manifest else {}
    waiting = _waiting(desk, dataset)
    told, here = _data_of(waiting, BACKUP_DONE), _data_of(waiting, BACKUP_SHIPPED)
    names, reason = {name for data in here for name in shipped_names(data)}, ""
    try:
        with _client(desk) as client:
            told = [*_told(client, dataset, listed.backup), *told]
            if listed.manifest and (wanted := following.keys() - names):
                names |= _shipped(client, listed.manifest, wanted)
    except AtpError as error:
        reason = error.sentence
    digest = given or _digest(told, listed.backup)
    if digest is None:
        desk.output.note(
            f"warning: the manifest of backup {listed.backup} was not held against the operators' trail:"
            f" {reason or 'it tells of no such backup'} (hint: --manifest-sha256, when you know it)"
        )
    return recorded_of(following, manifest_sha256=digest, names=names, reason=reason, insists=insists)


def newest_told(desk: Desk, repository: str, *, dataset: str) -> str | None:
    """The newest backup that was told to be in a repository, by the trail or by what waits on this machine; None when
    nobody tells of one, or could be asked. Costs a question."""
    told = _data_of(_waiting(desk, dataset), BACKUP_DONE)
    question: dict[str, str | None] = {"action": BACKUP_DONE, "resource": dataset, "text": "manifest_sha256"}
    with suppress(AtpError), _client(desk) as client:
        told += _data(ask(client, OPERATIONS, limits.PAGE_EVENTS_MAX, question))
    made = [data for data in told if isinstance(data, dict) and data.get("manifest_sha256")]
    here = [
        (str(data.get("point_at")), str(data.get("backup"))) for data in made if data.get("repository") == repository
    ]
    return max(here)[1] if here else None


def _waiting(desk: Desk, dataset: str) -> list[Event]:
    """What waits here about a dataset, oldest first. Costs a reading of the spool."""
    return [event for event in waiting_events(desk.url, desk.output) if event.resource and event.resource.id == dataset]


def _data_of(events: Iterable[Event], action: str) -> list[Any]:
    return [msgspec.json.decode(event.data or b"") for event in events if event.action == action]


def _client(desk: Desk) -> Client:
    key = find_key(desk.key_file, desk.output)
    if key is None:
        raise UnauthorizedError("no server was asked, there is no key")
    return Client(desk.url, key=key, tries=1)


def _told(client: Client, dataset: str, backup: str) -> list[Any]:
    """What is told of a backup, from the first on: its manifest, and then how far it was followed. What was told just
    now may not be found yet, and is asked for once more."""
    question: dict[str, str | None] = {"action": BACKUP_DONE, "resource": dataset, "text": backup, "order": "index"}
    told = _data(ask(client, OPERATIONS, limits.PAGE_EVENTS_MAX, question))
    if _digest(told, backup) is None:
        time.sleep(_PUBLISHED_SECONDS)
        told = _data(ask(client, OPERATIONS, limits.PAGE_EVENTS_MAX, question))
    return told


def _digest(told: Iterable[Any], backup: str) -> str | None:
    """The digest that was told first; whoever has a key to the trail can tell another one later."""
    of_it = (data for data in told if isinstance(data, dict) and data.get("backup") == backup)
    digests = (data.get("manifest_sha256") for data in of_it if data.get("verdict") == "pass")
    return next((str(digest) for digest in digests if digest is not None), None)


def _shipped(client: Client, manifest: Manifest, wanted: Set[str]) -> set[str]:
    """Which of the wanted names are told. What was stored just now may not be found yet, and is asked for once more."""
    known = _told_since(client, manifest, wanted)
    if len(known) < len(wanted):
        time.sleep(_PUBLISHED_SECONDS)
        known |= _told_since(client, manifest, wanted - known)
    return known


def _told_since(client: Client, manifest: Manifest, wanted: Set[str]) -> set[str]:
    known, cursor = set[str](), None
    for _ in range(limits.RECORDED_EVENTS_MAX // limits.PAGE_EVENTS_MAX):
        question: dict[str, str | None] = {"action": BACKUP_SHIPPED, "resource": manifest.dataset, "order": "index"}
        question |= {"received_since": (manifest.begun_at - _SKEW).isoformat(), "cursor": cursor}
        page = ask(client, OPERATIONS, limits.PAGE_EVENTS_MAX, question)
        known.update(name for data in _data(page) for name in shipped_names(data) if name in wanted)
        cursor = page.next
        if cursor is None or len(known) == len(wanted):
            break
    return known


def _data(page: Page) -> list[Any]:
    return [msgspec.json.decode(raw).get("data") for raw in page.events]
