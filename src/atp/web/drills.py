"""One drill as a report: what was rehearsed, what came of it, and the evidence that it is so."""

from starlette.responses import Response
from starlette.routing import Route

from atp.errors import MissingError
from atp.ops.drills.evidence.event import envelope_of
from atp.ops.drills.evidence.history import Drill
from atp.ops.drills.evidence.measure import account_told, reach_told, recorded_told
from atp.tenants.names import OPERATIONS
from atp.web.estate import look, span
from atp.web.site import Site, Visit


def routes(site: Site) -> list[Route]:
    """The pages of this noun."""
    return [
        Route("/drills/{dataset}/{number:int}", site.page(show_drill), methods=["GET"]),
        Route("/drills/{dataset}/{number:int}/statement", site.page(download_statement), methods=["GET"]),
        Route("/drills/{dataset}/{number:int}/estate", site.page(download_estate), methods=["GET"]),
    ]


def show_drill(site: Site, visit: Visit) -> Response:
    """A drill with its legs, objectives, answers and evidence, and who reviewed it."""
    drill = _find(site, visit)
    done = drill.done
    return site.render(
        "drill.html",
        visit=visit,
        drill=drill,
        done=done,
        event=f"/events/{OPERATIONS}/{drill.index}",
        heartbeats=reach_told(done.acknowledged) if done.acknowledged else "",
        recorded=recorded_told(done.recorded) if done.recorded else "it does not say",
        account=account_told(done) or f"{done.user} on {done.host}",
        reviews=site.platform.recovery.reviews([drill]).get(drill.id, ()),
        has_estate=site.platform.recovery.estate_text(done.estate_sha256) is not None,
        span=span,
        longest=max((leg.seconds for leg in done.legs), default=0.0),
    )


def download_statement(site: Site, visit: Visit) -> Response:
    """Its signed statement: in-toto in a DSSE envelope."""
    drill = _find(site, visit)
    name = f"{drill.dataset}-{drill.done.number}.dsse.json"
    return Response(
        envelope_of(drill.done, dataset=drill.dataset),
        headers={"Content-Disposition": f'attachment; filename="{name}"'},
        media_type="application/json",
    )


def download_estate(site: Site, visit: Visit) -> Response:
    """The estate file that it was judged by, byte for byte."""
    digest = _find(site, visit).done.estate_sha256
    file = site.platform.recovery.estate_text(digest)
    if file is None:
        raise MissingError("could not show the estate file of the drill: the trail does not hold its text")
    headers = {"Content-Disposition": f'attachment; filename="estate-{digest[:12]}.yaml"'}
    return Response(file, headers=headers, media_type="text/plain")


def _find(site: Site, visit: Visit) -> Drill:
    if look(site, visit, "drills.read") is None:
        raise MissingError("could not show the drill: the server has no estate file", hint="open the page Estate")
    asked = visit.request.path_params
    return site.platform.recovery.find_drill(str(asked["dataset"]), int(asked["number"]))
