"""What is particular to a bucket: a connection that breaks in the middle of an object."""

from dataclasses import replace
from random import Random
from uuid import uuid4

import pytest

from atp.errors import ForbiddenError, UnavailableError
from tests.contracts.cutting import cutting
from tests.contracts.vaults import locking_bucket, open_bucket, s3_client
from tests.services.s3 import Endpoint

pytestmark = pytest.mark.whole


def stored(endpoint: Endpoint, data: bytes) -> str:
    bucket = f"b{uuid4().hex}"
    s3_client(endpoint).create_bucket(Bucket=bucket, ObjectLockEnabledForBucket=True)
    with open_bucket(endpoint, bucket).store("large") as sink:
        sink.write(data)
    return bucket


@pytest.mark.parametrize("mode", ["COMPLIANCE", "GOVERNANCE"])
def test_a_default_retention_of_either_mode_locks_every_object_and_is_told(s3: Endpoint, mode: str) -> None:
    bucket = locking_bucket(s3, mode=mode)
    store = open_bucket(s3, bucket)
    assert store.locks_unasked() == f"for 1 days, by its default retention ({mode})"
    with store.store("a/b") as sink:
        sink.write(b"1")
    with pytest.raises(ForbiddenError, match="could not delete"):
        store.delete("a/b")


def test_a_read_that_is_cut_off_goes_on_from_where_it_was(s3: Endpoint, rng: Random) -> None:
    data = rng.randbytes(9_000_000)
    bucket = stored(s3, data)
    with cutting(s3.url, after_bytes=4_000_000, times=2) as way:
        store = open_bucket(replace(s3, url=way.url), bucket)
        assert b"".join(store.read("large")) == data
        store.close()
        assert way.left == 0


def test_a_read_that_is_cut_off_and_brings_no_more_is_unavailable(s3: Endpoint, rng: Random) -> None:
    bucket = stored(s3, rng.randbytes(9_000_000))
    with cutting(s3.url, after_bytes=2_000_000, times=100) as way:
        store = open_bucket(replace(s3, url=way.url), bucket)
        with pytest.raises(UnavailableError, match="could not read 'large'"):
            for _ in store.read("large"):
                way.after_bytes = 0
        store.close()
        assert 0 < way.left < 100
