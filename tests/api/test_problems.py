"""What a caller is told when something is refused, and when the server has a bug: a problem, never the inside."""

import asyncio
import io
from pathlib import Path

import httpx
import pytest
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp

from atp.api.app import make_app
from atp.app.config import Config
from atp.app.health import Health
from atp.app.open import open_platform
from atp.app.status import Counter
from atp.app.trail import Trail
from atp.observe import Lines
from tests.api.calling import problem


@pytest.mark.parametrize("path", ["/v1/", "/v2/tenants", "/v1/tenants/default", "/log/x/y", "/log/default/"])
def test_a_path_that_leads_nowhere_is_missing(root: httpx.Client, path: str) -> None:
    problem(root.get(path), 404, "missing")


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("PUT", "/v1/tenants", "GET, HEAD, POST"),
        ("DELETE", "/v1/tenants/default/events", "GET, HEAD, POST"),
        ("POST", "/v1/tenants/default/events/e-1", "GET, HEAD"),
        ("GET", "/v1/keys/x", "DELETE"),
        ("OPTIONS", "/v1/status", "GET, HEAD"),
        ("PATCH", "/log/default/checkpoint", "GET, HEAD"),
    ],
)
def test_a_method_that_is_not_there_is_told_which_are(root: httpx.Client, method: str, path: str, allowed: str) -> None:
    answer = root.request(method, path)
    problem(answer, 405, "method_not_allowed")
    assert answer.headers["allow"] == allowed


@pytest.mark.parametrize("path", ["/v1/status", "/health", "/nowhere", "/openapi.json", "/log/default/vkey"])
def test_every_answer_has_safe_headers(root: httpx.Client, path: str) -> None:
    headers = root.get(path).headers
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["content-security-policy"].startswith("default-src 'none'")
    assert headers["referrer-policy"] in ("no-referrer", "same-origin")


def test_a_hint_stands_beside_the_detail_and_not_in_it(root: httpx.Client) -> None:
    found = problem(root.get("/v1/tenants/absent/events"), 404, "missing")
    assert found["hint"]
    assert found["hint"] not in found["detail"]


def test_a_bug_is_told_to_the_log_and_not_to_the_caller(tmp_path: Path) -> None:
    said = io.StringIO()
    platform = open_platform(Config(tmp_path / "data"), lines=Lines(said)).platform

    def fail(request: Request) -> Response:
        words = {"body": "of which nobody may know"}
        raise RuntimeError(str(words))

    trail = Trail(platform.note, now=platform.now, clock=platform.clock, meters=platform.meters)
    health = Health(platform, Counter(platform))
    app = make_app(platform, trail=trail, health=health, web_routes=[Route("/fail", fail)])
    try:
        answer, numbers = asyncio.run(_get(app, "/fail", "/metrics"))
    finally:
        platform.stop()
    problem(answer, 500, "bug")
    assert "nobody may know" not in answer.text
    assert '"kind": "RuntimeError"' in said.getvalue()
    assert "in fail" in said.getvalue()
    assert "{'body': 'of which nobody may know'}" not in said.getvalue()
    assert "atp_bugs_total 1\n" in numbers.text


async def _get(app: ASGIApp, *paths: str) -> list[httpx.Response]:
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test") as client:
        return [await client.get(path) for path in paths]
