"""`atp maintenance`: let no events in for a while."""

import click

from atp.cli.integrity import brake, reason_option
from atp.cli.server import Server, connected


@click.group()
def command() -> None:
    """Refuse events for a while: senders are told to come again."""


@command.command()
@reason_option
@connected
def on(server: Server, reason: str) -> None:
    """Refuse events with 503 until `atp maintenance off`, also after a restart; the operators' trail goes on.

    \b
    Example:
      atp maintenance on --reason "moving to another disk"
    """
    brake(server, "/v1/maintenance/on", reason, "maintenance: events are refused")


@command.command()
@reason_option
@connected
def off(server: Server, reason: str) -> None:
    """Take events again.

    \b
    Example:
      atp maintenance off --reason "moved"
    """
    brake(server, "/v1/maintenance/off", reason, "events are taken again")
