"""A live log over HTTP: a tlog-tiles prefix (C2SP), or an ATP server and the name of a tenant."""

import http.client
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from urllib.error import HTTPError, URLError
from urllib.parse import quote, urlsplit
from urllib.request import Request, urlopen

from atp.errors import ForbiddenError, MissingError, RefusedError, TamperedError, UnavailableError
from atp.limits import TILE_WIDTH
from atp.merkle.tiles import EntryBundle, Tile
from atp.verify.options import Options
from atp.verify.report import Report
from atp.verify.source import BUNDLE_BYTES_MAX, cut_bundle, cut_tile
from atp.verify.tiles import check_tiles

KIND = "live log"
_TIMEOUT_SECONDS = 30
_GZIP_BYTES = 1_000  # what gzip adds, at most, to what it cannot make smaller: this and 1 %
_SCHEMES = ("http", "https")


@dataclass(frozen=True, slots=True)
class RemoteSource:
    """A log below a URL prefix. Each read is one request; answers are bounded, also after unpacking."""

    prefix: str
    api_key: str | None = field(default=None, repr=False)

    def tile(self, tile: Tile) -> bytes:
        """The tile, or the beginning of the full one where the partial one is no longer served."""
        return cut_tile(tile, self._get_partial(tile.path, Tile(tile.level, tile.index).path, TILE_WIDTH * 32))

    def bundle(self, bundle: EntryBundle) -> bytes:
        """The bundle, or the beginning of the full one where the partial one is no longer served."""
        return cut_bundle(bundle, self._get_partial(bundle.path, EntryBundle(bundle.index).path, BUNDLE_BYTES_MAX))

    def parts(self, bundle: EntryBundle) -> Iterator[bytes]:
        """All of it: one answer."""
        yield self.bundle(bundle)

    def salvage(self, bundle: EntryBundle) -> bytes:
        """Nothing: what a server sends is whole or not there."""
        return b""

    def bundle_path(self, bundle: EntryBundle) -> str:
        """Its path below the prefix."""
        return bundle.path

    def file(self, name: str, *, bytes_max: int) -> bytes:
        """Any other file below the prefix."""
        return self._get(name, bytes_max)

    def lines(self, name: str) -> Iterator[bytes]:
        """Payload packs are not served; there is none."""
        return iter(())

    def _get_partial(self, path: str, full_path: str, bytes_max: int) -> bytes:
        try:
            return self._get(path, bytes_max)
        except MissingError:
            if path == full_path:
                raise
            return self._get(full_path, bytes_max)

    def _get(self, path: str, bytes_max: int) -> bytes:
        url = f"{self.prefix}/{path}"
        headers = {"Accept-Encoding": "gzip, identity", "User-Agent": "atp-verify"}
        if self.api_key:
            headers["Authorization"] = f"Bearer {self.api_key}"
        try:
            with urlopen(Request(url, headers=headers), timeout=_TIMEOUT_SECONDS) as answer:
                data: bytes = answer.read(bytes_max + bytes_max // 100 + _GZIP_BYTES)
                is_packed = answer.headers.get("Content-Encoding") == "gzip"
        except HTTPError as error:
            with error:
                raise _refusal(url, error.code) from None
        except (URLError, OSError, http.client.HTTPException, ValueError) as error:
            reason = getattr(error, "reason", None) or error
            raise UnavailableError(f"could not read {url}: {reason}", hint="check the address") from None
        if is_packed:
            data = _unzip(data, bytes_max)
        if len(data) > bytes_max:
            raise TamperedError(f"it has more than {bytes_max} bytes")
        return data


def is_url(place: str) -> bool:
    """Whether a place is to be read over HTTP."""
    return urlsplit(place).scheme in _SCHEMES


def check_remote(url: str, options: Options) -> Report:
    """Verifies the log below a URL, or a tenant's log of the server at that URL.

    MissingError when no log is there, UnavailableError when the server does not answer, ForbiddenError when it refuses.
    """
    prefix = url.rstrip("/")
    if options.tenant is not None:
        prefix = f"{prefix}/log/{quote(options.tenant, safe='')}"
    source = RemoteSource(prefix, options.api_key)
    try:
        source.file("checkpoint", bytes_max=1_000_000)
    except MissingError:
        raise MissingError(f"could not find a log at {prefix}", hint="name the tenant with --tenant") from None
    except TamperedError as error:
        raise RefusedError(f"could not read a checkpoint at {prefix}: {error}") from None
    log = check_tiles(source, name=options.tenant or prefix, place="server", directory=None, options=options)
    return Report(url, KIND, (log,))


def _refusal(url: str, status: int) -> MissingError | ForbiddenError | UnavailableError:
    if status in (404, 410):
        return MissingError("it is missing")
    if status in (401, 403):
        return ForbiddenError(f"could not read {url}: the server answered {status}", hint="give a key that may read it")
    return UnavailableError(f"could not read {url}: the server answered {status}", hint="try again later")


def _unzip(data: bytes, bytes_max: int) -> bytes:
    unpacker = zlib.decompressobj(zlib.MAX_WBITS | 16)
    try:
        plain = unpacker.decompress(data, bytes_max + 1)
    except zlib.error as error:
        raise TamperedError(f"it cannot be unpacked: {error}") from None
    if not unpacker.eof and len(plain) <= bytes_max:
        raise TamperedError("it was cut off on its way")
    return plain
