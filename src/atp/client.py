"""A client of the HTTP API that needs the standard library alone: keep-alive, retries that are safe, errors by name.

What may be sent again (reads; events, because each has an id before the first try) is sent again when the connection
breaks or the server says 429 or 503, after a growing pause or what Retry-After asks for. Anything else is sent once.
"""

import gzip
import http.client
import json
import random
import secrets
import ssl
import time
import zlib
from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, BinaryIO, TypeVar
from urllib.parse import SplitResult, quote, urlencode, urlsplit

from atp import errors
from atp.errors import EXIT_BUG, AtpError, FieldError, InvalidError, MalformedError, TooLargeError, UnavailableError

TRIES_MAX = 8  # half a minute of pauses: a server that restarts is waited for
TIMEOUT_SECONDS = 90.0  # longer than `limits.WAIT_SECONDS_MAX`, which an answer may take
CONNECT_SECONDS_MAX = 10.0
PAUSE_SECONDS_MAX = 30.0
ANSWER_BYTES_MAX = 256 * 1024 * 1024
_PAUSE_SECONDS = 0.2
_PACKED_BYTES_MIN = 1_024
_PIECE_BYTES = 256 * 1024
_ID_BYTES = 16
_DONE = range(200, 300)

Query = Mapping[str, object]
T = TypeVar("T")


class ServerBugError(AtpError):
    """The server met a bug of its own; its log has the traceback."""

    code = "bug"
    exit_code = EXIT_BUG


_KINDS: tuple[type[AtpError], ...] = (
    errors.MalformedError,
    errors.InvalidError,
    errors.UnauthorizedError,
    errors.ForbiddenError,
    errors.TooLargeError,
    errors.MissingError,
    errors.ConflictError,
    errors.RateLimitedError,
    errors.UnavailableError,
    errors.TamperedError,
    errors.RefusedError,
    ServerBugError,
)


