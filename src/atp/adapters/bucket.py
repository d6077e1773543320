"""Backups in a bucket with Object Lock in compliance mode: before its day nobody removes a version, whoever asks.

An S3 server lets everybody with a key put a version or a delete marker over an object. That hides ours and does not
touch it: of all versions of a name the first is the one we stored, and it is the one that is read.
"""

import secrets
from base64 import b64encode
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import md5
from itertools import groupby
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from atp.errors import AtpError, ConflictError, ForbiddenError, MissingError, TooLargeError, UnavailableError
from atp.limits import REPOSITORY_CHUNK_BYTES, REPOSITORY_PIECE_BYTES, REPOSITORY_PIECES_MAX
from atp.ports.clock import Clock
from atp.ports.object_store import check_key
from atp.ports.repository import Attempt, Kept, Lock, attempted, check_longer, whole_second

_MISSING = ("NoSuchKey", "NoSuchVersion", "404", "NotFound")
_TAKEN = ("PreconditionFailed", "412", "ConditionalRequestConflict", "409")
_NEVER_KEPT = ("NoSuchObjectLockConfiguration", "ObjectLockConfigurationNotFoundError", "InvalidRequest")
_REFUSED = ("AccessDenied", "403", "InvalidRequest", "InvalidArgument", "ObjectLocked", "InvalidRetentionPeriod")
_MODE = "COMPLIANCE"
_CANARY = "canary"
_CANARY_SECONDS = 60
_CONFIG = Config(
    connect_timeout=5,
    read_timeout=30,
    retries={"max_attempts": 3, "mode": "standard"},
    s3={"addressing_style": "path"},
    # Checksums of newer client versions are unknown to many servers that speak S3; MD5 is known to all.
    request_checksum_calculation="when_required",
    response_checksum_validation="when_required",
)


@dataclass(frozen=True, slots=True)
class Credentials:
    """The key to a bucket. Never printed."""

    access_key: str
    secret_key: str

    def __repr__(self) -> str:
        return "Credentials(...)"


