"""What the API is: the OpenAPI 3.1 document for programs, and the same as one plain page for people."""

import base64
import hashlib
from collections.abc import Iterator
from functools import partial
from importlib.resources import files
from typing import Any

import msgspec
from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from atp import __version__

Document = dict[str, Any]


def routes() -> list[Route]:
    """The doors of this noun."""
    document = read_document()
    style = files("atp.api").joinpath("templates", "swagger.css").read_text("utf-8")
    page = render_page(document, style=style).encode()
    policy = f"default-src 'none'; style-src 'sha256-{_digest(style)}'; base-uri 'none'; frame-ancestors 'none'"
    return [
        Route("/openapi.json", partial(_send, msgspec.json.encode(document), "application/json", {}), methods=["GET"]),
        Route("/swagger", partial(_send, page, "text/html", {"Content-Security-Policy": policy}), methods=["GET"]),
    ]


def read_document() -> Document:
    """The document in the package, with the version of the program. Costs about 1 ms."""
    document = msgspec.json.decode(files("atp.api").joinpath("openapi.json").read_bytes(), type=Document)
    document["info"]["version"] = __version__
    return document


def render_page(document: Document, *, style: str) -> str:
    """The document as a page that loads nothing and needs no script."""
    loader = PackageLoader("atp.api")
    pages = Environment(loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    pages.filters.update(find=partial(find, document), compact=_compact, pretty=_pretty)
    groups = [(tag, list(_operations(document, tag["name"]))) for tag in document["tags"]]
    return pages.get_template("swagger.html").render(document=document, groups=groups, style=style)


def find(document: Document, part: Document) -> Document:
    """What a part of the document stands for, if it is a reference; else the part itself."""
    if "$ref" not in part:
        return part
    target = document
    for name in part["$ref"].split("/")[1:]:
        target = target[name]
    return target


def _operations(document: Document, tag: str) -> Iterator[tuple[str, str, Document]]:
    """(method, path, operation) of a tag, each with the parameters of its path."""
    for path, place in document["paths"].items():
        shared = place.get("parameters", [])
        for method, operation in place.items():
            if method != "parameters" and tag in operation["tags"]:
                yield method.upper(), path, operation | {"parameters": [*shared, *operation.get("parameters", [])]}


def _compact(schema: object) -> str:
    return msgspec.json.encode(schema).decode()


def _pretty(schema: object) -> str:
    return msgspec.json.format(msgspec.json.encode(schema), indent=2).decode()


def _digest(style: str) -> str:
    """A hash-source of Content Security Policy Level 3: the page may use exactly this style."""
    return base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()


async def _send(body: bytes, media_type: str, headers: dict[str, str], request: Request) -> Response:
    return Response(body, headers=headers, media_type=media_type)
