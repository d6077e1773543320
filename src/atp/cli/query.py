"""`atp query`: a question -> the events that answer it, page by page."""

from typing import Any

import click
import msgspec

from atp import limits
from atp.cli.output import table
from atp.cli.server import Server, connected, tenant_option
from atp.cli.trust import watch
from atp.client import Client, tenant_path

_OUTCOMES = ("success", "failure", "denied", "unknown")
_HEADS = ("time", "actor", "action", "resource", "outcome", "id")


class Freshness(msgspec.Struct, frozen=True):
    """How far an answer reaches."""

    size: int
    viewed_size: int
    lag_seconds: float


class Page(msgspec.Struct, frozen=True):
    """One page of an answer; events are kept byte for byte."""

    events: list[msgspec.Raw]
    freshness: Freshness
    next: str | None = None


@click.command()
@tenant_option
@click.option("--actor", help="Of this actor id.")
@click.option("--action", help="Of this action.")
@click.option("--resource", help="Of this resource id.")
@click.option("--outcome", type=click.Choice(_OUTCOMES))
@click.option("--since", help="At or after this time (RFC 3339).")
@click.option("--until", help="Before this time.")
@click.option("--received-since", help="Received at or after this time.")
@click.option("--received-until", help="Received before this time.")
@click.option("--text", help="With all these words, anywhere.")
@click.option("--order", type=click.Choice(("-index", "index")), help="Newest first (-index, the default), or oldest.")
@click.option("--limit", type=click.IntRange(min=1), default=limits.PAGE_EVENTS_DEFAULT, show_default=True)
@click.option("--cursor", help="Go on where an answer ended: its `next`.")
@connected
def command(server: Server, tenant: str, limit: int, **question: str | None) -> None:
    """Ask for events: all conditions have to hold.

    \b
    Examples:
      atp query --actor alice --since 2026-01-01T00:00:00Z
      atp query --tenant acme --text "payment failed" --limit 500 --json
    """
    with server.client() as client:
        page = ask(client, tenant, limit, question)
    watch(server, tenant)
    document = {"events": page.events, "next": page.next, "freshness": page.freshness}
    server.output.answer(document, _text(page) if not server.output.is_json else "")


def ask(client: Client, tenant: str, limit: int, question: dict[str, str | None]) -> Page:
    """Up to `limit` events in one page, asked for in pages of at most `limits.PAGE_EVENTS_MAX`."""
    events: list[msgspec.Raw] = []
    cursor = question.pop("cursor", None)
    while True:
        size = min(limit - len(events), limits.PAGE_EVENTS_MAX)
        reply = client.get(tenant_path(tenant, "events"), {**question, "limit": size, "cursor": cursor})
        page = msgspec.json.decode(reply.body, type=Page)
        events += page.events
        cursor = page.next
        if cursor is None or len(events) >= limit:
            return Page(events, page.freshness, cursor)


def _text(page: Page) -> str:
    rows = [_row(msgspec.json.decode(event)) for event in page.events]
    fresh = page.freshness
    state = f"{len(rows)} events; the log has {fresh.size:,}"
    if fresh.viewed_size < fresh.size:
        state += f", of which {fresh.viewed_size:,} are indexed ({fresh.lag_seconds:.1f} s behind)"
    if page.next:
        state += f"; more: --cursor {page.next}"
    return f"{table(_HEADS, rows)}\n{state}" if rows else state


def _row(event: dict[str, Any]) -> list[str]:
    resource = event.get("resource") or {}
    time = event.get("time") or event["received_at"]
    return [time, event["actor"]["id"], event["action"], resource.get("id", ""), event.get("outcome", ""), event["id"]]
