"""The timeline of a tenant: its events, newest first, filtered and searched; and how many are new since."""

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from time import monotonic
from urllib.parse import urlencode

from starlette.responses import Response
from starlette.routing import Route

from atp.errors import AtpError, InvalidError, MalformedError, MissingError
from atp.limits import LOGS_SHOWN_MAX, LOOK_SECONDS_MAX
from atp.log.event import Entry, Event, format_instant, parse_instant, read_entry, read_event
from atp.log.query import Page, Question
from atp.web.site import Site, Visit, first_tenant
from atp.web.snippets import place_of, render_snippets, shell_word

FIELDS = ("actor", "action", "resource", "outcome")
INSTANTS = ("since", "until")
FILTERS = (*FIELDS, *INSTANTS, "text")
NEW_EVENTS_MAX = 100
"""A refreshing page is told of at most so many new events, then of more."""


@dataclass(frozen=True, slots=True)
class Filters:
    """What a timeline is about, as its address says: a tenant, and the conditions that are set."""

    tenant: str
    conditions: dict[str, str]

    def href(self, **changes: str) -> str:
        """The address with some conditions changed; an empty one is left out."""
        wanted = {"tenant": self.tenant, **self.conditions, **changes}
        return "/?" + urlencode({name: value for name, value in wanted.items() if value})

    def new_href(self, *, after: int) -> str:
        """Where to ask how many events are new since the log had `after` entries."""
        return self.href(after=str(after)).replace("/?", "/new?", 1)

    def local(self, name: str) -> str:
        """An instant for a form field of browsers, in UTC; empty when it is none."""
        return self._utc(name)[:19]

    def command(self) -> str:
        """The same question for the command line."""
        asked = {"tenant": self.tenant, **self.conditions}
        return "atp query " + " ".join(
            f"--{name} {shell_word(self._utc(name) if name in INSTANTS else value)}" for name, value in asked.items()
        )

    def question(self, *, cursor: str | None) -> Question:
        """What is asked of the log. InvalidError names an instant that is none."""
        values = self.conditions
        return Question(
            actor=values.get("actor"),
            action=values.get("action"),
            resource=values.get("resource"),
            outcome=values.get("outcome"),
            text=values.get("text"),
            since=_micros("From", values.get("since")),
            until=_micros("Until", values.get("until")),
            cursor=cursor,
        )

    def _utc(self, name: str) -> str:
        try:
            micros = _micros(name, self.conditions.get(name))
        except InvalidError:
            return ""
        return "" if micros is None else format_instant(micros)


@dataclass(frozen=True, slots=True)
class Row:
    """An event in a list; `event` is None when the entry is not of a format that this program reads."""

    index: int
    entry: Entry | None
    event: Event | None


def routes(site: Site) -> list[Route]:
    """The pages of this noun."""
    return [
        Route("/", site.page(show_timeline), methods=["GET"]),
        Route("/new", site.page(count_new), methods=["GET"]),
    ]


def show_timeline(site: Site, visit: Visit) -> Response:
    """A page of events. A question that cannot be meant is answered with the form and the reason."""
    tenants = [log.tenant for log in site.platform.logs(by=visit.caller)]
    filters = _filters(visit, tenants)
    page, problem = _ask(site, visit, filters)
    return site.render(
        "timeline.html",
        visit=visit,
        status=problem.status if problem else 200,
        tenants=tenants if len(tenants) <= LOGS_SHOWN_MAX else (),
        filters=filters,
        rows=[read_row(index, entry) for index, entry in page.events],
        page=page,
        is_first="cursor" not in visit.request.query_params,
        durable=site.platform.stores.events.size(filters.tenant),
        now=site.platform.now(),
        problem=problem and str(problem),
        command=filters.command(),
        first_command=render_snippets(site.templates, place_of(site, visit, filters.tenant))["curl"],
    )


def count_new(site: Site, visit: Visit) -> Response:
    """How many events there are since `after` entries, for a page that refreshes itself: 204 when there are none.

    Nobody asked, so nothing is told to the operators' trail: a page that shows the trail would feed itself.
    """
    filters = _filters(visit, [log.tenant for log in site.platform.logs(by=visit.caller)])
    after = visit.request.query_params.get("after", "")
    reader = site.platform.reader(filters.tenant, by=visit.caller)
    if not after.isdecimal() or len(after) > 18 or int(after) >= reader.size():
        return Response(status_code=204)
    since = parse_instant(read_entry(reader.entry(int(after))).received_at)
    question = replace(filters.question(cursor=None), received_since=since, limit=NEW_EVENTS_MAX + 1)
    page = site.platform.ask(question, by=visit.caller, tenant=filters.tenant)
    count = sum(index >= int(after) for index, _ in page.events)
    if not count:
        return Response(status_code=204)
    return site.render("new.html", count=min(count, NEW_EVENTS_MAX), is_more=count > NEW_EVENTS_MAX, filters=filters)


def read_row(index: int, entry: bytes) -> Row:
    """An entry for a list."""
    try:
        return Row(index, *read_event(entry))
    except MalformedError:
        return Row(index, None, None)


def _ask(site: Site, visit: Visit, filters: Filters) -> tuple[Page, AtpError | None]:
    reader = site.platform.reader(filters.tenant, by=visit.caller)
    try:
        question = filters.question(cursor=visit.request.query_params.get("cursor"))
        page = _look(site, visit, filters.tenant, question)
    except (InvalidError, MalformedError) as error:
        return Page([], None, reader.size(), reader.size()), error
    site.read("events.query", visit, tenant=filters.tenant, question=filters.conditions)
    return page, None


def _look(site: Site, visit: Visit, tenant: str, question: Question) -> Page:
    """A page that is full, unless the log ends before or `LOOK_SECONDS_MAX` are over."""
    deadline = monotonic() + LOOK_SECONDS_MAX
    page = site.platform.ask(question, by=visit.caller, tenant=tenant)
    while page.next and len(page.events) < question.limit and monotonic() < deadline:
        rest = replace(question, cursor=page.next, limit=question.limit - len(page.events))
        more = site.platform.ask(rest, by=visit.caller, tenant=tenant)
        page = replace(more, events=[*page.events, *more.events])
    return page


def _filters(visit: Visit, tenants: list[str]) -> Filters:
    given = visit.request.query_params
    tenant = given.get("tenant") or first_tenant(tenants)
    if not tenant:
        raise MissingError("could not find a log that your key may see", hint="ask for a key of a tenant")
    return Filters(tenant, {name: given[name] for name in FILTERS if given.get(name)})


def _micros(name: str, text: str | None) -> int | None:
    """An instant of a form: RFC 3339, or a date, with a time if one likes, in UTC."""
    if not text:
        return None
    try:
        return parse_instant(text)
    except ValueError:
        pass
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise InvalidError(
            f"could not use {name!r}: {text[:40]!r} is not a date and time", hint="2026-01-31 or 2026-01-31T12:00Z"
        ) from None
    return parse_instant((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).isoformat())
