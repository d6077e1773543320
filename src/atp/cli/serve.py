"""`atp serve`: the platform itself."""

from pathlib import Path

import click

from atp.app.config import load_config
from atp.app.serve import serve

_DATA_DEFAULT = Path("var/atp")


@click.command()
@click.option("--data", type=click.Path(path_type=Path), default=_DATA_DEFAULT, show_default=True)
@click.option("--listen", metavar="HOST:PORT", help="[default: 127.0.0.1:8600]")
@click.option("--config", type=click.Path(path_type=Path), help="A TOML file; what is said here goes before it.")
def command(data: Path, listen: str | None, config: Path | None) -> int:
    """Run the platform on a data directory until it is told to stop (Ctrl-C or SIGTERM).

    The first start creates the directory, the tenants `default` and `operations`, and a key in DATA/root.key.

    \b
    Example:
      atp serve --data var/atp --listen 127.0.0.1:8600
    """
    return serve(load_config(data, listen=listen, file=config))
