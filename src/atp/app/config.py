"""What an operator may set: a small TOML file, every key with a default."""

import tomllib
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from atp.errors import InvalidError, MalformedError, MissingError

_WANTED: dict[Any, tuple[Any, str]] = {float: ((int, float), "a number"), bool: (bool, "true or false")}


@dataclass(frozen=True, slots=True)
class Runs:
    """Whether the server runs what is due by itself (`run`), and with what: `identity` is the file with the private
    key that drills open copies with (without it none is run), `key_file` holds the API key that runs act with, as a
    rule the root's.
    """

    run: bool = False
    identity: Path | None = None
    key_file: Path | None = None


@dataclass(frozen=True, slots=True)
class Config:
    """`data`: the directory that holds everything. `listen`: HOST:PORT. `installation`: what new origins begin with
    (empty: an id drawn at the first start). `public_url`: how browsers reach the server, when not by `listen`.
    `formats`: a directory of mappings of one's own. `rate_per_second`: requests a key and second, bursts of twice that.
    `estate`: the estate file that pages, checks and the scheduler are about. `recovery`: what the scheduler may run.
    """

    data: Path
    listen: str = "127.0.0.1:8600"
    installation: str = ""
    public_url: str = ""
    formats: Path | None = None
    rate_per_second: float = 5_000.0
    estate: Path | None = None
    recovery: Runs = Runs()

    @property
    def address(self) -> tuple[str, int]:
        """Host and port to listen on."""
        host, _, port = self.listen.rpartition(":")
        return host.strip("[]"), int(port)


def load_config(data: Path, *, listen: str | None, file: Path | None, estate: Path | None = None) -> Config:
    """The file's settings under the command line's. RefusedError names the key that is wrong."""
    config = replace(Config(data), **_read(file)) if file else Config(data)
    if listen:
        config = replace(config, listen=listen)
    if estate:
        config = replace(config, estate=estate)
    host, _, port = config.listen.rpartition(":")
    if not host or not port.isdigit() or int(port) > 65_535:
        raise InvalidError(f"could not listen on {config.listen!r}: it is not HOST:PORT", hint="127.0.0.1:8600")
    if config.recovery.run and config.estate is None:
        raise InvalidError("could not run what is due: no estate file is named", hint='estate = "/etc/atp/estate.yaml"')
    return config


def _read(file: Path) -> dict[str, Any]:
    try:
        settings = tomllib.loads(file.read_text())
    except FileNotFoundError:
        raise MissingError(f"could not read the configuration: {file} does not exist") from None
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise MalformedError(f"could not read the configuration {file}: {error}") from None
    runs = settings.pop("recovery", {})
    if not isinstance(runs, dict):
        raise InvalidError(f"could not use {file}: recovery has to be a table", hint="[recovery]")
    found = _checked(settings, Config, file, without=("data", "recovery"), table="")
    return {**found, "recovery": Runs(**_checked(runs, Runs, file, without=(), table="recovery."))}


def _checked(settings: dict[str, Any], of: type, file: Path, *, without: tuple[str, ...], table: str) -> dict[str, Any]:
    """The settings of one table, paths as such. InvalidError names the key that is unknown or of another kind."""
    kinds: dict[str, Any] = {field.name: field.type for field in fields(of) if field.name not in without}
    for key, value in settings.items():
        if key not in kinds:
            known = ", ".join([*kinds, "recovery"] if "recovery" in without else kinds)
            raise InvalidError(f"could not use {file}: {table + key!r} is unknown", hint=f"known are {known}")
        wanted, name = _WANTED.get(kinds[key], (str, "a text"))
        if not isinstance(value, wanted) or (isinstance(value, bool) and wanted is not bool):
            raise InvalidError(f"could not use {file}: {table}{key} has to be {name}")
    return {key: Path(value) if kinds[key] == Path | None else value for key, value in settings.items()}
