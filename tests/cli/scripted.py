"""A server on loopback that answers what a test wrote down for it, and remembers what it was asked."""

import gzip
import json
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass(frozen=True, slots=True)
class Asked:
    """One request as it came, its body unpacked."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class Told:
    """One answer; status 0 hangs up instead."""

    status: int = 200
    body: bytes = b"{}"
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(slots=True)
class Scripted:
    """The server's address, and what it was asked so far."""

    url: str
    asked: list[Asked]


def problem(status: int, code: str, **members: object) -> Told:
    """An RFC 9457 problem document."""
    document = {"type": "about:blank", "title": "x", "status": status, "code": code, "detail": "could not", **members}
    return Told(status, json.dumps(document).encode())


@contextmanager
def scripted(answer: Callable[[Asked, int], Told]) -> Iterator[Scripted]:
    """Serve until the block ends; `answer` gets each request and how many came before it."""
    asked: list[Asked] = []

    def respond(http: BaseHTTPRequestHandler) -> None:
        body = http.rfile.read(int(http.headers.get("Content-Length", 0)))
        if http.headers.get("Content-Encoding") == "gzip":
            body = gzip.decompress(body)
        one = Asked(http.command, http.path, {name.lower(): value for name, value in http.headers.items()}, body)
        asked.append(one)
        told = answer(one, len(asked) - 1)
        if not told.status:
            http.close_connection = True
            return
        http.send_response(told.status)
        for name, value in {"Content-Length": str(len(told.body)), **told.headers}.items():
            http.send_header(name, value)
        http.end_headers()
        http.wfile.write(told.body)

    doors = {f"do_{method}": respond for method in ("GET", "POST", "DELETE")}
    quiet = {"protocol_version": "HTTP/1.1", "log_message": lambda *_: None}
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Doors", (BaseHTTPRequestHandler,), {**doors, **quiet}))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield Scripted(f"http://127.0.0.1:{server.server_address[1]}", asked)
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
