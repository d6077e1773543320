"""How a PostgreSQL server is reached, as the environment that its own programs read: no password is ever in an argv.

https://www.postgresql.org/docs/current/libpq-connect.html (addresses), libpq-envars.html (environment).
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import unquote

from atp.errors import InvalidError

_VARIABLES: Mapping[str, str] = {
    "host": "PGHOST",
    "hostaddr": "PGHOSTADDR",
    "port": "PGPORT",
    "user": "PGUSER",
    "password": "PGPASSWORD",
    "passfile": "PGPASSFILE",
    "dbname": "PGDATABASE",
    "sslmode": "PGSSLMODE",
    "sslrootcert": "PGSSLROOTCERT",
    "sslcert": "PGSSLCERT",
    "sslkey": "PGSSLKEY",
    "channel_binding": "PGCHANNELBINDING",
    "connect_timeout": "PGCONNECT_TIMEOUT",
}
_URI = re.compile(
    r"postgres(?:ql)?://(?:(?P<user>[^:/?@]*)(?::(?P<password>[^@/]*))?@)?"
    r"(?P<host>\[[^\]/?]*\]|[^:/?@]*)(?::(?P<port>[0-9]*))?(?:/(?P<dbname>[^?]*))?(?:\?(?P<query>.*))?",
    re.DOTALL,
)
_WORD = re.compile(r"\s*([a-z_]+)\s*=\s*(?:'((?:[^'\\]|\\.)*)'|(?!')((?:[^\s\\]|\\.)*))(?=\s|$)", re.DOTALL)
_SECONDS = "10"
_PORT = "5432"
_SOCKETS = "/var/run/postgresql"


@dataclass(frozen=True, slots=True)
class Connection:
    """Where a server is, and as whom; `variables` may hold a password and are never shown."""

    variables: Mapping[str, str] = field(repr=False)

    @property
    def address(self) -> str:
        """`HOST:PORT`, or the path of its socket: what the programs really connect to."""
        host = self.variables.get("PGHOSTADDR") or self.variables.get("PGHOST", _SOCKETS)
        port = self.variables.get("PGPORT", _PORT)
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
    if any("," in found.get(name, "") for name in ("PGHOST", "PGHOSTADDR", "PGPORT")):
        raise _no_address("it names several servers, and one is backed up")
    return Connection({"PGCONNECT_TIMEOUT": _SECONDS, **found})


def _of_uri(text: str) -> dict[str, str]:
    """As libpq reads it: `+` is no space, `#` begins nothing, and a path for a host keeps its capitals."""
    match = _URI.fullmatch(text)
    if match is None:
        raise _no_address("it is no address of one server")
    found = {name: unquote(value or "") for name, value in match.groupdict().items() if name != "query"}
    found["host"] = found["host"].removeprefix("[").removesuffix("]")
    for pair in filter(None, (match["query"] or "").split("&")):
        name, _, value = pair.partition("=")
        found[unquote(name)] = unquote(value)
    return found


def _of_words(text: str) -> dict[str, str]:
    found, at = dict[str, str](), 0
    while at < len(text.rstrip()):
        match = _WORD.match(text, at)
        if match is None:
            raise _no_address("it is not of the form name=value")
        found[match[1]] = re.sub(r"(?s)\\(.)", r"\1", match[2] if match[3] is None else match[3])
        at = match.end()
    return found


def _no_address(reason: str) -> InvalidError:
    return InvalidError(
        f"could not use the address of the server: {reason}", hint="postgresql://USER@HOST:5432/DATABASE"
    )
