"""`atp tenant`: who has a log."""

import json

import click

from atp.cli.output import fields, table
from atp.cli.server import Server, connected


@click.group()
def command() -> None:
    """Create and list tenants: each has a log of its own."""


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
