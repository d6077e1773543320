"""The estate as a map, and how its datasets stand: all of them, and one with its objectives, copies and drills."""

from datetime import datetime, timedelta
from typing import Any

from markupsafe import Markup
from starlette.responses import Response
from starlette.routing import Route

from atp.app.estate import Seen
from atp.limits import DRILLS_DEFAULT, ESTATE_FAULTS_TOLD_MAX, GRAPH_NODES_MAX
from atp.ops.declaration.durations import about, format_duration
from atp.ops.drills.evidence.chart import chart
from atp.ops.estate.declare.values import Estate
from atp.ops.estate.evidence.impact import impact
from atp.ops.estate.evidence.review import review
from atp.ops.estate.evidence.standing import COLOURS, WORDS
from atp.tenants.names import OPERATIONS
from atp.web.graph import HEIGHT, WIDTH, graph_of
from atp.web.site import Site, Visit
from atp.web.snippets import shell_word


def routes(site: Site) -> list[Route]:
    """The pages of this noun."""
    return [
        Route("/estate", site.page(show_estate), methods=["GET"]),
        Route("/datasets", site.page(show_datasets), methods=["GET"]),
        Route("/datasets/{name}", site.page(show_dataset), methods=["GET"]),
    ]


def show_estate(site: Site, visit: Visit) -> Response:
    """The map: services and datasets, what depends on what, how each stands; what is due; what the review says."""
    seen = look(site, visit, "estate.read")
    if seen is None or seen.declared.estate is None:
        return _begin(site, visit, seen, here="estate")
    estate = seen.declared.estate
    return site.render(
        "estate.html",
        visit=visit,
        seen=seen,
        estate=estate,
        graph=graph_of(estate),
        box=(WIDTH, HEIGHT),
        falls=_falls(estate),
        review=review(estate, seen.evidence, seen.at),
        due=seen.due(),
        **_shared(seen),
    )


def show_datasets(site: Site, visit: Visit) -> Response:
    """Every dataset in a row, the worst first."""
    seen = look(site, visit, "datasets.read")
    if seen is None or seen.declared.estate is None:
        return _begin(site, visit, seen, here="datasets")
    standings = sorted(seen.standings.values(), key=lambda one: COLOURS.index(one.colour))
    return site.render("datasets.html", visit=visit, seen=seen, standings=standings, **_shared(seen))


def show_dataset(site: Site, visit: Visit) -> Response:
    """One dataset. Reads the events of its newest drills."""
    seen = look(site, visit, "datasets.read")
    if seen is None or seen.declared.estate is None:
        return _begin(site, visit, seen, here="datasets")
    name, recovery = str(visit.request.path_params["name"]), site.platform.recovery
    standing = seen.standing(name)
    placed = recovery.drills(name)
    drills = [drill for one in placed[:DRILLS_DEFAULT] if (drill := recovery.drill(one)) is not None]
    return site.render(
        "dataset.html",
        visit=visit,
        seen=seen,
        standing=standing,
        dataset=standing.subject.dataset,
        drills=drills,
        reviews=recovery.reviews(drills),
        more=len(placed) - len(drills),
        missing=recovery.missing(name),
        # The chart is made of numbers and escaped texts.
        charts=[Markup(drawn) for objective in ("rto", "rpo") if (drawn := chart(drills[::-1], objective))],
        **_shared(seen),
    )


def look(site: Site, visit: Visit, action: str) -> Seen | None:
    """A look at the estate for who may read the operators' log, told there unless the page asks by itself.

    None when the server was given no estate file. MissingError when the visitor may not see that log.
    """
    site.platform.reader(OPERATIONS, by=visit.caller)
    if not site.platform.recovery.is_declared:
        return None
    seen = site.platform.recovery.look()
    if not visit.is_live:
        question = {name: str(value) for name, value in visit.request.path_params.items()}
        site.read(action, visit, tenant=OPERATIONS, question=question)
    return seen


def span(length: timedelta | float | None) -> str:
    """A length of time for people; a dash when there is none."""
    if length is None:
        return "–"
    if isinstance(length, timedelta):
        return format_duration(length)
    return f"{length:,.2f} s" if length < 100 else about(timedelta(seconds=length))


def _falls(estate: Estate) -> dict[str, int]:
    """How many things fall with each; empty for an estate that is too large to count that for a page."""
    names = estate.things()
    return {name: len(impact(estate, name).fallen) - 1 for name in names} if len(names) <= GRAPH_NODES_MAX else {}


def _shared(seen: Seen) -> dict[str, Any]:
    """What the pages of the estate have in common."""

    def ago(moment: datetime | None) -> str:
        return "never" if moment is None else f"{about(seen.at - moment)} ago"

    faults = seen.declared.faults
    return {
        "words": WORDS,
        "ago": ago,
        "span": span,
        "faults": faults[:ESTATE_FAULTS_TOLD_MAX],
        "counts": [(colour, seen.count(colour)) for colour in COLOURS if seen.count(colour)],
        "check": f"atp estate check -f {shell_word(str(seen.declared.file))}",
    }


def _begin(site: Site, visit: Visit, seen: Seen | None, *, here: str) -> Response:
    """The page where there is no estate yet: how to begin, or what is wrong with the file."""
    faults = seen.declared.faults[:ESTATE_FAULTS_TOLD_MAX] if seen else ()
    return site.render(
        "begin.html",
        visit=visit,
        here=here,
        problem=str(seen.declared.problem) if seen else "",
        faults=faults,
        check=f"atp estate check -f {shell_word(str(seen.declared.file))}" if seen else "atp estate check",
        serve=f"atp serve --data {shell_word(str(site.platform.config.data))} --estate estate.yaml",
    )
