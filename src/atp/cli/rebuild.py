"""`atp rebuild`: views dropped and made again from the logs, while the server runs."""

import json
import time
from collections.abc import Mapping

import click

from atp.cli.integrity import run_verification
from atp.cli.output import table
from atp.cli.progress import Progress
from atp.cli.server import Server, connected
from atp.client import Client

_PAUSE_SECONDS = 0.1


@click.command()
@click.option("--tenant", help="Only this tenant's.  [default: all]")
@click.option("--dry-run", is_flag=True, help="Only compare views and ids with the logs; exit code 1 when they differ.")
@connected
def command(server: Server, tenant: str | None, dry_run: bool) -> int:
    """Drop the views that queries lean on, and make them again from the logs. May be repeated, and broken off.

    Everything goes on meanwhile. Questions are answered from the log itself where there is no view yet: truly, and more
    slowly. The command ends when the views hold again what they held.

    \b
    Examples:
      atp rebuild --dry-run
      atp rebuild --tenant default
    """
    if dry_run:
        return run_verification(server, tenant, "index")
    with server.client() as client, Progress("entries") as progress:
        begun = client.request("POST", "/v1/rebuild", body=json.dumps({"tenant": tenant}).encode()).json()
        sizes = {log["tenant"]: log["size"] for log in begun["logs"]}
        while (done := _done(client, sizes)) < sum(sizes.values()):
            progress.show(done, total=sum(sizes.values()))
            time.sleep(_PAUSE_SECONDS)
    rows = [(f"{size:,}", name) for name, size in sizes.items()]
    server.output.answer({"rebuilt": begun["logs"]}, table(("entries", "rebuilt"), rows))
    return 0


def _done(client: Client, sizes: Mapping[str, int]) -> int:
    """How many of the entries the views hold again."""
    logs = client.get("/v1/status").json()["logs"]
    return sum(min(log["viewed_size"], sizes[log["tenant"]]) for log in logs if log["tenant"] in sizes)
