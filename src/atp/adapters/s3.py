"""Objects in a bucket of an S3 server, any that knows conditional writes (`If-None-Match`)."""

from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from atp.errors import AtpError, MissingError, TamperedError, UnavailableError
from atp.ports.object_store import check_key

_WRITERS = 8
_ATTEMPTS_MAX = 5
_MISSING = ("NoSuchKey", "404", "NotFound")
_EXISTS = ("PreconditionFailed", "412", "ConditionalRequestConflict", "409")
_CONFIG = Config(
    connect_timeout=5,
    read_timeout=30,
    retries={"max_attempts": 3, "mode": "standard"},
    max_pool_connections=2 * _WRITERS,
    s3={"addressing_style": "path"},
    # Checksums of newer client versions are unknown to many servers that speak S3.
    request_checksum_calculation="when_required",
    response_checksum_validation="when_required",
)


class S3ObjectStore:
    """The ObjectStore port on an existing bucket; keys stand under `prefix` (empty, or ending in a slash).

    An object is durable when the server has answered. Writes go out eight at a time.
    """

    def __init__(
        self, *, url: str, bucket: str, access_key: str, secret_key: str, region: str = "us-east-1", prefix: str = ""
    ) -> None:
        self._client: Any = boto3.client(
            "s3",
            endpoint_url=url,
            aws_access_key_id=access_key,
            aws_secret_access_key=secret_key,
            region_name=region,
            config=_CONFIG,
        )
        self._bucket = bucket
        self._prefix = prefix
        self._pool = ThreadPoolExecutor(_WRITERS, thread_name_prefix="objects")
        with _told("open bucket", bucket):
            self._client.head_bucket(Bucket=bucket)

    def put(self, objects: Mapping[str, bytes]) -> None:
        """See ObjectStore."""
        for key in objects:
            check_key(key)
        # Every object is tried before the first fault is raised: no thread still writes when the call is over.
        faults = [fault for fault in self._pool.map(self._put_one, objects.items()) if fault is not None]
        for fault in sorted(faults, key=lambda fault: not isinstance(fault, TamperedError)):
            raise fault

    def replace(self, key: str, data: bytes) -> None:
        """See ObjectStore."""
        check_key(key)
        with _told("replace", key):
            self._client.put_object(Bucket=self._bucket, Key=self._prefix + key, Body=data)

    def get(self, key: str) -> bytes:
        """See ObjectStore."""
        check_key(key)
        with _told("read", key):
            answer = self._client.get_object(Bucket=self._bucket, Key=self._prefix + key)
            data: bytes = answer["Body"].read()
            return data

    def keys(self, prefix: str) -> Iterator[str]:
        """See ObjectStore. Lazy, 1,000 keys a request."""
        if prefix:
            check_key(prefix.removesuffix("/"))
        with _told("list", prefix):
            pages = self._client.get_paginator("list_objects_v2")
            for page in pages.paginate(Bucket=self._bucket, Prefix=self._prefix + prefix):
                for found in page.get("Contents", ()):
                    yield str(found["Key"]).removeprefix(self._prefix)

    def close(self) -> None:
        """Wait for the writers; the store is not used afterwards."""
        self._pool.shutdown()
        self._client.close()

    def _put_one(self, item: tuple[str, bytes]) -> AtpError | None:
        key, data = item
        try:
            with _told("store", key):
                self._create(key, data)
        except AtpError as error:
            return error
        return None

    def _create(self, key: str, data: bytes) -> None:
        for _ in range(_ATTEMPTS_MAX):
            if self._is_created(key, data):
                return
            try:
                stored = self.get(key)
            except MissingError:
                continue  # the server refused this one because of another, which it has not stored yet
            if stored == data:
                return
            raise TamperedError(
                f"could not store {key!r}: it exists with other bytes",
                hint="keep both, run `atp verify` and find out who wrote there",
            )
        raise UnavailableError(f"could not store {key!r}: others write to it", hint="repeat")

    def _is_created(self, key: str, data: bytes) -> bool:
        """Whether the server stored the object; it refuses when there is one."""
        try:
            self._client.put_object(Bucket=self._bucket, Key=self._prefix + key, Body=data, IfNoneMatch="*")
        except ClientError as error:
            if error.response.get("Error", {}).get("Code") in _EXISTS:
                return False
            raise
        return True


@contextmanager
def _told(verb: str, thing: str) -> Iterator[None]:
    """Turn the client's errors into the platform's."""
    try:
        yield
    except ClientError as error:
        code = str(error.response.get("Error", {}).get("Code"))
        if verb == "read" and code in _MISSING:
            raise MissingError(f"could not read {thing!r}: there is no such object") from None
        raise UnavailableError(f"could not {verb} {thing!r}: {error}", hint="check bucket, keys and rights") from None
    except BotoCoreError as error:
        raise UnavailableError(f"could not {verb} {thing!r}: {error}", hint="is the S3 server up?") from None
