"""Keys as files that only their owner can read: `keys/log/TENANT.key`, `keys/evidence.key`, `keys/access.json`."""

import os
import threading
from collections.abc import Sequence
from pathlib import Path

import msgspec

from atp.durable import disk_move, replace_file, sync_directory
from atp.errors import MalformedError, MissingError, UnavailableError
from atp.ports.key_store import ApiKey

_OTHERS = 0o077

_Stamp = tuple[int, int, int]


class FileKeyStore:
    """The KeyStore port on `directory`/keys; files are 0600, directories 0700, and anything laxer is refused.

    A file that did not change is not read again: an answer costs one `stat`.
    """

    def __init__(self, directory: Path) -> None:
        self._root = directory / "keys"
        self._lock = threading.Lock()
        self._read: dict[Path, tuple[_Stamp, bytes]] = {}
        try:
            for made in (self._root, self._root / "log"):
                made.mkdir(mode=0o700, parents=True, exist_ok=True)
                _check_private(made)
                sync_directory(made.parent)
        except OSError as error:
            raise _unavailable("open", self._root, error) from None

    def log_keys(self, tenant: str) -> list[str]:
        """See KeyStore. UnavailableError when others can read the file."""
        keys = self._get(self._path(tenant)).decode("utf-8", "replace").split("\n")[:-1]
        if not keys:
            raise MissingError(f"could not find signing keys of {tenant!r}: there are none in {self._path(tenant)}")
        return keys

    def put_log_keys(self, tenant: str, keys: Sequence[str]) -> None:
        """See KeyStore. MalformedError when a key is not one line."""
        if any(not key or not key.isprintable() for key in keys):
            raise MalformedError(f"could not store signing keys of {tenant!r}: one is not a line of text")
        self._put(self._path(tenant), "".join(f"{key}\n" for key in keys).encode())

    def evidence_key(self) -> str:
        """See KeyStore. UnavailableError when others can read the file."""
        return self._get(self._root / "evidence.key").decode("utf-8", "replace").strip()

    def put_evidence_key(self, key: str) -> None:
        """See KeyStore. MalformedError when it is not one line."""
        if not key or not key.isprintable():
            raise MalformedError("could not store the evidence key: it is not a line of text")
        self._put(self._root / "evidence.key", f"{key}\n".encode())

    def api_keys(self) -> list[ApiKey]:
        """See KeyStore. UnavailableError when others can read the file, or it is not what was written."""
        path = self._root / "access.json"
        try:
            return msgspec.json.decode(self._get(path), type=list[ApiKey])
        except MissingError:
            return []
        except msgspec.MsgspecError as error:
            raise UnavailableError(f"could not read {path}: {error}", hint="restore it from a backup") from None

    def put_api_keys(self, keys: Sequence[ApiKey]) -> None:
        """See KeyStore."""
        self._put(self._root / "access.json", msgspec.json.format(msgspec.json.encode(list(keys)), indent=1))

    def _path(self, tenant: str) -> Path:
        if not tenant.isprintable() or "/" in tenant or tenant.startswith(".") or not tenant:
            raise MalformedError(f"could not use tenant {tenant!r}: it is not a plain name")
        return self._root / "log" / f"{tenant}.key"

    def _get(self, path: Path) -> bytes:
        try:
            with self._lock:
                status = _check_private(path)
                stamp = (status.st_mtime_ns, status.st_ino, status.st_size)
                if path not in self._read or self._read[path][0] != stamp:
                    self._read[path] = (stamp, path.read_bytes())
                return self._read[path][1]
        except FileNotFoundError:
            raise MissingError(f"could not find {path}: there is no such file") from None
        except OSError as error:
            raise _unavailable("read", path, error) from None

    def _put(self, path: Path, data: bytes) -> None:
        try:
            replace_file(path, data)
        except OSError as error:
            raise _unavailable("write", path, error) from None


def _check_private(path: Path) -> os.stat_result:
    status = path.stat()
    if status.st_mode & _OTHERS:
        raise UnavailableError(
            f"could not read {path}: its mode {status.st_mode & 0o777:o} lets others at the keys",
            hint=f"chmod go= {path}, and replace the keys if anybody may have read them",
        )
    return status


def _unavailable(verb: str, path: Path, error: OSError) -> UnavailableError:
    hint = disk_move(error, path, otherwise="check its owner, its disk and its mode")
    return UnavailableError(f"could not {verb} {path}: {error.strerror}", hint=hint)
