"""How a PostgreSQL server is reached, as the environment that its own programs read: no password is ever in an argv.

https://www.postgresql.org/docs/current/libpq-connect.html (addresses), libpq-envars.html (environment).
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import parse_qsl, unquote, urlsplit

from atp.errors import InvalidError

_VARIABLES: Mapping[str, str] = {
    "host": "PGHOST",
    "hostaddr": "PGHOSTADDR",
    "port": "PGPORT",
    "user": "PGUSER",
    "password": "PGPASSWORD",
    "passfile": "PGPASSFILE",
    "dbname": "PGDATABASE",
    "service": "PGSERVICE",
    "sslmode": "PGSSLMODE",
    "sslrootcert": "PGSSLROOTCERT",
    "sslcert": "PGSSLCERT",
    "sslkey": "PGSSLKEY",
    "connect_timeout": "PGCONNECT_TIMEOUT",
}
_WORD = re.compile(r"\s*([a-z_]+)\s*=\s*('(?:[^'\\]|\\.)*'|[^\s']*)(?=\s|$)")
_SECONDS = "10"
_PORT = "5432"
_SOCKETS = "/var/run/postgresql"


@dataclass(frozen=True, slots=True)
class Connection:
    """Where a server is, and as whom; `variables` may hold a password and are never shown."""

    variables: Mapping[str, str] = field(repr=False)

    @property
    def address(self) -> str:
        """`HOST:PORT`, or the path of its socket."""
        host, port = self.variables.get("PGHOST", _SOCKETS), self.variables.get("PGPORT", _PORT)
        return str(Path(host) / f".s.PGSQL.{port}") if host.startswith("/") else f"{host}:{port}"

    @property
    def database(self) -> str:
        """The database that is asked."""
        return self.variables.get("PGDATABASE") or self.variables.get("PGUSER") or "postgres"


def parse_connection(text: str) -> Connection:
    """An address as psql takes it: `postgresql://…` or `host=… port=…`. InvalidError, which shows none of it."""
    words = _of_uri(text) if re.match(r"postgres(ql)?://", text) else _of_words(text)
    unknown = [name for name in words if name not in _VARIABLES]
    if unknown:
        raise _no_address(f"{unknown[0][:40]!r} is not one of {', '.join(_VARIABLES)}")
    found = {_VARIABLES[name]: value for name, value in words.items() if value}
    if any("\0" in value for value in found.values()):
        raise _no_address("it holds a NUL")
    return Connection({"PGCONNECT_TIMEOUT": _SECONDS, **found})


def _of_uri(text: str) -> dict[str, str]:
    try:
        parts = urlsplit(text)
        port = str(parts.port or "")
    except ValueError:
        raise _no_address("it is no address of one server") from None
    found = {
        "host": unquote(parts.hostname or ""),
        "port": port,
        "user": unquote(parts.username or ""),
        "password": unquote(parts.password or ""),
        "dbname": unquote(parts.path.lstrip("/")),
    }
    return {**found, **dict(parse_qsl(parts.query))}


def _of_words(text: str) -> dict[str, str]:
    found, at = dict[str, str](), 0
    while at < len(text.rstrip()):
        match = _WORD.match(text, at)
        if match is None:
            raise _no_address("it is not of the form name=value")
        value = match[2]
        found[match[1]] = re.sub(r"\\(.)", r"\1", value[1:-1] if value.startswith("'") else value)
        at = match.end()
    return found


def _no_address(reason: str) -> InvalidError:
    return InvalidError(
        f"could not use the address of the server: {reason}", hint="postgresql://USER@HOST:5432/DATABASE"
    )
