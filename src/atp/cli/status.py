"""`atp status`: how the server and each of its logs stands."""

from collections.abc import Mapping
from typing import Any

import click

from atp.app.machine import spool_folders, spooled_lines
from atp.cli.output import fields, table
from atp.cli.server import Server, connected
from atp.cli.trust import watch
from atp.ops.record.act import fold_all
from atp.ops.record.sink import told_line

_HEADS = ("tenant", "entries", "published", "indexed", "lag", "parked", "state", "complete to")


@click.command()
@connected
def command(server: Server) -> int:
    """Say how each log stands: how much is durable, published and indexed, and whether anything is stopped.

    Every log's checkpoint is held against the one that was seen here before. What waits on this machine, because a
    server did not take it, is said too, and first: also when this server does not answer.

    \b
    Example:
      atp status
    """
    waiting = _waiting_here()
    if waiting:
        server.output.note(f"note: {waiting} (hint: atp spool list)")
    with server.client() as client:
        answer = client.get("/v1/status").json()
    for log in answer["logs"]:
        watch(server, log["tenant"])
    head = fields(
        [
            ("server", server.url),
            ("version", answer["version"]),
            ("installation", answer["installation"]),
            ("frozen", frozen_by(answer)),
            ("waiting", waiting),
        ]
    )
    server.output.answer(answer, f"{head}\n\n{table(_HEADS, [_row(log) for log in answer['logs']])}")
    return 1 if any(log["stopped"] for log in answer["logs"]) else 0


def _waiting_here() -> str:
    """How much waits on this machine, for whatever server; empty when nothing does."""
    records = [told_line(line) for folder in spool_folders() for line in spooled_lines(folder)[1:]]
    if not records:
        return ""
    servers = len([folder for folder in spool_folders() if len(spooled_lines(folder)) > 1])
    place = "on this machine" if servers == 1 else f"on this machine for {servers} servers"
    return f"{len(records)} records of {len(fold_all(records))} acts wait {place}"


def frozen_by(status: Mapping[str, Any]) -> str | None:
    """Who froze exports, since when and why; None while they are not frozen, or the server is too old to say so."""
    freeze = status.get("freeze")
    return f"by {freeze['person']} since {freeze['since']}: {freeze['reason']}" if freeze else None


def _row(log: dict[str, Any]) -> list[str]:
    return [
        log["tenant"],
        f"{log['size']:,}",
        f"{log['published_size']:,}",
        f"{log['viewed_size']:,}",
        f"{log['lag_seconds']:.1f} s",
        f"{log['parked']:,}",
        log["stopped"] or "ok",
        log["complete_to"] or "",
    ]
