"""Somebody with the very keys of the product deletes all that they can: what is locked comes back, and nothing else."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from atp.app.vaults import open_repository
from atp.errors import ForbiddenError
from atp.ops.backups.act.listing import list_backups
from atp.ops.backups.act.parts import remove_backup
from atp.ops.estate.declare.parse import parse_estate
from tests.cli.running import Atp
from tests.contracts.vaults import release, s3_client
from tests.ops.backups.world import portrait, small_tree
from tests.services.s3 import Endpoint

pytestmark = pytest.mark.whole

ESTATE = """\
version: atp.estate/1
name: A small archive
environments: [production]
datasets:
  letters:
    kind: files
    source: {{place: {here}/letters}}
    rpo: 1h
    rto: 15min
    {retention}
    backup: {{repository: vault, schedule: 30min, recipients: [{recipient}]}}
    drill:
      place: {here}/scratch
      checks: [{{digests: true}}]
      heartbeat: {{every: 1min, ledger: {here}/ledger}}
repositories:
  vault:
    kind: s3
    place: s3://{bucket}/production
    endpoint: {url}
    lock: {lock}
    credentials: {{file: {here}/vault.key}}
"""


@pytest.fixture
def bucket(here: Path, s3: Endpoint) -> tuple[Any, str]:
    """A client with the product's own keys, and the name of a bucket with Object Lock."""
    client, name = s3_client(s3), f"b{uuid4().hex}"
    client.create_bucket(Bucket=name, ObjectLockEnabledForBucket=True)
    (here / "vault.key").write_text(f"{s3.access_key}:{s3.secret_key}\n")
    return client, name


def declare(atp: Atp, here: Path, bucket: str, url: str, *, is_locked: bool) -> Atp:
    small_tree(here / "letters")
    recipient = atp.document("backup", "key", "-o", "KEY.txt")["recipient"]
    words = ("retention: 30d", "compliance") if is_locked else ("", "none")
    text = ESTATE.format(here=here, recipient=recipient, bucket=bucket, url=url, retention=words[0], lock=words[1])
    (here / "estate.yaml").write_text(text)
    return Atp({**atp.env, "ATP_URL": "http://127.0.0.1:9"})


def hostile(client: Any, bucket: str) -> None:
    """Everything that is there is deleted, each version of it first: what the server lets go of is gone."""
    for page in client.get_paginator("list_object_versions").paginate(Bucket=bucket, Prefix="production/letters/"):
        for row in page.get("Versions", ()):
            try:
                client.delete_object(Bucket=bucket, Key=row["Key"], VersionId=row["VersionId"])
            except client.exceptions.ClientError:
                answer = client.delete_object(Bucket=bucket, Key=row["Key"])
                assert answer["ResponseMetadata"]["HTTPStatusCode"] == 204, "it says that it succeeded"
    assert "Contents" not in client.list_objects_v2(Bucket=bucket, Prefix="production/letters/"), "nothing is seen"


def prune_by_force(here: Path) -> None:
    """What the product's own code removes when it is told to remove what is not over."""
    declared = parse_estate((here / "estate.yaml").read_bytes(), file="estate.yaml").repositories["vault"]
    with closing(open_repository("vault", declared)) as opened:
        for one in list_backups(opened, dataset="letters"):
            remove_backup(opened, f"letters/{one.backup}/")


def test_a_locked_bucket_gives_back_what_was_deleted_and_says_so(
    alone: Atp, here: Path, bucket: tuple[Any, str], s3: Endpoint
) -> None:
    atp = declare(alone, here, bucket[1], s3.url, is_locked=True)
    atp.document("drill", "heartbeat", "letters")
    atp.document("backup", "run", "letters")
    with pytest.raises(ForbiddenError, match="the server refuses"):
        prune_by_force(here)
    hostile(*bucket)
    assert [row["decision"]["do"] for row in atp.document("backup", "prune")["backups"]] == ["keep"]
    (one,) = atp.document("backup", "list")["backups"]
    assert one["good"] and len(one["hidden"]) == 3 and "a delete marker" in one["hidden"][0]
    verified = atp("backup", "verify", "letters", "--identity", "KEY.txt")
    assert verified.code == 0 and "a delete marker" in verified.out, verified
    done = atp("drill", "run", "letters", "--scenario", "ransomware", "--identity", "KEY.txt", "--json").json["drill"]
    verdicts = {one["name"]: one["verdict"] for one in done["objectives"]}
    assert (verdicts["content"], verdicts["lock"], verdicts["rpo"]) == ("pass", "pass", "pass"), done
    assert done["verdict"] in ("pass", "insufficient"), "a fence is not to be had everywhere"
    atp.document("restore", "letters", "--to", "back", "--identity", "KEY.txt", "--yes")
    assert portrait(here / "back") == portrait(here / "letters")


def test_an_unlocked_repository_is_red_before_and_after_it_is_emptied(
    alone: Atp, here: Path, bucket: tuple[Any, str], s3: Endpoint
) -> None:
    atp = declare(alone, here, bucket[1], s3.url, is_locked=False)
    atp.document("drill", "heartbeat", "letters")
    atp.document("backup", "run", "letters")

    def drilled(scenario: str) -> tuple[int, str, str, str]:
        ran = atp("drill", "run", "letters", "--scenario", scenario, "--identity", "KEY.txt", "--json")
        done = ran.json["drill"]
        return ran.code, done["verdict"], done["cause"], done["reason"]

    code, verdict, cause, reason = drilled("ransomware")
    assert (code, verdict, cause) == (1, "fail", "no-repository") and "it is not locked" in reason
    hostile(*bucket)
    assert atp.document("backup", "list")["backups"] == []
    assert drilled("deletion")[:3] == (1, "fail", "no-backup"), "and it was not there for anything else either"


@pytest.fixture(autouse=True)
def released(here: Path) -> Iterator[None]:
    yield
    release(here)
