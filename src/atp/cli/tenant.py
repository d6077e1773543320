"""`atp tenant`: who has a log."""

import json

import click

from atp.cli.output import fields, table
from atp.cli.server import Server, connected
from atp.client import tenant_path


@click.group()
def command() -> None:
    """Create and list tenants: each has a log of its own, and keys that sign it."""


@command.command()
@click.argument("name")
@connected
def create(server: Server, name: str) -> None:
    """Create the tenant NAME with an empty log, which has its own key and origin.

    \b
    Example:
      atp tenant create acme
    """
    with server.client() as client:
        made = client.request("POST", "/v1/tenants", body=json.dumps({"tenant": name}).encode()).json()
    server.output.answer(made, fields(list(made.items())))


@command.command(name="list")
@connected
def list_(server: Server) -> None:
    """List the tenants that the key may see.

    \b
    Example:
      atp tenant list
    """
    with server.client() as client:
        answer = client.get("/v1/tenants").json()
    rows = [(one["tenant"], one["created_at"], one["origin"]) for one in answer["tenants"]]
    server.output.answer(answer, table(("tenant", "created", "origin"), rows))


@command.command(name="rotate-key")
@click.argument("name")
@connected
def rotate_key(server: Server, name: str) -> None:
    """Let a new key sign the log of NAME, first; the old one signs too until `atp tenant retire-key`.

    Everybody who trusts the log gets the new vkey meanwhile. The change stands in the log.

    \b
    Example:
      atp tenant rotate-key default
    """
    with server.client() as client:
        answer = client.request("POST", tenant_path(name, "log-keys")).json()
    server.output.answer(answer, table(("vkeys that sign",), [(vkey,) for vkey in answer["vkeys"]]))


@command.command(name="retire-key")
@click.argument("name")
@click.argument("key_id")
@connected
def retire_key(server: Server, name: str, key_id: str) -> None:
    """Let the key KEY_ID sign the log of NAME no more. The id is the middle part of its vkey.

    \b
    Example:
      atp tenant retire-key default 01234567
    """
    with server.client() as client:
        answer = client.request("DELETE", tenant_path(name, "log-keys", key_id)).json()
    server.output.answer(answer, table(("vkeys that sign",), [(vkey,) for vkey in answer["vkeys"]]))
