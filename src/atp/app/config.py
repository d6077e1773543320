"""What an operator may set: a small TOML file, every key with a default."""

import tomllib
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from atp.errors import InvalidError, MalformedError, MissingError


@dataclass(frozen=True, slots=True)
class Config:
    """`data`: the directory that holds everything. `listen`: HOST:PORT. `installation`: what new origins begin with
    (empty: an id drawn at the first start). `public_url`: how browsers reach the server, when not by `listen`.
    `formats`: a directory of mappings of one's own. `rate_per_second`: requests a key and second, bursts of twice that.
    """

    data: Path
    listen: str = "127.0.0.1:8600"
    installation: str = ""
    public_url: str = ""
    formats: Path | None = None
    rate_per_second: float = 5_000.0

    @property
    def address(self) -> tuple[str, int]:
        """Host and port to listen on."""
        host, _, port = self.listen.rpartition(":")
        return host.strip("[]"), int(port)


def load_config(data: Path, *, listen: str | None, file: Path | None) -> Config:
    """The file's settings under the command line's. RefusedError names the key that is wrong."""
    config = replace(Config(data), **_read(file)) if file else Config(data)
    if listen:
        config = replace(config, listen=listen)
    host, _, port = config.listen.rpartition(":")
    if not host or not port.isdigit() or int(port) > 65_535:
        raise InvalidError(f"could not listen on {config.listen!r}: it is not HOST:PORT", hint="127.0.0.1:8600")
    return config


def _read(file: Path) -> dict[str, Any]:
    try:
        settings = tomllib.loads(file.read_text())
    except FileNotFoundError:
        raise MissingError(f"could not read the configuration: {file} does not exist") from None
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise MalformedError(f"could not read the configuration {file}: {error}") from None
    kinds: dict[str, Any] = {field.name: field.type for field in fields(Config) if field.name != "data"}
    for key, value in settings.items():
        if key not in kinds:
            raise InvalidError(f"could not use {file}: {key!r} is unknown", hint=f"known are {', '.join(kinds)}")
        wanted = (int, float) if kinds[key] is float else str
        if not isinstance(value, wanted):
            raise InvalidError(f"could not use {file}: {key} has to be a {'number' if kinds[key] is float else 'text'}")
    if "formats" in settings:
        settings["formats"] = Path(settings["formats"])
    return settings
