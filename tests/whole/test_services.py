"""The real servers, programs and browser that other tests rely on do what those tests take for granted."""

import asyncio
import shutil
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import boto3
import psycopg
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError
from playwright.sync_api import Browser

from tests.services import browser as chromium
from tests.services.fsck import Fsck
from tests.services.s3 import Endpoint

pytestmark = pytest.mark.whole


def test_postgres_keeps_what_was_committed(postgres: str) -> None:
    with psycopg.connect(postgres) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 7 AS number")
    with psycopg.connect(postgres) as connection:
        assert connection.execute("SELECT number FROM kept").fetchall() == [(7,)]


def test_every_test_gets_a_database_of_its_own(database: str) -> None:
    with psycopg.connect(database) as connection:
        assert connection.execute("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'").fetchall() == [(0,)]


@pytest.fixture
def bucket(s3: Endpoint) -> Iterator[tuple[Any, str]]:
    client = boto3.client(
        "s3",
        endpoint_url=s3.url,
        aws_access_key_id=s3.access_key,
        aws_secret_access_key=s3.secret_key,
        region_name=s3.region,
        config=Config(s3={"addressing_style": "path"}, retries={"max_attempts": 1}),
    )
    client.create_bucket(Bucket="locked", ObjectLockEnabledForBucket=True)
    yield client, "locked"
    client.close()


def test_a_locked_object_outlives_its_deleter(bucket: tuple[Any, str]) -> None:
    client, name = bucket
    until = datetime.now(UTC) + timedelta(days=1)
    lock = {"ObjectLockMode": "COMPLIANCE", "ObjectLockRetainUntilDate": until}
    version = client.put_object(Bucket=name, Key="tile", Body=b"first", **lock)["VersionId"]

    with pytest.raises(ClientError, match="AccessDenied"):
        client.delete_object(Bucket=name, Key="tile", VersionId=version, BypassGovernanceRetention=True)
    with pytest.raises(ClientError, match="AccessDenied"):
        shorter = {"Mode": "COMPLIANCE", "RetainUntilDate": until - timedelta(hours=1)}
        client.put_object_retention(Bucket=name, Key="tile", VersionId=version, Retention=shorter)
    with pytest.raises(ClientError, match="PreconditionFailed"):
        client.put_object(Bucket=name, Key="tile", Body=b"second", IfNoneMatch="*")
    client.put_object(Bucket=name, Key="tile", Body=b"second")
    assert client.get_object(Bucket=name, Key="tile", VersionId=version)["Body"].read() == b"first"


def test_fsck_passes_an_honest_log_and_no_other(fsck: Fsck, shared: Path, tmp_path: Path) -> None:
    foreign = shared / "vectors" / "tlog-tiles"
    vkey = (foreign / "tessera-testdata-log.vkey").read_text()
    log = shutil.copytree(foreign / "tessera-testdata-log", tmp_path / "log", copy_function=shutil.copyfile)
    assert fsck.complaint(f"file://{log}/", vkey=vkey) == ""

    bundle = log / "tile" / "entries" / "000.p" / "15"
    bundle.write_bytes(bundle.read_bytes()[:-1] + b"\xff")
    assert "tile/0/000.p/15" in fsck.complaint(f"file://{log}/", vkey=vkey)


def test_a_closed_browser_leaves_no_event_loop_behind() -> None:
    with chromium.open_browser() as browser:
        browser.new_page().close()
    assert asyncio.run(asyncio.sleep(0, "ran")) == "ran"


def test_the_browser_runs_scripts(browser: Browser) -> None:
    page = browser.new_page()
    page.set_content("<h1>empty</h1><script>document.querySelector('h1').textContent = 6 * 7</script>")
    assert page.inner_text("h1") == "42"
    page.close()
