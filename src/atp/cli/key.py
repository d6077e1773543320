"""`atp key`: who may knock."""

import json
import os
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import quote

import click

from atp.cli.output import fields, table
from atp.cli.server import Server, connected
from atp.errors import ConflictError, ForbiddenError
from atp.tenants.access import SCOPES


@click.group()
def command() -> None:
    """Create, list and revoke API keys: each belongs to a person."""


@command.command()
@click.option("--person", required=True, help="Whose key it is.")
@click.option(
    "--scope", "scopes", type=click.Choice(SCOPES), multiple=True, required=True, help="May be given several times."
)
@click.option("--tenant", "tenants", multiple=True, help="Only for this tenant; may be given several times.")
@click.option("-o", "--output", "file", type=click.Path(path_type=Path), help="Write the key to a new FILE, mode 0600.")
@connected
def create(server: Server, person: str, scopes: Sequence[str], tenants: Sequence[str], file: Path | None) -> None:
    """Create a key. It is shown this one time: the server keeps only its digest.

    \b
    Example:
      atp key create --person alice --scope read --tenant default -o alice.key
    """
    body = json.dumps({"person": person, "scopes": scopes, "tenants": tenants}).encode()
    handle = None if file is None else _create(file)
    try:
        with server.client() as client:
            made = client.request("POST", "/v1/keys", body=body).json()
    except BaseException:
        if file is not None:
            file.unlink()
        raise
    if handle is not None:
        os.write(handle, f"{made.pop('key')}\n".encode())
        os.close(handle)
        made["file"] = str(file)
    server.output.answer(made, fields([(name, _text(value)) for name, value in made.items()]))


@command.command(name="list")
@connected
def list_(server: Server) -> None:
    """List the keys, without their secrets.

    \b
    Example:
      atp key list
    """
    with server.client() as client:
        answer = client.get("/v1/keys").json()
    rows = [
        (
            one["person"],
            _text(one["scopes"]),
            _text(one["tenants"]) or "all",
            one["created_at"],
            one.get("revoked_at") or "",
            one["id"],
        )
        for one in answer["keys"]
    ]
    server.output.answer(answer, table(("person", "scopes", "tenants", "created", "revoked", "id"), rows))


@command.command()
@click.argument("key_id")
@connected
def revoke(server: Server, key_id: str) -> None:
    """Let the key KEY_ID open nothing from now on.

    \b
    Example:
      atp key revoke 0123456789ab
    """
    with server.client() as client:
        client.request("DELETE", f"/v1/keys/{quote(key_id, safe='')}")
    server.output.answer({"revoked": key_id}, f"revoked {key_id}")


def _create(file: Path) -> int:
    try:
        return os.open(file, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
    except FileExistsError:
        raise ConflictError(f"could not write the key: {file} exists", hint="choose another file") from None
    except OSError as error:
        raise ForbiddenError(f"could not write the key: {file}: {error.strerror}", hint="choose another file") from None


def _text(value: object) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)
