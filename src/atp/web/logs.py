"""The state of the logs, what the platform says of its health, and the lines to copy."""

from collections.abc import Sequence
from dataclasses import dataclass

from starlette.responses import Response
from starlette.routing import Route

from atp.app.health import EVERYTHING
from atp.app.status import LogStatus, log_statuses
from atp.limits import LOGS_SHOWN_MAX
from atp.tenants.names import DEFAULT
from atp.web.site import Site, Visit, first_tenant
from atp.web.snippets import place_of, render_snippets, shell_word


@dataclass(frozen=True, slots=True)
class Selected:
    """The log that is shown in full: how it stands, its newest checkpoint (None before the first), its keys."""

    status: LogStatus
    checkpoint: str | None
    vkeys: list[str]


def routes(site: Site) -> list[Route]:
    """The pages of this noun."""
    return [
        Route("/logs", site.page(show_logs), methods=["GET"]),
        Route("/logs/{tenant}/vkey", site.page(download_vkey), methods=["GET"]),
    ]


def show_logs(site: Site, visit: Visit) -> Response:
    """How every log stands that the visitor may see, and one of them with its checkpoint and its keys."""
    statuses = log_statuses(site.platform, by=visit.caller)
    selected = _selected(site, visit, statuses)
    if selected and not visit.is_live:
        site.read("log.read", visit, tenant=selected.status.tenant, question={})
    place = place_of(site, visit, selected.status.tenant if selected else DEFAULT)
    health = site.health.report(EVERYTHING)
    return site.render(
        "logs.html",
        visit=visit,
        logs=statuses[:LOGS_SHOWN_MAX],
        more=max(0, len(statuses) - LOGS_SHOWN_MAX),
        selected=selected,
        installation=site.platform.installation,
        health=health,
        troubles={name: entry for name, entry in health.entries.items() if entry.status != "Healthy"},
        now=site.platform.now(),
        place=place,
        snippets=render_snippets(site.templates, place),
        verify_command=f"atp verify {shell_word(place.url)} --tenant {place.tenant} --vkey {place.tenant}.vkey",
    )


def download_vkey(site: Site, visit: Visit) -> Response:
    """The verifier keys of a log, one a line."""
    tenant = visit.request.path_params["tenant"]
    text = "".join(f"{vkey}\n" for vkey in site.platform.vkeys(tenant, by=visit.caller))
    headers = {"Content-Disposition": f'attachment; filename="{tenant}.vkey"'}
    return Response(text, headers=headers, media_type="text/plain")


def _selected(site: Site, visit: Visit, statuses: Sequence[LogStatus]) -> Selected | None:
    """The log that the address names, else `default` or the first; None when there is none at all."""
    of_tenant = {status.tenant: status for status in statuses}
    tenant = visit.request.query_params.get("tenant") or first_tenant(list(of_tenant))
    if not tenant:
        return None
    reader = site.platform.reader(tenant, by=visit.caller)
    checkpoint = reader.checkpoint().decode() if reader.size() else None
    return Selected(of_tenant[tenant], checkpoint, site.platform.vkeys(tenant, by=visit.caller))
