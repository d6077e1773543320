"""The pages put together: routes for the server's application, their templates, style sheet and script."""

from collections.abc import Mapping
from functools import partial
from hashlib import sha256
from importlib.resources import files

from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from atp import __version__
from atp.app.health import Health
from atp.app.platform import Platform
from atp.app.trail import Trail
from atp.errors import MissingError
from atp.web import display, drills, estate, events, login, logs, snippets, timeline
from atp.web.guard import guard_of
from atp.web.sessions import Failures, Sessions
from atp.web.site import Site

_MEDIA = {"style.css": "text/css", "page.js": "text/javascript", "icon.svg": "image/svg+xml"}
# What is asked for by hand and is not there is told as a page; below other paths it is the API that says so.
_ELSEWHERE = (
    "/{page}",
    *(f"/{noun}/{{rest:path}}" for noun in ("events", "logs", "datasets", "drills", "static")),
)
_FOREVER = "public, max-age=31536000, immutable"


def web_routes(platform: Platform, *, sessions: Sessions, trail: Trail, health: Health) -> list[Route]:
    """The pages of a platform. `sessions` is where the caller gets the token of the one-time link from."""
    assets = {name: files("atp.web").joinpath("static", name).read_bytes() for name in _MEDIA}
    addresses = {name: f"/static/{name}?v={sha256(body).hexdigest()[:12]}" for name, body in assets.items()}
    site = Site(
        platform=platform,
        trail=trail,
        sessions=sessions,
        failures=Failures(platform.clock),
        health=health,
        guard=guard_of(platform.config),
        templates=_templates(addresses),
    )
    return [
        *timeline.routes(site),
        *events.routes(site),
        *logs.routes(site),
        *estate.routes(site),
        *drills.routes(site),
        *login.routes(site),
        Route("/static/{name}", site.open_page(partial(_asset, assets)), methods=["GET"]),
        Route("/favicon.ico", site.open_page(partial(_icon, assets)), methods=["GET"]),
        *(Route(path, site.open_page(partial(_missing, site)), methods=["GET"]) for path in _ELSEWHERE),
    ]


def _templates(addresses: Mapping[str, str]) -> Environment:
    templates = Environment(
        loader=PackageLoader("atp.web"),
        autoescape=select_autoescape(("html",)),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    templates.tests.update(startswith=str.startswith)
    templates.globals.update(static=addresses, version=__version__)
    templates.filters.update(
        visible=display.visible,
        plain=display.plain,
        visible_lines=display.visible_lines,
        instant=display.instant,
        moment=display.moment,
        pretty_json=display.pretty_json,
        hex_dump=display.hex_dump,
        sh=snippets.shell_word,
        py=snippets.python_text,
    )
    return templates


def _asset(assets: Mapping[str, bytes], request: Request, _: Mapping[str, str]) -> Response:
    name = request.path_params["name"]
    if name not in assets:
        raise MissingError(f"could not find {name!r}: there is no such file")
    # The address holds a digest of the content, so the content of an address never changes.
    return Response(assets[name], headers={"Cache-Control": _FOREVER}, media_type=_MEDIA[name])


def _missing(site: Site, request: Request, form: Mapping[str, str]) -> Response:
    error = MissingError(f"could not find {request.url.path[:200]!r}: there is no such page")
    return site.error(error, visit=site.visit(request, form))


def _icon(assets: Mapping[str, bytes], request: Request, _: Mapping[str, str]) -> Response:
    return Response(assets["icon.svg"], headers={"Cache-Control": _FOREVER}, media_type=_MEDIA["icon.svg"])
