"""Keys whose destruction erases data, from the estate file to the bucket: nothing locks them, and all copies go."""

import shutil
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from tests.cli.running import Atp
from tests.contracts.vaults import locking_bucket, release, s3_client
from tests.services.s3 import Endpoint

ESTATE = """\
version: atp.estate/1
name: Keys of readers
environments: [production]
datasets:
  reader-keys:
    kind: files
    erasable: true
    source: {{place: {here}/keys}}
    rpo: 24h
    rto: 4h
    retention: {retention}
    backup: {{repository: {first}, copies_in: [attic], schedule: 1s, recipients: [{recipient}]}}
repositories:
  cellar: {{kind: directory, place: {here}/cellar, lock: local}}
  attic: {{kind: directory, place: {here}/attic, lock: local}}
{more}"""
SHORT = 4.0


def declare(atp: Atp, here: Path, *, retention: str = "30d", first: str = "cellar", more: str = "") -> None:
    """An estate of keys; written again, it is another estate of the same keys."""
    if not (here / "KEY.txt").exists():
        for name in ("keys", "cellar", "attic"):
            (here / name).mkdir()
        (here / "keys/reader-7").write_text("a key")
        atp.document("backup", "key", "-o", "KEY.txt")
    recipient = (here / "KEY.txt").read_text().split()[2]
    text = ESTATE.format(here=here, recipient=recipient, retention=retention, first=first, more=more)
    (here / "estate.yaml").write_text(text)


def vault_of(bucket: str, s3: Endpoint, here: Path) -> str:
    """The lines of the estate file about a bucket."""
    (here / "vault.key").write_text(f"{s3.access_key}:{s3.secret_key}\n")
    where = f"place: 's3://{bucket}/production', endpoint: '{s3.url}'"
    return f"  vault: {{kind: s3, {where}, lock: compliance, credentials: {{file: {here}/vault.key}}}}\n"


@pytest.fixture
def offline(alone: Atp, here: Path) -> Iterator[Atp]:
    """The program where no server answers."""
    yield Atp({**alone.env, "ATP_URL": "http://127.0.0.1:9"})
    release(here)


def answers(atp: Atp) -> dict[str, Any]:
    """What the review says of the keys, by the name of the check."""
    found = atp("estate", "check", "--json").json["findings"]
    return {one["check"]: one for one in found if one["subject"] == "dataset reader-keys"}


@pytest.mark.whole
def test_in_a_bucket_with_object_lock_nothing_is_locked_and_everything_can_be_deleted(
    offline: Atp, here: Path, s3: Endpoint
) -> None:
    bucket, client = f"b{uuid4().hex}", s3_client(s3)
    client.create_bucket(Bucket=bucket, ObjectLockEnabledForBucket=True)
    declare(offline, here, first="vault", more=vault_of(bucket, s3, here))
    made = offline.document("backup", "run", "reader-keys")
    assert (made["lock"], made["keep_until"]) == ("none", None) and made["gone_by"] is not None
    assert offline.document("backup", "verify", "--identity", "KEY.txt")["ok"]
    (one,) = offline.document("backup", "list")["backups"]
    assert (one["keep_until"], one["gone_by"]) == (None, made["gone_by"])
    assert f"gone by {made['gone_by'][:10]}" in offline("backup", "list").out
    rows = client.list_object_versions(Bucket=bucket, Prefix="production/reader-keys/")["Versions"]
    assert len(rows) == 3
    for row in rows:
        client.delete_object(Bucket=bucket, Key=row["Key"], VersionId=row["VersionId"])
    assert "Versions" not in client.list_object_versions(Bucket=bucket, Prefix="production/reader-keys/")
    assert [path for path in (here / "attic/.keep").rglob("*") if path.is_file()] == []
    shutil.rmtree(here / "attic/reader-keys")


@pytest.mark.whole
@pytest.mark.parametrize("mode", ["COMPLIANCE", "GOVERNANCE"])
def test_a_bucket_that_locks_by_itself_is_refused_before_anything_is_stored(
    offline: Atp, here: Path, s3: Endpoint, mode: str
) -> None:
    bucket = locking_bucket(s3, mode=mode)
    declare(offline, here, first="vault", more=vault_of(bucket, s3, here))
    for words in ((), ("--dry-run",)):
        ran = offline("backup", "run", "reader-keys", *words)
        assert ran.code == 2
        assert f"it locks every object for 1 days, by its default retention ({mode})" in ran.err
        assert "(hint: another bucket, one without a default retention)" in ran.err
    assert "Versions" not in s3_client(s3).list_object_versions(Bucket=bucket)
    assert not (here / "attic/reader-keys").exists()
    declare(offline, here, more=vault_of(bucket, s3, here))
    assert offline("backup", "run", "reader-keys").code == 0


