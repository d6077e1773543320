"""What a browser must not be talked into: checks of Host, Origin and CSRF token, and the headers of every answer."""

import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import parse_qsl, urlsplit

from starlette.requests import Request

from atp.app.config import Config
from atp.errors import ForbiddenError, MalformedError, TooLargeError
from atp.limits import FORM_BYTES_MAX

HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; img-src 'self' data:; "
        "form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    # Nothing goes to others. With `no-referrer` a browser would send `Origin: null` with our own forms as well.
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}
_LOOPBACK = ("localhost", "127.0.0.1", "::1")
_FORM_FIELDS_MAX = 20


@dataclass(frozen=True, slots=True)
class Guard:
    """Under which names the pages are served, and host and port of the public URL if there is one (a proxy in front may
    rewrite Host); `is_public_secure` says that browsers come by HTTPS."""

    names: frozenset[str]
    public_netloc: str
    is_public_secure: bool

    def check(self, request: Request) -> None:
        """ForbiddenError for a foreign Host (DNS rebinding), and for a POST that another site sent.

        A client that says nothing of an origin is no browser of today; the CSRF token still stands in its way.
        """
        host = request.headers.get("host", "")
        if _host_name(f"//{host}") not in self.names:
            raise ForbiddenError(
                f"could not answer: the pages are not served under the name {host[:100]!r}",
                hint="set public_url in the configuration to the address that browsers use",
            )
        if request.method == "POST" and not self._is_same_origin(request, host):
            raise ForbiddenError("could not accept the form: another site sent it", hint="open the page and try again")

    def is_secure(self, request: Request) -> bool:
        """Whether the cookie shall travel by HTTPS alone."""
        return self.is_public_secure or request.url.scheme == "https"

    def _is_same_origin(self, request: Request, host: str) -> bool:
        origin = request.headers.get("origin")
        if origin is not None and netloc_of(origin) not in (host.lower(), self.public_netloc or host.lower()):
            return False
        return request.headers.get("sec-fetch-site", "same-origin") in ("same-origin", "none")


def guard_of(config: Config) -> Guard:
    """The names of a configuration: where the server listens, this machine, and the host of `public_url`."""
    public = urlsplit(config.public_url)
    names = {config.address[0].lower(), *_LOOPBACK, public.hostname or ""}
    return Guard(frozenset(names - {""}), public.netloc.lower(), public.scheme == "https")


def netloc_of(origin: str) -> str:
    """Host and port of an Origin header, in lower case; empty for `null` and what is no URL."""
    try:
        place = urlsplit(origin)
    except ValueError:
        return ""
    return place.netloc.lower() if place.scheme in ("http", "https") else ""


def check_csrf(form: Mapping[str, str], expected: str) -> None:
    """ForbiddenError unless the form holds the token that its page was given. Compares in constant time."""
    if not expected or not hmac.compare_digest(form.get("csrf", "").encode(), expected.encode()):
        raise ForbiddenError("could not accept the form: its page is too old", hint="reload the page and try again")


async def read_form(request: Request) -> dict[str, str]:
    """The fields of an urlencoded form, the last of each name. TooLargeError over `FORM_BYTES_MAX`."""
    body = bytearray()
    async for piece in request.stream():
        body += piece
        if len(body) > FORM_BYTES_MAX:
            raise TooLargeError(f"could not read the form: it is over {FORM_BYTES_MAX:,} bytes")
    try:
        return dict(parse_qsl(body.decode(), keep_blank_values=True, max_num_fields=_FORM_FIELDS_MAX))
    except ValueError:
        raise MalformedError("could not read the form: it is not urlencoded UTF-8") from None


def _host_name(url: str) -> str:
    """The host of a network location whose port is a number; empty for anything else."""
    try:
        place = urlsplit(url)
        is_plain = place.port != 0 and place.username is None and not (place.path or place.query or place.fragment)
    except ValueError:
        return ""
    return (place.hostname or "") if is_plain else ""
