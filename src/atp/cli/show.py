"""`atp show`: one event, all of it."""

from collections.abc import Iterator, Mapping
from typing import Any

import click
import msgspec

from atp.cli.output import fields, safe_json
from atp.cli.server import Server, connected, tenant_option
from atp.cli.trust import watch
from atp.client import tenant_path

_DATA = "data"


@click.command()
@click.argument("event_id")
@tenant_option
@connected
def command(server: Server, event_id: str, tenant: str) -> None:
    """Show the event with the id EVENT_ID, or the one at @INDEX.

    \b
    Examples:
      atp show inv-7-approved
      atp show @0 --json
    """
    with server.client() as client:
        body = client.get(tenant_path(tenant, "events", event_id)).body
    watch(server, tenant)
    server.output.answer(msgspec.Raw(body), "" if server.output.is_json else _text(body))


def _text(body: bytes) -> str:
    members = msgspec.json.decode(body, type=dict[str, msgspec.Raw])
    data = members.pop(_DATA, None)
    pairs = [pair for name, raw in members.items() for pair in _flat(name, msgspec.json.decode(raw))]
    if data is None:
        return fields(pairs)
    # Indented as text, so that its numbers, the order of its keys and repeated ones stay as they are.
    return f"{fields(pairs)}\n{_DATA}\n{_indented(data)}"


def _flat(name: str, value: Any) -> Iterator[tuple[str, object]]:
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _flat(f"{name}.{key}", inner)
    else:
        yield name, value


def _indented(data: msgspec.Raw) -> str:
    lines = msgspec.json.format(bytes(data), indent=2).decode().split("\n")
    return "\n".join(safe_json(line) for line in lines)
