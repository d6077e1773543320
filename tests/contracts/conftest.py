"""A fixture a port: the keeper under test, on empty storage of its own."""

from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import boto3
import pytest

from atp.adapters.filesystem import FilesystemObjectStore
from atp.adapters.keyfile import FileKeyStore
from atp.adapters.machine import FileMachine
from atp.adapters.memory import FrozenClock, MemoryEventStore, MemoryKeyStore, MemoryObjectStore
from atp.adapters.memory_machine import MemoryMachine
from atp.adapters.postgres import PostgresEventStore
from atp.adapters.s3 import S3ObjectStore
from atp.adapters.sqlite import open_order
from atp.adapters.system_clock import SystemClock
from atp.ports.clock import Clock
from atp.ports.event_store import EventStore
from atp.ports.key_store import KeyStore
from atp.ports.machine import Machine
from atp.ports.object_store import ObjectStore
from tests.contracts.keepers import ADMITS_ONE_OPENER, IS_EXACT, IS_STRICT, Keeper
from tests.contracts.vaults import Vault, bucket_vault, directory_vault, memory_vault
from tests.services.s3 import Endpoint


@pytest.fixture(params=["memory", "sqlite", "sqlite with few ids in memory", "postgres"])
def event_stores(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Keeper[EventStore]]:
    keeper = _event_stores(request, tmp_path)
    yield keeper
    keeper.close()


def _event_stores(request: pytest.FixtureRequest, directory: Path) -> Keeper[EventStore]:
    name = request.param
    if name == "memory":
        store = MemoryEventStore()
        return Keeper(name, lambda: store, frozenset({IS_STRICT}))
    if name == "postgres":
        dsn = request.getfixturevalue("database")
        return Keeper(name, lambda: PostgresEventStore(dsn), frozenset({IS_EXACT}))
    ids_max = 5 if "few" in name else 131_072
    return Keeper(
        name,
        lambda: open_order(directory / "data", ids_in_memory_max=ids_max),
        frozenset({ADMITS_ONE_OPENER, IS_EXACT}),
    )


@pytest.fixture(params=["memory", "filesystem", "s3"])
def object_stores(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Keeper[ObjectStore]]:
    keeper = _object_stores(request, tmp_path)
    yield keeper
    keeper.close()


def _object_stores(request: pytest.FixtureRequest, directory: Path) -> Keeper[ObjectStore]:
    name = request.param
    if name == "memory":
        store = MemoryObjectStore()
        return Keeper(name, lambda: store)
    if name == "s3":
        endpoint: Endpoint = request.getfixturevalue("s3")
        bucket = create_bucket(endpoint)
        return Keeper(name, lambda: open_bucket(endpoint, bucket))
    return Keeper(name, lambda: FilesystemObjectStore(directory / "data"))


def create_bucket(endpoint: Endpoint) -> str:
    bucket = f"b{uuid4().hex}"
    client = boto3.client(
        "s3",
        endpoint_url=endpoint.url,
        aws_access_key_id=endpoint.access_key,
        aws_secret_access_key=endpoint.secret_key,
        region_name=endpoint.region,
    )
    client.create_bucket(Bucket=bucket)
    client.close()
    return bucket


def open_bucket(endpoint: Endpoint, bucket: str) -> S3ObjectStore:
    return S3ObjectStore(
        url=endpoint.url,
        bucket=bucket,
        access_key=endpoint.access_key,
        secret_key=endpoint.secret_key,
        region=endpoint.region,
        prefix="tenants/",
    )


@pytest.fixture(params=["memory", "keyfile"])
def key_stores(request: pytest.FixtureRequest, tmp_path: Path) -> Keeper[KeyStore]:
    if request.param == "memory":
        store = MemoryKeyStore()
        return Keeper(request.param, lambda: store)
    return Keeper(request.param, lambda: FileKeyStore(tmp_path / "data"))


@pytest.fixture(params=["memory", "file"])
def machines(request: pytest.FixtureRequest, tmp_path: Path) -> Keeper[Machine]:
    if request.param == "memory":
        machine = MemoryMachine()
        return Keeper(request.param, lambda: machine)
    return Keeper(request.param, lambda: FileMachine(tmp_path / "state" / "machine"))


@pytest.fixture(params=[FrozenClock, SystemClock])
def clock(request: pytest.FixtureRequest) -> Clock:
    made: Clock = request.param()
    return made


@pytest.fixture(params=["memory", "directory", "s3"])
def vault(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Vault]:
    if request.param == "directory":
        with directory_vault(tmp_path / "vault") as opened:
            yield opened
        return
    opened = memory_vault() if request.param == "memory" else bucket_vault(request.getfixturevalue("s3"))
    yield opened
    opened.close()
