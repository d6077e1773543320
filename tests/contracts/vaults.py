"""The repositories under test: how each is opened again, how its time passes, how it is attacked behind its back."""

import fcntl
import os
import shutil
import struct
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import boto3
from botocore.exceptions import ClientError

from atp.adapters.bucket import BucketRepository, Credentials
from atp.adapters.directory import DirectoryRepository
from atp.adapters.memory import FrozenClock
from atp.adapters.memory_repository import MemoryRepository
from atp.adapters.system_clock import SystemClock
from atp.ports.repository import Repository, whole_second
from tests.services.s3 import Endpoint

SOON = timedelta(seconds=2)
Attack = Callable[[], bool]
PREFIX = "estate/"


@dataclass(slots=True)
class Vault:
    """A place for backups. An attack says whether it succeeded."""

    name: str
    opener: Callable[[], Repository]
    clock: FrozenClock | SystemClock
    attacks: Callable[[str], Mapping[str, Attack]] = lambda _: {}
    hiding: Callable[[], Mapping[str, Callable[[str], object]]] = dict
    vanish: Callable[[], bool] = lambda: False
    opened: list[Repository] = field(default_factory=list)

    def open(self) -> Repository:
        self.opened.append(self.opener())
        return self.opened[-1]

    def now(self) -> datetime:
        return self.clock.now()

    def soon(self) -> datetime:
        return whole_second(self.now() + SOON)

    def wait_for(self, until: datetime) -> None:
        if isinstance(self.clock, FrozenClock):
            self.clock.advance((until - self.now()).total_seconds())
            return
        while datetime.now(UTC) < until + timedelta(seconds=0.2):
            time.sleep(0.1)

    def close(self) -> None:
        for one in self.opened:
            one.close()


def memory_vault() -> Vault:
    clock = FrozenClock()
    store = MemoryRepository(clock)
    return Vault("memory", lambda: store, clock)


@contextmanager
def directory_vault(root: Path) -> Iterator[Vault]:
    """On a directory, whose files are released when the block ends."""
    root.mkdir()
    clock = FrozenClock()

    def attacks(name: str) -> Mapping[str, Attack]:
        path = root / name
        return {
            "remove": lambda: _succeeds(path.unlink, OSError),
            "append": lambda: _succeeds(lambda: path.open("ab"), OSError),
            "overwrite": lambda: _succeeds(lambda: path.write_bytes(b"evil"), OSError),
            "replace": lambda: _succeeds(lambda: _evil(root).replace(path), OSError),
            "forget its day": lambda: _succeeds((root / ".keep" / name).unlink, OSError),
        }

    def vanish() -> bool:
        release(root)
        shutil.rmtree(root)
        return True

    try:
        yield Vault("directory", lambda: DirectoryRepository(root, clock=clock), clock, attacks, vanish=vanish)
    finally:
        release(root)


def _evil(root: Path) -> Path:
    (root / "evil").write_bytes(b"evil")
    return root / "evil"


def bucket_vault(endpoint: Endpoint) -> Vault:
    """On a new bucket with Object Lock."""
    client, bucket = s3_client(endpoint), f"b{uuid4().hex}"
    client.create_bucket(Bucket=bucket, ObjectLockEnabledForBucket=True)

    def attacks(name: str) -> Mapping[str, Attack]:
        at = {"Bucket": bucket, "Key": PREFIX + name}
        version = client.list_object_versions(Bucket=bucket, Prefix=PREFIX + name)["Versions"][-1]["VersionId"]
        return {what: lambda act=act: _succeeds(act, ClientError) for what, act in _of_s3(client, at, version).items()}

    hiding: dict[str, Callable[[str], object]] = {
        "a delete marker": lambda name: client.delete_object(Bucket=bucket, Key=PREFIX + name),
        "a later version": lambda name: client.put_object(Bucket=bucket, Key=PREFIX + name, Body=b"evil"),
    }
    return Vault("s3", lambda: open_bucket(endpoint, bucket), SystemClock(), attacks, lambda: hiding)


def _of_s3(client: Any, at: dict[str, str], version: str) -> dict[str, Callable[[], object]]:
    """Every way that a full key has to remove or release a version."""
    of, force = {**at, "VersionId": version}, {"BypassGovernanceRetention": True}
    soon, late = (datetime.now(UTC) + timedelta(seconds=seconds) for seconds in (60, 86_400 * 9))
    retain, bucket = client.put_object_retention, at["Bucket"]

    def delete_many() -> None:
        wanted = {"Objects": [{"Key": at["Key"], "VersionId": version}]}
        answer = client.delete_objects(Bucket=bucket, Delete=wanted, **force)
        if answer.get("Errors"):
            raise ClientError({"Error": {"Code": "AccessDenied"}}, "DeleteObjects")

    return {
        "delete": lambda: client.delete_object(**of),
        "delete by force": lambda: client.delete_object(**of, **force),
        "delete among many": delete_many,
        "shorten": lambda: retain(**of, Retention={"Mode": "COMPLIANCE", "RetainUntilDate": soon}, **force),
        "downgrade": lambda: retain(**of, Retention={"Mode": "GOVERNANCE", "RetainUntilDate": late}, **force),
        "clear": lambda: retain(**of, Retention={}, **force),
        "suspend": lambda: client.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Suspended"}),
        "unlock": lambda: client.put_object_lock_configuration(Bucket=bucket, ObjectLockConfiguration={}),
        "drop": lambda: client.delete_bucket(Bucket=bucket),
    }


def s3_client(endpoint: Endpoint) -> Any:
    return boto3.client(
        "s3",
        endpoint_url=endpoint.url,
        aws_access_key_id=endpoint.access_key,
        aws_secret_access_key=endpoint.secret_key,
        region_name=endpoint.region,
    )


def open_bucket(endpoint: Endpoint, bucket: str) -> BucketRepository:
    keys = Credentials(endpoint.access_key, endpoint.secret_key)
    return BucketRepository(
        url=endpoint.url, bucket=bucket, credentials=keys, clock=SystemClock(), region=endpoint.region, prefix=PREFIX
    )


def locking_bucket(endpoint: Endpoint, *, mode: str = "COMPLIANCE") -> str:
    """The name of a new bucket that locks every object for a day, whoever asks."""
    client, bucket = s3_client(endpoint), f"b{uuid4().hex}"
    client.create_bucket(Bucket=bucket, ObjectLockEnabledForBucket=True)
    rule = {"DefaultRetention": {"Mode": mode, "Days": 1}}
    client.put_object_lock_configuration(
        Bucket=bucket, ObjectLockConfiguration={"ObjectLockEnabled": "Enabled", "Rule": rule}
    )
    return bucket


def release(root: Path) -> None:
    """Take the immutable flag off every file, so that the folder can be removed."""
    for folder, _, names in os.walk(root):
        for name in names:
            with suppress(OSError):
                file = os.open(Path(folder) / name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
                flags = struct.unpack("l", fcntl.ioctl(file, 0x80086601, struct.pack("l", 0)))[0]
                fcntl.ioctl(file, 0x40086602, struct.pack("l", flags & ~0x10))
                os.close(file)


def _succeeds(attempt: Callable[[], object], refusal: type[Exception]) -> bool:
    try:
        attempt()
    except refusal:
        return False
    return True
