"""`atp dlq`: records that could not be recorded, and why."""

import base64
from typing import Any

import click

from atp.cli.output import fields, table
from atp.cli.server import Server, connected, tenant_option
from atp.client import tenant_path
from atp.errors import MissingError

_LIMIT = 50
_LIMIT_OF_SEARCH = 1_000


@click.group()
def command() -> None:
    """Look at the records of a tenant that were parked: nothing that came in is lost."""


@command.command(name="list")
@tenant_option
@click.option("--limit", type=click.IntRange(min=1, max=_LIMIT_OF_SEARCH), default=_LIMIT, show_default=True)
@connected
def list_(server: Server, tenant: str, limit: int) -> None:
    """List parked records, the oldest first.

    \b
    Example:
      atp dlq list --tenant default
    """
    answer = _letters(server, tenant, limit)
    rows = [(one["parked_at"], f"{len(_body(one)):,}", one["reason"], one["key"][:16]) for one in answer["records"]]
    shown = f"{table(('parked', 'bytes', 'reason', 'key'), rows)}\n{len(rows)} of {answer['count']} parked records"
    server.output.answer(answer, shown if rows else "nothing is parked")


@command.command()
@click.argument("key")
@tenant_option
@connected
def inspect(server: Server, key: str, tenant: str) -> None:
    """Show the parked record whose key begins with KEY.

    \b
    Example:
      atp dlq inspect 9f86d081884c7d65
    """
    found = [one for one in _letters(server, tenant, _LIMIT_OF_SEARCH)["records"] if one["key"].startswith(key)]
    if len(found) != 1:
        raise MissingError(
            f"could not show the record {key!r}: {len(found) or 'no'} records have such a key", hint="atp dlq list"
        )
    body = _body(found[0]).decode(errors="backslashreplace")
    head = [(name, value) for name, value in found[0].items() if name != "body"]
    server.output.answer(found[0], fields([*head, ("record", body)]))


def _body(letter: dict[str, str]) -> bytes:
    return base64.b64decode(letter["body"])


def _letters(server: Server, tenant: str, limit: int) -> Any:
    with server.client() as client:
        return client.get(tenant_path(tenant, "dlq"), {"limit": limit}).json()
