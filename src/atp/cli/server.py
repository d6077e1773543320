"""Which server a command talks to and with which key, and the options that say so."""

import functools
import os
import stat
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import click

from atp.app.machine import open_spool
from atp.cli.output import Output
from atp.client import Client
from atp.errors import AtpError, ForbiddenError, MalformedError, MissingError, UnauthorizedError
from atp.ops.record.deliver import deliver
from atp.tenants.names import DEFAULT
from atp.verify.remember import default_memory

URL_DEFAULT = "http://127.0.0.1:8600"
KEY_FILE_DEFAULT = Path("var/atp/root.key")
_KEY_FILE_BYTES_MAX = 4_096
_OTHERS = stat.S_IRWXG | stat.S_IRWXO
_LOOPBACK = ("localhost", "127.0.0.1", "::1")
_TRIES_OF_ONE_ANSWER = 4

Verb = Callable[..., int | None]

json_option = click.option("--json", "is_json", is_flag=True, help="Print one JSON document and nothing else.")
tenant_option = click.option(
    "--tenant", default=DEFAULT, envvar="ATP_TENANT", show_default=True, help="Whose log. [env: ATP_TENANT]"
)
url_option = click.option("--url", default=URL_DEFAULT, envvar="ATP_URL", show_default=True, help="[env: ATP_URL]")
key_file_option = click.option(
    "--key-file",
    type=click.Path(path_type=Path),
    help=f"Holds the API key. [env: ATP_KEY_FILE, or the key itself in ATP_API_KEY; default: {KEY_FILE_DEFAULT}]",
)


@dataclass(frozen=True, slots=True)
class Server:
    """A server and the key to it, and where the command's words go."""

    url: str
    key: str | None
    output: Output

    def client(self, *, tries: int = _TRIES_OF_ONE_ANSWER, sleep: Callable[[float], object] = time.sleep) -> Client:
        """A new connection, for one thread."""
        return Client(self.url, key=self.key, tries=tries, sleep=sleep)


def connected(verb: Verb, *, delivers_first: bool = True) -> Verb:
    """Give a verb `--url`, `--key-file` and `--json`, and call it with the `server` that they mean.

    What waits on this machine for that server is delivered before.
    """

    @url_option
    @key_file_option
    @json_option
    @functools.wraps(verb)
    def call(url: str, key_file: Path | None, is_json: bool, **given: object) -> int | None:
        server = find_server(url, key_file=key_file, output=Output(is_json))
        if delivers_first:
            deliver_first(server)
        return verb(server, **given)

    return call


def deliver_first(server: Server) -> None:
    """Deliver what waits before a command does its own; whatever prevents it is said, and the command goes on.

    Costs looking for a file where nothing waits.
    """
    spool = open_spool(server.url, tell=server.output.note)
    try:
        if spool.waiting():
            with server.client(tries=1) as client:
                count = deliver(spool, client, default_memory())
            server.output.note(f"note: {count} records that waited on this machine are delivered")
    except AtpError as error:
        server.output.note(f"warning: {error}")


def find_server(url: str, *, key_file: Path | None, output: Output) -> Server:
    """The server of the options and the environment. UnauthorizedError when there is no key for it."""
    place = urlsplit(url)
    if place.scheme == "http" and place.hostname not in _LOOPBACK:
        output.note(f"warning: {url} is not encrypted: whoever is on the way can read the key and the events")
    key = find_key(key_file, output)
    if key is None:
        raise UnauthorizedError(
            f"could not call {url}: there is no key in ATP_API_KEY, nor a file {KEY_FILE_DEFAULT}",
            hint="name one with --key-file or ATP_KEY_FILE",
        )
    return Server(url, key, output)


def find_key(key_file: Path | None, output: Output) -> str | None:
    """The API key: of `--key-file`, ATP_API_KEY, ATP_KEY_FILE or the default file, whichever is first."""
    if key_file is not None:
        return _read_key(key_file, output)
    if key := os.environ.get("ATP_API_KEY"):
        return key.strip()
    if named := os.environ.get("ATP_KEY_FILE"):
        return _read_key(Path(named), output)
    return _read_key(KEY_FILE_DEFAULT, output) if KEY_FILE_DEFAULT.exists() else None


def _read_key(path: Path, output: Output) -> str:
    try:
        with path.open("rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            text = file.read(_KEY_FILE_BYTES_MAX).decode("ascii").strip()
    except FileNotFoundError:
        raise MissingError(f"could not read the key: {path} does not exist", hint="--key-file FILE") from None
    except OSError as error:
        raise ForbiddenError(f"could not read the key: {path}: {error.strerror}", hint="--key-file FILE") from None
    except UnicodeDecodeError:
        text = ""
    if not text or any(char.isspace() for char in text):
        raise MalformedError(f"could not read the key: {path} does not hold one line with a key")
    if mode & _OTHERS:
        output.note(f"warning: others can read the key in {path} (hint: chmod 600 {path})")
    return text
