"""The API's description (OpenAPI 3.1) as a document for programs, and as one plain page for people."""

from functools import partial
from importlib.resources import files
from typing import Any

import msgspec
from jinja2 import Environment, StrictUndefined
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

_PAGE_POLICY = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; base-uri 'none'"


def routes() -> list[Route]:
    """The doors of this noun."""
    document = read_document()
    page = _render(msgspec.json.decode(document)).encode()
    return [
        Route("/openapi.json", partial(_send, document, "application/json"), methods=["GET"]),
        Route("/swagger", partial(_send, page, "text/html"), methods=["GET"]),
    ]


def read_document() -> bytes:
    """The OpenAPI document, as it stands in the package."""
    return files("atp.api").joinpath("openapi.json").read_bytes()


def _render(document: dict[str, Any]) -> str:
    template = files("atp.api").joinpath("swagger.html").read_text("utf-8")
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    return environment.from_string(template).render(api=document)


async def _send(body: bytes, media_type: str, request: Request) -> Response:
    return Response(body, headers={"Content-Security-Policy": _PAGE_POLICY}, media_type=media_type)
