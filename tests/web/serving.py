"""A platform with its API and pages on a free port of loopback, and callers of both."""

import json
import socket
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import uvicorn

from atp.api.app import make_app
from atp.app.config import Config
from atp.app.health import Health
from atp.app.open import open_platform
from atp.app.platform import Platform
from atp.app.status import Counter
from atp.app.trail import Trail
from atp.app.wire import BoundedHead
from atp.tenants.access import Caller
from atp.web.pages import web_routes
from atp.web.sessions import Sessions
from atp.web.site import SESSION_COOKIE

_START_SECONDS_MAX = 10.0


@dataclass(frozen=True, slots=True)
class Served:
    """A running server, and the inside of it that tests prepare things with."""

    url: str
    platform: Platform
    sessions: Sessions
    key: str
    root: Caller

    def record(self, *events: dict[str, Any] | bytes, tenant: str = "default") -> list[int]:
        """Record events and wait until they are published; their indexes."""
        bodies = [event if isinstance(event, bytes) else json.dumps(event).encode() for event in events]
        answer = httpx.post(
            f"{self.url}/v1/tenants/{tenant}/events?wait=10",
            content=b"[%b]" % b",".join(bodies),
            headers={"Authorization": f"Bearer {self.key}", "Content-Type": "application/json"},
        )
        assert answer.status_code == 200, answer.text
        return [receipt["index"] for receipt in answer.json()["receipts"]]

    def tenant(self, name: str) -> str:
        """A new tenant with an empty log."""
        self.platform.create_tenant(name, by=self.root)
        return name

    def issue_key(self, *tenants: str, scopes: Sequence[str] = ("read",), person: str = "carol") -> tuple[str, str]:
        """The id and the text of a new key."""
        key, text = self.platform.issue_key(person=person, scopes=scopes, tenants=tenants, by=self.root)
        return key.id, text

    def visitor(self, key_id: str | None = None) -> httpx.Client:
        """Who is signed in already, the root if nobody is named; knows no redirects."""
        session = self.sessions.open(key_id or self.root.key_id)
        return httpx.Client(base_url=self.url, cookies={SESSION_COOKIE: session}, trust_env=False, verify=False)


@contextmanager
def serving(data: Path, *, is_started: bool = True, **settings: Any) -> Iterator[Served]:
    """Run a server on a new data directory until the block ends; until `platform.start()` nothing becomes durable."""
    opened = open_platform(Config(data, listen="127.0.0.1:0", **settings))
    platform = opened.platform
    if is_started:
        platform.start()
    sessions = Sessions(platform.clock)
    key = opened.root_key.read_text().strip()
    try:
        with _listening(_app(platform, sessions)) as url:
            yield Served(url, platform, sessions, key, platform.authenticate(key))
    finally:
        platform.stop()


def _app(platform: Platform, sessions: Sessions) -> Any:
    trail = Trail(platform.note, now=platform.now, clock=platform.clock, meters=platform.meters)
    health = Health(platform, Counter(platform))
    pages = web_routes(platform, sessions=sessions, trail=trail, health=health)
    return make_app(platform, trail=trail, health=health, web_routes=pages)


@contextmanager
def _listening(app: Any) -> Iterator[str]:
    server = uvicorn.Server(uvicorn.Config(app, http=BoundedHead, log_config=None, lifespan="off"))
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        deadline = time.monotonic() + _START_SECONDS_MAX
        while not server.started and time.monotonic() < deadline:
            time.sleep(0.01)
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join()


def csrf_of(page: str) -> str:
    """The token in the first form of a page."""
    return page.partition('name="csrf" value="')[2].partition('"')[0]
