"""Signing in by the one-time link or with a key, and signing out."""

from collections.abc import Mapping
from functools import partial

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from atp.app.platform import Platform
from atp.errors import AtpError, RateLimitedError, UnauthorizedError
from atp.web.guard import check_csrf
from atp.web.sessions import IDLE_SECONDS_MAX, Sessions
from atp.web.site import SESSION_COOKIE, Site, Visit
from atp.web.snippets import shell_word

FORM_COOKIE = "atp_login"
"""Holds the CSRF token of the sign-in form, as there is no session yet that could (double submit)."""


def routes(site: Site) -> list[Route]:
    """The pages of this noun."""
    return [
        Route("/login", site.open_page(partial(show_login, site)), methods=["GET"]),
        Route("/login", site.open_page(partial(log_in, site)), methods=["POST"]),
        Route("/logout", site.page(log_out), methods=["POST"]),
    ]


def first_login_path(platform: Platform, sessions: Sessions) -> str | None:
    """A one-time link for whoever started the server, through the root key. None when that is gone or revoked."""
    try:
        key = (platform.config.data / "root.key").read_text()
        key_id = platform.authenticate(key).key_id
    except (OSError, UnicodeDecodeError, UnauthorizedError):
        return None
    return f"/login?token={sessions.issue_ticket(key_id)}"


def show_login(site: Site, request: Request, _: Mapping[str, str]) -> Response:
    """The sign-in form. A link's token is not used up by looking at it: previews of links do that."""
    given = request.query_params
    return _form(site, request, ticket=given.get("token", ""), onward=given.get("next", ""))


def log_in(site: Site, request: Request, form: Mapping[str, str]) -> Response:
    """Open a session for a one-time token or a key, or show the form again and say why not."""
    check_csrf(form, request.cookies.get(FORM_COOKIE, ""))
    address = request.client.host if request.client else ""
    try:
        site.failures.check(address)
        key_id = _key_id(site, form)
        caller = site.platform.holder(key_id)
    except UnauthorizedError as error:
        site.failures.count(address)
        site.trail.refuse(person="nobody", door="POST /login", code=error.code, tenant=None, ip=address or None)
        return _form(site, request, onward=form.get("next", ""), problem=error)
    except RateLimitedError as error:
        return _form(site, request, onward=form.get("next", ""), problem=error)
    site.act("session.open", by=caller, address=address or None)
    response = RedirectResponse(local_path(form.get("next", "")), 303)
    _set_cookie(site, request, response, SESSION_COOKIE, site.sessions.open(key_id), seconds=int(IDLE_SECONDS_MAX))
    response.delete_cookie(FORM_COOKIE)
    return response


def log_out(site: Site, visit: Visit) -> Response:
    """End the session."""
    site.sessions.close(visit.request.cookies[SESSION_COOKIE])
    site.act("session.close", by=visit.caller, address=visit.address)
    response = RedirectResponse("/login", 303)
    response.delete_cookie(SESSION_COOKIE)
    return response


def local_path(text: str) -> str:
    """A path of this site, to go on with; `/` for whatever might lead elsewhere."""
    is_local = text.startswith("/") and text[1:2] not in ("/", "\\") and text.isprintable()
    return text if is_local else "/"


def _key_id(site: Site, form: Mapping[str, str]) -> str:
    if ticket := form.get("token"):
        return site.sessions.redeem(ticket)
    return site.platform.authenticate(form.get("key", "")).key_id


def _form(site: Site, request: Request, *, onward: str, ticket: str = "", problem: AtpError | None = None) -> Response:
    token = request.cookies.get(FORM_COOKIE) or site.sessions.secret()
    config = site.platform.config
    response = site.render(
        "login.html",
        status=problem.status if problem else 200,
        problem=problem and str(problem),
        token=ticket,
        csrf=token,
        onward=local_path(onward),
        key_file=str(config.data / "root.key"),
        restart=f"atp serve --data {shell_word(str(config.data))}",
    )
    _set_cookie(site, request, response, FORM_COOKIE, token, seconds=int(IDLE_SECONDS_MAX))
    return response


def _set_cookie(site: Site, request: Request, response: Response, name: str, value: str, *, seconds: int) -> None:
    is_secure = site.guard.is_secure(request)
    response.set_cookie(name, value, max_age=seconds, httponly=True, samesite="strict", secure=is_secure, path="/")