@pytest.mark.whole
def test_the_last_copy_goes_from_every_repository_of_the_file_when_its_time_is_over(
    offline: Atp, here: Path, s3: Endpoint
) -> None:
    bucket, client = f"b{uuid4().hex}", s3_client(s3)
    client.create_bucket(Bucket=bucket, ObjectLockEnabledForBucket=True)
    more = vault_of(bucket, s3, here)
    declare(offline, here, first="vault", more=more)
    offline.document("backup", "run", "reader-keys")
    declare(offline, here, more=more)  # copies go to another place from now on
    offline.document("backup", "run", "reader-keys")
    (kept,) = {one["decision"]["do"] for one in offline.document("backup", "prune")["backups"]}
    assert kept == "keep"
    declare(offline, here, retention=f"{SHORT:.0f}s", more=more)
    time.sleep(SHORT)
    planned = offline.document("backup", "prune", "--dry-run")["backups"]
    assert {one["where"] for one in planned} == {f"reader-keys in {name}" for name in ("vault", "cellar", "attic")}
    assert {one["decision"]["do"] for one in planned} == {"delete"} and len(planned) == 4
    assert offline.document("backup", "prune")["backups"] == planned
    assert "Versions" not in client.list_object_versions(Bucket=bucket, Prefix="production/reader-keys/")
    assert [path for name in ("cellar", "attic") for path in (here / name).rglob("*") if path.is_file()] == []
    assert offline.document("backup", "prune")["backups"] == []


def test_a_repository_that_is_away_keeps_no_copy_in_the_others(offline: Atp, here: Path) -> None:
    declare(offline, here)
    offline.document("backup", "run", "reader-keys")
    declare(offline, here, retention=f"{SHORT:.0f}s")
    (here / "cellar").rename(here / "elsewhere")
    time.sleep(SHORT)
    ran = offline("backup", "prune")
    assert ran.code == 5 and "could not open the repository" in ran.err and "cellar" in ran.err
    assert not (here / "attic/reader-keys").exists()
    (here / "elsewhere").rename(here / "cellar")
    assert offline("backup", "prune").code == 0 and not (here / "cellar/reader-keys").exists()


def test_a_hold_is_refused_with_its_reason_and_nothing_is_held(offline: Atp, here: Path) -> None:
    declare(offline, here)
    backup = offline.document("backup", "run", "reader-keys")["backup"]
    ran = offline("backup", "hold", backup, "--reason", "dispute about inv-7")
    assert ran.code == 2
    assert f"could not hold backup {backup}: it holds keys whose destruction erases data, and is gone by" in ran.err
    assert not offline.document("backup", "list")["backups"][0]["held"]


def test_a_restore_says_that_destroyed_keys_came_back(offline: Atp, here: Path) -> None:
    declare(offline, here)
    made = offline.document("backup", "run", "reader-keys")
    (here / "keys/reader-7").unlink()
    ran = offline("restore", "reader-keys", "--to", "r", "--identity", "KEY.txt", "--yes")
    since = datetime.fromisoformat(made["consistent_at"]).astimezone(UTC)
    assert ran.code == 0 and (here / "r/reader-7").exists()
    assert f"destroy again every key that was destroyed since {since:%Y-%m-%d %H:%M:%SZ}: it came back" in ran.out


@pytest.mark.whole
def test_the_review_is_green_without_a_lock_and_red_as_long_as_a_copy_is_too_old(atp: Atp, here: Path) -> None:
    declare(atp, here)
    try:
        before = answers(atp)
        assert (before["unlocked"]["colour"], before["gone"]["colour"]) == ("grey", "grey")
        atp.document("backup", "run", "reader-keys")
        found = answers(atp)
        assert found["unlocked"]["sentence"] == "no copy is locked, as it must be"
        assert (found["unlocked"]["colour"], found["gone"]["colour"]) == ("green", "green")
        assert not found.keys() & {"lock", "immutable"}
        declare(atp, here, retention=f"{SHORT:.0f}s")
        time.sleep(SHORT)
        late = answers(atp)["gone"]
        assert (late["colour"], late["next_move"]) == ("red", "atp backup prune reader-keys")
        atp.document("backup", "prune", "reader-keys")
        assert answers(atp)["gone"]["sentence"].startswith("there is no copy")
    finally:
        release(here)


@pytest.mark.whole
def test_a_copy_that_was_locked_before_is_red_in_the_review(atp: Atp, here: Path) -> None:
    declare(atp, here)
    try:
        text = (here / "estate.yaml").read_text()
        (here / "estate.yaml").write_text(text.replace("    erasable: true\n", ""))
        atp.document("backup", "run", "reader-keys")
        (here / "estate.yaml").write_text(text)
        atp.document("backup", "run", "reader-keys")
        found = answers(atp)["unlocked"]
        assert found["colour"] == "red" and "in attic, cellar are locked until" in found["sentence"]
    finally:
        release(here)
