"""Lines to copy: how to send events to this very server, with the key named by its file and never shown."""

import json
import shlex
from dataclasses import dataclass

from jinja2 import Environment

from atp.tenants.access import ROOT
from atp.web.site import Site, Visit

_KEY_FILE_OF_OTHERS = "atp.key"
SNIPPETS = {"curl": "curl.txt", "Python": "record.txt", "Python logging": "handler.txt"}
"""What each one is called, and its template."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where to send events: the address of the server, a tenant, and the file that holds the visitor's key."""

    url: str
    tenant: str
    key_file: str


def place_of(site: Site, visit: Visit, tenant: str) -> Place:
    """The place as the visitor reaches it. Only the root key lies in a file that the server knows of."""
    config = site.platform.config
    url = config.public_url or str(visit.request.base_url)
    is_root = visit.caller.person == ROOT
    return Place(url.rstrip("/"), tenant, str(config.data / "root.key") if is_root else _KEY_FILE_OF_OTHERS)


def render_snippets(templates: Environment, place: Place) -> dict[str, str]:
    """The snippets for a place, by name."""
    return {name: templates.get_template(f"snippets/{file}").render(place=place) for name, file in SNIPPETS.items()}


def shell_word(text: str) -> str:
    """A text as one word of a POSIX shell."""
    return shlex.quote(text)


def python_text(text: str) -> str:
    """A text as a Python literal (JSON strings are some)."""
    return json.dumps(text)
