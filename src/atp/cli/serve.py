"""`atp serve`: the platform itself."""

from pathlib import Path

import click

from atp.api.app import make_app
from atp.app.config import load_config
from atp.app.health import Health
from atp.app.platform import Platform
from atp.app.serve import Doors, serve
from atp.app.status import Counter
from atp.app.trail import Trail
from atp.web.login import first_login_path
from atp.web.pages import web_routes
from atp.web.sessions import Sessions

_DATA_DEFAULT = Path("var/atp")


@click.command()
@click.option("--data", type=click.Path(path_type=Path), default=_DATA_DEFAULT, show_default=True)
@click.option("--listen", metavar="HOST:PORT", help="[default: 127.0.0.1:8600]")
@click.option("--config", type=click.Path(path_type=Path), help="A TOML file; what is said here goes before it.")
@click.option(
    "--estate", type=click.Path(path_type=Path), envvar="ATP_ESTATE", help="The estate file to show. [env: ATP_ESTATE]"
)
def command(data: Path, listen: str | None, config: Path | None, estate: Path | None) -> int:
    """Run the platform on a data directory until it is told to stop (Ctrl-C or SIGTERM).

    The first start creates the directory, the tenants `default` and `operations`, and a key in DATA/root.key.

    \b
    Example:
      atp serve --data var/atp --listen 127.0.0.1:8600
    """
    return serve(load_config(data, listen=listen, file=config, estate=estate), open_doors=open_doors, tell=click.echo)


def open_doors(platform: Platform) -> Doors:
    """Everything that is served of a platform: API and pages."""
    trail = Trail(platform.note, now=platform.now, clock=platform.clock, meters=platform.meters)
    health, sessions = Health(platform, Counter(platform)), Sessions(platform.clock)
    pages = web_routes(platform, sessions=sessions, trail=trail, health=health)
    app = make_app(platform, trail=trail, health=health, web_routes=pages)
    return Doors(app, login_path=first_login_path(platform, sessions))