class BucketRepository:
    """The Repository port on an existing bucket; names stand under `prefix` (empty, or ending in a slash).

    Larger objects go in pieces of 16 MiB, one after the other: as much memory. `credentials` None: those that the
    machine has of its own (environment, instance role).
    """

    lock: Lock = "compliance"

    def __init__(
        self,
        *,
        url: str | None,
        bucket: str,
        credentials: Credentials | None,
        clock: Clock,
        region: str = "us-east-1",
        prefix: str = "",
    ) -> None:
        self._client: Any = boto3.client(
            "s3",
            endpoint_url=url,
            aws_access_key_id=credentials.access_key if credentials else None,
            aws_secret_access_key=credentials.secret_key if credentials else None,
            region_name=region,
            config=_CONFIG,
        )
        self._bucket = bucket
        self._prefix = prefix
        self._clock = clock
        self._check_locks()

    @contextmanager
    def store(self, name: str, *, keep_until: datetime | None = None) -> Iterator["_Upload"]:
        """See Repository."""
        check_key(name)
        if self._versions(name):
            raise ConflictError(f"could not store {name!r}: the name is taken")
        upload = _Upload(self._client, self._at(name), _locked_until(keep_until), name)
        try:
            yield upload
            upload.finish()
        except BaseException:
            upload.abort()
            raise

    def read(self, name: str) -> Iterator[bytes]:
        """See Repository. When the connection breaks in the middle, it goes on from there, as long as that helps."""
        version, at, broke_at = self._first(name), 0, 0
        while True:
            try:
                for chunk in self._read_from(at, name, version):
                    at += len(chunk)
                    yield chunk
                return
            except UnavailableError:
                if at == broke_at:
                    raise
                broke_at = at

    def objects(self, prefix: str) -> Iterator[Kept]:
        """See Repository. 1,000 versions a request."""
        rows = ((row["Key"], row) for row in self._rows(prefix))
        for key, group in groupby(rows, key=lambda pair: pair[0]):
            versions = [row for _, row in group]
            stored = [row for row in versions if "Size" in row]
            if stored:
                name = str(key).removeprefix(self._prefix)
                yield Kept(name, int(stored[-1]["Size"]), _hidden_by(versions))

    def keep_until(self, name: str) -> datetime | None:
        """See Repository."""
        return self._kept(name, self._first(name))

    def extend(self, name: str, keep_until: datetime) -> None:
        """See Repository."""
        version = self._first(name)
        check_longer(name, kept=self._kept(name, version), asked=keep_until)
        with _told("keep", name):
            self._client.put_object_retention(
                **self._at(name), VersionId=version, Retention={"Mode": _MODE, "RetainUntilDate": keep_until}
            )

    def delete(self, name: str) -> None:
        """See Repository. Ours goes first: when the server refuses that, nothing is gone."""
        check_key(name)
        for row in reversed(self._versions(name)):
            with _told("delete", name):
                self._client.delete_object(**self._at(name), VersionId=row["VersionId"])

    def locks_unasked(self) -> str:
        """See Repository. That is the bucket's default retention, of whatever mode."""
        rule = self._lock_configuration().get("Rule", {}).get("DefaultRetention", {})
        length = next((f"{rule[unit]} {unit.lower()}" for unit in ("Days", "Years") if rule.get(unit)), "")
        return f"for {length}, by its default retention ({rule.get('Mode')})" if length else ""

    def unfinished(self, prefix: str) -> Iterator[str]:
        """See Repository."""
        yield from sorted({str(row["Key"]).removeprefix(self._prefix) for row in self._uploads(prefix)})

    def forget(self, name: str) -> None:
        """See Repository."""
        check_key(name)
        for row in self._uploads(name):
            if row["Key"] == self._prefix + name:
                with _told("delete", name):
                    self._client.abort_multipart_upload(**self._at(name), UploadId=row["UploadId"])

    def challenge(self, kept: Sequence[str] = ()) -> list[Attempt]:
        """See Repository. What keeps an object is the store's own. Versions whose day is over are removed; each
        challenge leaves one for a minute."""
        for one in [*self.objects(f"{_CANARY}/")]:
            with suppress(ForbiddenError):
                self.delete(one.name)
        name = f"{_CANARY}/{secrets.token_hex(8)}"
        until = whole_second(self._clock.now() + timedelta(seconds=_CANARY_SECONDS))
        with self.store(name, keep_until=until) as sink:
            sink.write(b"canary\n")
        at = {**self._at(name), "VersionId": self._first(name)}
        early = {"Mode": _MODE, "RetainUntilDate": until - timedelta(seconds=_CANARY_SECONDS // 2)}
        soft = {"Mode": "GOVERNANCE", "RetainUntilDate": until}
        force = {"BypassGovernanceRetention": True}
        retain = self._client.put_object_retention
        remove = self._client.delete_object
        return [
            _try(
                "move its day forward",
                lambda: retain(**at, Retention=early, **force),
                broken="the day of an object was moved forward",
            ),
            _try(
                "release it to governance",
                lambda: retain(**at, Retention=soft, **force),
                broken="an object was released to governance",
            ),
            _try("remove the version", lambda: remove(**at), broken="a version was removed"),
            _try("remove the version by force", lambda: remove(**at, **force), broken="a version was removed by force"),
            _try("suspend versioning", self._suspend, broken="versioning was suspended"),
        ]

    def close(self) -> None:
        """See Repository."""
        self._client.close()

    def _read_from(self, at: int, name: str, version: str) -> Iterator[bytes]:
        rest = {"Range": f"bytes={at}-"} if at else {}
        with _told("read", name):
            answer = self._client.get_object(**self._at(name), VersionId=version, **rest)
            if at and "ContentRange" not in answer:
                raise UnavailableError(f"could not read {name!r}: it broke off, and the server knows no ranges")
            with answer["Body"]:
                yield from answer["Body"].iter_chunks(REPOSITORY_CHUNK_BYTES)

    def _at(self, name: str) -> dict[str, str]:
        return {"Bucket": self._bucket, "Key": self._prefix + name}

    def _check_locks(self) -> None:
        with _told("open bucket", self._bucket):
            self._client.head_bucket(Bucket=self._bucket)
        if self._lock_configuration().get("ObjectLockEnabled") != "Enabled":
            raise ForbiddenError(
                f"could not use bucket {self._bucket!r}: it has no Object Lock",
                hint="make one with Object Lock enabled",
            )

    def _lock_configuration(self) -> dict[str, Any]:
        with _told("open bucket", self._bucket):
            try:
                answer = self._client.get_object_lock_configuration(Bucket=self._bucket)
            except ClientError as error:
                if _code(error) not in (*_NEVER_KEPT, "NotImplemented", "MethodNotAllowed"):
                    raise
                return {}
        found: dict[str, Any] = answer["ObjectLockConfiguration"]
        return found

    def _suspend(self) -> Any:
        return self._client.put_bucket_versioning(Bucket=self._bucket, VersioningConfiguration={"Status": "Suspended"})

    def _rows(self, prefix: str) -> Iterator[dict[str, Any]]:
        """Versions and delete markers, sorted by key, the newest of each key first, as S3 lists them."""
        with _told("list", prefix):
            pages = self._client.get_paginator("list_object_versions")
            for page in pages.paginate(Bucket=self._bucket, Prefix=self._prefix + prefix):
                rows = [*page.get("Versions", ()), *page.get("DeleteMarkers", ())]
                yield from sorted(rows, key=_order)

    def _versions(self, name: str) -> list[dict[str, Any]]:
        return [row for row in self._rows(name) if row["Key"] == self._prefix + name]

    def _first(self, name: str) -> str:
        """The version that was stored first."""
        check_key(name)
        stored = [row for row in self._versions(name) if "Size" in row]
        if not stored:
            raise MissingError(f"could not read {name!r}: there is no such object")
        return str(stored[-1]["VersionId"])

    def _kept(self, name: str, version: str) -> datetime | None:
        with _told("read", name):
            try:
                found = self._client.get_object_retention(**self._at(name), VersionId=version)["Retention"]
            except ClientError as error:
                if _code(error) in _NEVER_KEPT:
                    return None
                raise
        return whole_second(found["RetainUntilDate"]) if found.get("Mode") == _MODE else None

    def _uploads(self, prefix: str) -> Iterator[dict[str, Any]]:
        with _told("list", prefix):
            pages = self._client.get_paginator("list_multipart_uploads")
            for page in pages.paginate(Bucket=self._bucket, Prefix=self._prefix + prefix):
                yield from page.get("Uploads", ())


class _Upload:
    """The sink of one object: one request when it is small, else pieces."""

    def __init__(self, client: Any, at: dict[str, str], lock: dict[str, Any], name: str) -> None:
        self._client = client
        self._at = at
        self._lock = lock
        self._name = name
        self._piece = bytearray()
        self._id: str | None = None
        self._tags: list[dict[str, Any]] = []

    def write(self, data: bytes, /) -> None:
        """See Sink."""
        self._piece += data
        while len(self._piece) > REPOSITORY_PIECE_BYTES:
            self._send(bytes(self._piece[:REPOSITORY_PIECE_BYTES]))
            del self._piece[:REPOSITORY_PIECE_BYTES]

    def finish(self) -> None:
        """The object exists when this returns."""
        try:
            with _told("store", self._name):
                if self._id is None:
                    body = bytes(self._piece)
                    self._client.put_object(**self._at, **self._lock, Body=body, ContentMD5=_md5(body), IfNoneMatch="*")
                    return
                self._send(bytes(self._piece))
                pieces = {"Parts": self._tags}
                self._client.complete_multipart_upload(
                    **self._at, UploadId=self._id, MultipartUpload=pieces, IfNoneMatch="*"
                )
        except _TakenError:
            raise ConflictError(f"could not store {self._name!r}: the name is taken") from None

    def abort(self) -> None:
        """Nothing of it stays, unless the server is gone: then it is unfinished."""
        if self._id is not None:
            with suppress(ClientError, BotoCoreError):
                self._client.abort_multipart_upload(**self._at, UploadId=self._id)

    def _send(self, piece: bytes) -> None:
        number = len(self._tags) + 1
        if number > REPOSITORY_PIECES_MAX:
            raise TooLargeError(f"could not store {self._name!r}: it is larger than {REPOSITORY_PIECES_MAX:,} pieces")
        with _told("store", self._name):
            if self._id is None:
                self._id = self._client.create_multipart_upload(**self._at, **self._lock)["UploadId"]
            answer = self._client.upload_part(
                **self._at, UploadId=self._id, PartNumber=number, Body=piece, ContentMD5=_md5(piece)
            )
        self._tags.append({"PartNumber": number, "ETag": answer["ETag"]})


def _try(tried: str, act: Callable[[], Any], *, broken: str) -> Attempt:
    """The answer is what stands in HTTP: the status, and the server's own words."""
    try:
        answer = act()
    except ClientError as error:
        said = error.response.get("Error", {})
        status = error.response["ResponseMetadata"]["HTTPStatusCode"]
        if status >= 500:
            raise UnavailableError(f"could not challenge the lock: {error}", hint="repeat") from None
        return attempted(tried, f"{status} {said.get('Code', '')}: {said.get('Message', '')}")
    except BotoCoreError as error:
        raise UnavailableError(f"could not challenge the lock: {error}", hint="repeat") from None
    return attempted(tried, str(answer["ResponseMetadata"]["HTTPStatusCode"]), broken=broken)


class _TakenError(Exception):
    """The server found an object of that name."""


def _locked_until(keep_until: datetime | None) -> dict[str, Any]:
    return {"ObjectLockMode": _MODE, "ObjectLockRetainUntilDate": keep_until} if keep_until else {}


def _md5(data: bytes) -> str:
    """S3 wants it for whatever is locked; it guards against faults of the way, not against people."""
    return b64encode(md5(data, usedforsecurity=False).digest()).decode()


def _order(row: dict[str, Any]) -> tuple[str, bool, float, bool]:
    """By key, the newest first: which one that is the server says, whatever its clock stamped on the others; of rows of
    one instant a marker stands over a version."""
    return row["Key"], not row.get("IsLatest", False), -row["LastModified"].timestamp(), "Size" in row


def _hidden_by(versions: list[dict[str, Any]]) -> str:
    """What stands over the first version, `versions` being newest first."""
    over = versions[: max(at for at, row in enumerate(versions) if "Size" in row)]
    if not over:
        return ""
    if "Size" not in over[0]:
        return "a delete marker"
    return "a later version" if len(over) == 1 else f"{len(over)} later versions"


def _code(error: ClientError) -> str:
    return str(error.response.get("Error", {}).get("Code"))


@contextmanager
def _told(verb: str, thing: str) -> Iterator[None]:
    """Turn the client's errors into the platform's."""
    try:
        yield
    except AtpError:
        raise
    except ClientError as error:
        code = _code(error)
        if verb == "store" and code in _TAKEN:
            raise _TakenError from None
        if verb == "read" and code in _MISSING:
            raise MissingError(f"could not read {thing!r}: there is no such object") from None
        if verb in ("delete", "keep") and code in _REFUSED:
            raise ForbiddenError(f"could not {verb} {thing!r}: the server refuses: {error}") from None
        raise UnavailableError(f"could not {verb} {thing!r}: {error}", hint="check bucket, keys and rights") from None
    except (BotoCoreError, OSError) as error:
        raise UnavailableError(f"could not {verb} {thing!r}: {error}", hint="is the S3 server up?") from None