@dataclass(frozen=True, slots=True)
class Reply:
    """A successful answer, unpacked; names of headers in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Any:
        """The document in the body. MalformedError when it is none: the URL leads to something else."""
        try:
            return json.loads(self.body)
        except ValueError:
            raise MalformedError("could not read the answer: it is not JSON", hint="check the URL") from None


class Client:
    """One kept-alive connection to one server; not thread-safe: make one a thread.

    `url` may have a path. `key` is the API key, None sends none. `tries` bounds how often a call is sent.
    InvalidError for a URL or a key that cannot be used.
    """

    def __init__(
        self,
        url: str,
        *,
        key: str | None = None,
        timeout_seconds: float = TIMEOUT_SECONDS,
        tries: int = TRIES_MAX,
        sleep: Callable[[float], object] = time.sleep,
    ) -> None:
        self.url = url.rstrip("/")
        self._place = _split(self.url)
        self._headers = {"User-Agent": "atp", "Accept-Encoding": "gzip"} | _authorization(key)
        self._timeout_seconds = timeout_seconds
        self._tries = tries
        self._sleep = sleep
        self._connection: http.client.HTTPConnection | None = None

    def __enter__(self) -> "Client":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection; the next call opens another one."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def record(self, events: Sequence[Mapping[str, Any]], *, tenant: str, wait_seconds: float | None = None) -> Any:
        """Record events, all or none: durable when this returns. Gives the receipts, in order.

        An event without an `id` gets one before the first try, so that none is recorded twice.
        """
        named = [event if event.get("id") else {"id": secrets.token_hex(_ID_BYTES), **event} for event in events]
        bodies = [json.dumps(event, ensure_ascii=False, separators=(",", ":")).encode() for event in named]
        return self.send(bodies, tenant=tenant, query={"wait": wait_seconds}).json()

    def send(self, bodies: Sequence[bytes], *, tenant: str, query: Query | None = None) -> Reply:
        """Record events that are JSON texts already. Each must have an `id`: it may be sent more than once."""
        body = b"[%b]" % b",".join(bodies)
        return self.request("POST", tenant_path(tenant, "events"), query=query, body=body, is_repeatable=True)

    def get(self, path: str, query: Query | None = None, *, answers: Container[int] = _DONE) -> Reply:
        """GET a path below the URL; members of `query` that are None are left out.

        `answers` are the statuses that come with an answer; any other is raised.
        """
        return self.request("GET", path, query=query, is_repeatable=True, answers=answers)

    def request(
        self,
        method: str,
        path: str,
        *,
        query: Query | None = None,
        body: bytes | None = None,
        content_type: str = "application/json",
        is_repeatable: bool = False,
        answers: Container[int] = _DONE,
    ) -> Reply:
        """One call. Raises the error that the server names, UnavailableError when it cannot be reached."""
        headers = dict(self._headers)
        if body is not None:
            headers["Content-Type"] = content_type
        if body is not None and len(body) >= _PACKED_BYTES_MIN:
            headers["Content-Encoding"] = "gzip"
            body = gzip.compress(body, 1, mtime=0)
        if not is_repeatable:
            self.close()  # a connection that was kept may be gone without our knowing

        def exchange() -> Reply:
            answer = self._open(method, _target(self._place, path, query), body, headers, answers)
            found = b"".join(self._pieces(answer))
            return Reply(answer.status, {name.lower(): value for name, value in answer.getheaders()}, found)

        return self._persist(exchange, tries=self._tries if is_repeatable else 1)

    def download(self, path: str, query: Query, *, into: BinaryIO) -> None:
        """Write the body of a GET to a file, whatever its size; a download that breaks off begins anew."""

        def fetch() -> None:
            into.seek(0)
            into.truncate()
            answer = self._open("GET", _target(self._place, path, query), None, self._headers)
            for piece in self._pieces(answer, bytes_max=None):
                into.write(piece)

        self._persist(fetch, tries=self._tries)

    def _persist(self, call: Callable[[], T], *, tries: int) -> T:
        for attempt in range(tries - 1):
            try:
                return call()
            except UnavailableError as error:
                backoff = _PAUSE_SECONDS * 2**attempt * random.uniform(0.5, 1.0)
                self._sleep(min(PAUSE_SECONDS_MAX, max(backoff, error.retry_after_seconds)))
        return call()

    def _open(
        self,
        method: str,
        target: str,
        body: bytes | None,
        headers: Mapping[str, str],
        answers: Container[int] = _DONE,
    ) -> http.client.HTTPResponse:
        """Send a request and return its answer, unread."""
        with self._named_failures():
            connection = self._connected()
            connection.request(method, target, body, headers)
            answer = connection.getresponse()
        if answer.status in answers:
            return answer
        raise _problem(answer, b"".join(self._pieces(answer)), self.url)

    def _connected(self) -> http.client.HTTPConnection:
        if self._connection is None:
            host, port = self._place.hostname or "", self._place.port
            if self._place.scheme == "https":
                context = ssl.create_default_context()
                self._connection = http.client.HTTPSConnection(host, port, timeout=CONNECT_SECONDS_MAX, context=context)
            else:
                self._connection = http.client.HTTPConnection(host, port, timeout=CONNECT_SECONDS_MAX)
            self._connection.connect()
            self._connection.sock.settimeout(self._timeout_seconds)
        return self._connection

    def _pieces(self, answer: http.client.HTTPResponse, bytes_max: int | None = ANSWER_BYTES_MAX) -> Iterator[bytes]:
        """The body, unpacked, piece by piece; MalformedError and TooLargeError as soon as they are due."""
        unpacking = zlib.decompressobj(wbits=31) if answer.getheader("Content-Encoding") == "gzip" else None
        bytes_read = 0
        while True:
            with self._named_failures():
                piece = answer.read(_PIECE_BYTES)
                if not piece and answer.length:  # the server died in the middle of its answer
                    raise http.client.IncompleteRead(b"", answer.length)
            if not piece:
                return
            while piece:
                plain, piece = _unpack(unpacking, piece) if unpacking else (piece, b"")
                bytes_read += len(plain)
                if bytes_max is not None and bytes_read > bytes_max:
                    self.close()
                    raise TooLargeError(f"could not read the answer of {self.url}: it is over {bytes_max:,} bytes")
                yield plain

    @contextmanager
    def _named_failures(self) -> Iterator[None]:
        try:
            yield
        except (OSError, http.client.HTTPException) as error:
            self.close()
            reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
            raise UnavailableError(
                f"could not reach {self.url}: {reason}",
                hint="check that it runs, and the URL",
                retry_after_seconds=0,
            ) from None


def tenant_path(tenant: str, *parts: str) -> str:
    """The path of something of a tenant, `/v1/tenants/{tenant}/…`; a `/` within a part is escaped."""
    return "/".join(("/v1/tenants", *(quote(part, safe="@:+=~") for part in (tenant, *parts))))


def log_path(tenant: str, path: str) -> str:
    """The path of a file of a tenant's log (C2SP tlog-tiles): `/log/{tenant}/…`."""
    return f"/log/{quote(tenant, safe='')}/{path}"


