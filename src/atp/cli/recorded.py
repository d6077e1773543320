"""What the operators' trail remembers of a backup's manifest: asked of a server, and of what waits on this machine."""

from collections.abc import Iterator
from typing import Any

import msgspec

from atp import limits
from atp.app.machine import open_spool
from atp.cli.query import ask
from atp.cli.server import find_key
from atp.cli.vault import Desk
from atp.client import Client
from atp.errors import UnavailableError
from atp.ops.estate.evidence.proofs import BACKUP_DONE
from atp.ops.record.spool import read_record
from atp.tenants.names import OPERATIONS


def recorded_manifest(desk: Desk, *, dataset: str, backup: str, given: str | None = None) -> str | None:
    """The digest that was `given`, else the one that the trail recorded first; None, and a note, when it knows none.

    One question to the server: of what was told of this backup, `limits.PAGE_EVENTS_MAX` events, the newest.
    """
    if given is not None:
        return given
    reasons, known = list[str](), list[str]()
    for data in (*_asked(desk, dataset, backup, reasons), *_waiting(desk, dataset)):
        if data.get("backup") == backup and data.get("verdict") == "pass" and "manifest_sha256" in data:
            known.append(str(data["manifest_sha256"]))
    if not known:
        reason = reasons[0] if reasons else "it tells of no such backup"
        desk.output.note(
            f"warning: the manifest of backup {backup} was not held against the operators' trail: {reason}"
            " (hint: --manifest-sha256, when you know it)"
        )
    return known[0] if known else None


def _asked(desk: Desk, dataset: str, backup: str, reasons: list[str]) -> list[dict[str, Any]]:
    """`data` of what the server tells, oldest first; `reasons` gets why it tells nothing."""
    key = find_key(desk.key_file, desk.output)
    if key is None:
        reasons.append("no server was asked, there is no key")
        return []
    try:
        with Client(desk.url, key=key, tries=1) as client:
            question: dict[str, str | None] = {"action": BACKUP_DONE, "resource": dataset, "text": backup}
            page = ask(client, OPERATIONS, limits.PAGE_EVENTS_MAX, question)
    except UnavailableError as error:
        reasons.append(str(error).removesuffix(f" (hint: {error.hint})"))
        return []
    told = (msgspec.json.decode(raw).get("data") for raw in reversed(page.events))
    return [data for data in told if isinstance(data, dict)]


def _waiting(desk: Desk, dataset: str) -> Iterator[dict[str, Any]]:
    for line in open_spool(desk.url, tell=desk.output.note).waiting():
        event = read_record(line).event
        if event.action == BACKUP_DONE and event.resource is not None and event.resource.id == dataset:
            yield msgspec.json.decode(event.data or b"{}")
