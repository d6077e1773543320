"""The site that all pages are part of: who visits, how a page is rendered, and what becomes of an error."""

import traceback
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import quote

from jinja2 import Environment
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect, Request
from starlette.responses import RedirectResponse, Response

from atp.app.health import Health
from atp.app.platform import Platform
from atp.app.trail import Trail
from atp.errors import AtpError, ForbiddenError, MissingError, UnauthorizedError, UnavailableError
from atp.log.event import Resource
from atp.tenants.access import Caller
from atp.tenants.names import DEFAULT
from atp.web.guard import HEADERS, Guard, check_csrf, read_form
from atp.web.sessions import Failures, Session, Sessions

SESSION_COOKIE = "atp_session"
LIVE_HEADER = "x-atp-live"
"""Sent by a page that refreshes itself: nobody is there, so it does not keep the session open."""


@dataclass(frozen=True, slots=True)
class Visit:
    """One request of a person who is signed in; `form` is empty unless it is a POST."""

    request: Request
    form: Mapping[str, str]
    caller: Caller
    session: Session

    @property
    def address(self) -> str | None:
        """Where the browser is."""
        return self.request.client.host if self.request.client else None

    @property
    def is_live(self) -> bool:
        """Whether a page asks by itself."""
        return LIVE_HEADER in self.request.headers


Endpoint = Callable[[Request], Awaitable[Response]]


@dataclass(frozen=True, slots=True)
class Site:
    """What the pages share. A page is a plain function that runs in a thread; what it raises becomes an error page."""

    platform: Platform
    trail: Trail
    sessions: Sessions
    failures: Failures
    health: Health
    guard: Guard
    templates: Environment

    def page(self, show: Callable[["Site", Visit], Response]) -> Endpoint:
        """The endpoint of a page for those who are signed in; others are led to the sign-in page.

        Every POST has to hold its session's CSRF token.
        """

        def answer(request: Request, form: Mapping[str, str]) -> Response:
            visit = self.visit(request, form)
            if visit is None:
                return self._lead_in(request)
            try:
                if request.method == "POST":
                    check_csrf(form, visit.session.csrf)
                return show(self, visit)
            except AtpError as error:
                self._tell_refusal(visit, error)
                return self.error(error, visit=visit)

        return self.open_page(answer)

    def open_page(self, show: Callable[[Request, Mapping[str, str]], Response]) -> Endpoint:
        """The endpoint of a page for everybody, behind the guard alone."""

        async def answer(request: Request) -> Response:
            try:
                self.guard.check(request)
                form = await read_form(request) if request.method == "POST" else {}
                response = await run_in_threadpool(show, request, form)
            except AtpError as error:
                response = self.error(error)
            except ClientDisconnect:
                raise
            except Exception as bug:
                response = self._bug(bug)
            for name, value in HEADERS.items():
                response.headers.setdefault(name, value)
            return response

        return answer

    def visit(self, request: Request, form: Mapping[str, str]) -> Visit | None:
        """Who visits, by the session of the cookie. None without one, and when its key was revoked meanwhile."""
        is_activity = LIVE_HEADER not in request.headers
        session = self.sessions.find(request.cookies.get(SESSION_COOKIE, ""), is_activity=is_activity)
        if session is None:
            return None
        try:
            return Visit(request, form, self.platform.holder(session.key_id), session)
        except UnauthorizedError:
            self.sessions.close(request.cookies[SESSION_COOKIE])
            return None

    def render(self, template: str, *, visit: Visit | None = None, status: int = 200, **values: object) -> Response:
        """A page of a template."""
        text = self.templates.get_template(template).render(visit=visit, **values)
        return Response(text, status, media_type="text/html")

    def error(self, error: AtpError, *, visit: Visit | None = None) -> Response:
        """The page of an error."""
        values = {"code": error.status, "sentence": error.sentence, "hint": error.hint}
        response = self.render("error.html", visit=visit, status=error.status, **values)
        if isinstance(error, UnavailableError):
            response.headers["Retry-After"] = str(error.retry_after_seconds)
        return response

    def act(self, action: str, *, by: Caller, address: str | None) -> None:
        """Write an act on a session down, without waiting: a full queue must keep nobody from looking at the logs."""
        try:
            self.trail.act(action, person=by.person, resource=Resource(by.key_id, type="key"), ip=address, data={})
        except UnavailableError:
            self.platform.meters.count("atp_trail_lost")

    def read(self, action: str, visit: Visit, *, tenant: str, question: Mapping[str, str]) -> None:
        """Tell the operators' trail of a read that was answered."""
        self.trail.read(action, person=visit.caller.person, tenant=tenant, ip=visit.address, question=question)

    def _lead_in(self, request: Request) -> Response:
        if request.method != "GET" or LIVE_HEADER in request.headers:
            return self.error(UnauthorizedError("could not let you in: you are not signed in", hint="sign in again"))
        path = request.url.path + (f"?{request.url.query}" if request.url.query else "")
        return RedirectResponse("/login" if path == "/" else f"/login?next={quote(path, safe='/')}", 303)

    def _tell_refusal(self, visit: Visit, error: AtpError) -> None:
        tenant = visit.request.path_params.get("tenant") or visit.request.query_params.get("tenant")
        is_foreign = isinstance(error, MissingError) and tenant is not None and not visit.caller.sees(tenant)
        if is_foreign or isinstance(error, ForbiddenError):
            door = f"{visit.request.method} {getattr(visit.request.scope.get('route'), 'path', '')}"
            person = visit.caller.person
            self.trail.refuse(person=person, door=door, code=error.code, tenant=tenant, ip=visit.address)

    def _bug(self, bug: Exception) -> Response:
        self.platform.meters.count("atp_bugs")
        place = "".join(traceback.format_tb(bug.__traceback__))
        self.platform.lines.write("error", "bug", kind=type(bug).__name__, traceback=place)
        return self.render(
            "error.html",
            status=500,
            code=500,
            sentence="could not answer: the server has a bug",
            hint="it is in the server's log",
        )


def first_tenant(tenants: Sequence[str]) -> str:
    """The tenant of a page whose address names none; empty when the visitor sees none."""
    return DEFAULT if DEFAULT in tenants else next(iter(tenants), "")
