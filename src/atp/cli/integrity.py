"""`atp integrity`: let the server verify its logs now, and freeze what leaves it."""

import json
import time
from collections.abc import Iterator
from typing import Any

import click

from atp.cli.output import safe
from atp.cli.progress import Progress
from atp.cli.server import Server, connected
from atp.errors import TamperedError, UnavailableError
from atp.verify.report import LEVELS, Level

_PAUSE_SECONDS = (0.05, 1.0)
_FINDINGS_SHOWN_MAX = 20

reason_option = click.option("--reason", required=True, help="Why; it stands in the operators' trail.")


@click.group()
def command() -> None:
    """Let the server verify its logs, and freeze exports and erasure."""


@command.command()
@click.option("--tenant", help="Only this tenant's log.")
@click.option("--level", type=click.Choice(LEVELS), help="Only this level.  [default: all]")
@connected
def verify(server: Server, tenant: str | None, level: Level | None) -> int:
    """Let the server verify its logs now: stored bytes against the signed roots, views and ids against the logs.

    Exit code 1 when anything is wrong. Who does not trust the server verifies from outside, with `atp verify`.

    \b
    Examples:
      atp integrity verify
      atp integrity verify --tenant default --level index
    """
    return run_verification(server, tenant, level)


@command.command()
@reason_option
@connected
def freeze(server: Server, reason: str) -> None:
    """Refuse exports and erasure until `atp integrity unfreeze`, also after a restart.

    \b
    Example:
      atp integrity freeze --reason "case 7: keep everything as it is"
    """
    brake(server, "/v1/integrity/freeze", reason, "frozen: nothing is exported or erased")


@command.command()
@reason_option
@connected
def unfreeze(server: Server, reason: str) -> None:
    """Let exports and erasure go on.

    \b
    Example:
      atp integrity unfreeze --reason "case 7 is closed"
    """
    brake(server, "/v1/integrity/unfreeze", reason, "no longer frozen")


def brake(server: Server, path: str, reason: str, said: str) -> None:
    """Pull or release a brake, and say so."""
    with server.client() as client:
        client.request("POST", path, body=json.dumps({"reason": reason}).encode())
    server.output.answer({"done": path.removeprefix("/v1/"), "reason": reason}, said)


def run_verification(server: Server, tenant: str | None, level: Level | None) -> int:
    """Begin a verification on the server, wait for its end, print its report."""
    wanted = {"tenant": tenant, "level": level}
    with server.client() as client, Progress("entries") as progress:
        run = client.request("POST", "/v1/integrity/runs", body=json.dumps(wanted).encode()).json()
        pause, pause_max = _PAUSE_SECONDS
        while not run["finished_at"]:
            progress.show(run["checked"], total=run["entries"])
            time.sleep(pause)
            pause = min(pause * 1.5, pause_max)
            run = client.get(f"/v1/integrity/runs/{run['number']}").json()
    if run["error"]:
        raise UnavailableError(run["error"].replace("could not verify", "could not finish to verify"))
    server.output.answer(run, "\n".join(_lines(run)))
    return TamperedError.exit_code if run["tampered"] else 0


def _lines(run: Any) -> Iterator[str]:
    report = run["report"] or {"logs": [], "findings": []}
    for log in report["logs"]:
        yield safe(f"{log['log']}: {log['size']:,} entries")
        for name, level in log["levels"].items():
            yield safe(f"  {name:<10} {level['verdict']}{': ' if level['reason'] else ''}{level['reason']}")
        yield from (safe(f"  ! {finding['sentence']}") for finding in log["findings"][:_FINDINGS_SHOWN_MAX])
    yield from (safe(f"! {finding['sentence']}") for finding in report["findings"][:_FINDINGS_SHOWN_MAX])
    yield "TAMPERED" if run["tampered"] else "nothing wrong found"