def _split(url: str) -> SplitResult:
    refusal = InvalidError(f"could not use the URL {url!r}: it is none of a server", hint="http://127.0.0.1:8600")
    try:
        place = urlsplit(url)
        is_sound = place.port != 0 and place.username is None and not place.query and not place.fragment
    except ValueError:
        raise refusal from None
    is_text = url.isascii() and url.isprintable() and " " not in url
    if place.scheme not in ("http", "https") or not place.hostname or not is_sound or not is_text:
        raise refusal
    return place


def _authorization(key: str | None) -> dict[str, str]:
    if key is None:
        return {}
    if not (key.isascii() and key.isprintable()) or not key or " " in key:
        raise InvalidError("could not use the API key: it is not one line of letters", hint="does the file hold a key?")
    return {"Authorization": f"Bearer {key}"}


def _target(place: SplitResult, path: str, query: Query | None) -> str:
    given = {name: value for name, value in (query or {}).items() if value is not None}
    return place.path + path + ("?" + urlencode(given, doseq=True) if given else "")


def _unpack(unpacking: "zlib._Decompress", piece: bytes) -> tuple[bytes, bytes]:
    try:
        return unpacking.decompress(piece, _PIECE_BYTES), unpacking.unconsumed_tail
    except zlib.error:
        raise MalformedError("could not read the answer: it is not gzip, as it says") from None


def _problem(answer: http.client.HTTPResponse, body: bytes, url: str) -> AtpError:
    """The error of an RFC 9457 problem document, or of the status when there is none."""
    try:
        problem = json.loads(body)
    except ValueError:
        problem = None
    if not isinstance(problem, dict) or not isinstance(problem.get("detail"), str):
        return _unexplained(answer, url)
    hint = str(problem.get("hint") or "") or None
    detail = problem["detail"].removesuffix(f" (hint: {hint})")
    kind = next((kind for kind in _KINDS if kind.code == problem.get("code")), None)
    kind = kind or _kind_of(answer.status)
    if issubclass(kind, UnavailableError):
        return kind(detail, hint=hint, retry_after_seconds=_retry_after_seconds(answer))
    return kind(detail, hint=hint, errors=_field_errors(problem.get("errors")))


def _unexplained(answer: http.client.HTTPResponse, url: str) -> AtpError:
    sentence = f"could not get an answer of {url}: it says {answer.status} {answer.reason}"
    kind = _kind_of(answer.status)
    if issubclass(kind, UnavailableError):
        return kind(sentence, retry_after_seconds=_retry_after_seconds(answer))
    return kind(sentence, hint="check the URL: this is no answer of the platform")


def _kind_of(status: int) -> type[AtpError]:
    if status >= 500:
        return UnavailableError
    return next((kind for kind in _KINDS if kind.status == status), errors.RefusedError)


def _retry_after_seconds(answer: http.client.HTTPResponse) -> int:
    seconds = answer.getheader("Retry-After") or ""
    return int(seconds) if seconds.isdecimal() and len(seconds) < 6 else 0


def _field_errors(listed: object) -> list[FieldError]:
    found = []
    for fault in listed if isinstance(listed, list) else []:
        if isinstance(fault, dict) and isinstance(fault.get("position"), int):
            found.append(FieldError(fault["position"], str(fault.get("field", "")), str(fault.get("reason", ""))))
    return found
