"""`atp backup` and `atp restore` from end to end: without a server, with one, and on a bucket with Object Lock."""

import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import uuid4

import msgspec
import pytest

from atp.adapters.directory import DirectoryRepository
from atp.adapters.system_clock import SystemClock
from atp.app.machine import spool_folders, spooled_lines
from atp.limits import PAGE_EVENTS_MAX
from atp.ops.backups.evidence import backup_followed
from tests.cli.running import Atp
from tests.contracts.vaults import release, s3_client
from tests.ops.backups.test_database import filled
from tests.ops.backups.world import portrait, small_tree
from tests.services.s3 import Endpoint

ESTATE = """\
version: atp.estate/1
name: A small archive
environments: [production]
datasets:
  letters:
    kind: files
    source: {{place: {here}/letters}}
    retention: 30d
    backup: {{repository: {first}, copies_in: [{second}], schedule: 12h, recipients: [{recipient}]}}
  catalogue:
    kind: sqlite
    source: {{place: {here}/catalogue.db}}
    retention: 30d
    backup: {{repository: cellar, schedule: 12h, recipients: [{recipient}]}}
repositories:
  cellar: {{kind: directory, place: {here}/cellar, lock: local}}
  attic: {{kind: directory, place: {here}/attic, lock: local}}
{more}"""


def declare(atp: Atp, here: Path, *, first: str = "cellar", second: str = "attic", more: str = "") -> str:
    """An estate with its data and repositories; the text of its private key."""
    small_tree(here / "letters")
    filled(here / "catalogue.db", rows=200)
    for name in ("cellar", "attic"):
        (here / name).mkdir()
    recipient = atp.document("backup", "key", "-o", "KEY.txt")["recipient"]
    text = ESTATE.format(here=here, recipient=recipient, first=first, second=second, more=more)
    (here / "estate.yaml").write_text(text)
    return (here / "KEY.txt").read_text().splitlines()[-1]


@pytest.fixture
def offline(alone: Atp, here: Path) -> Iterator[Atp]:
    """The program with an estate, and no server anywhere."""
    declare(alone, here)
    yield Atp({**alone.env, "ATP_URL": "http://127.0.0.1:9"})
    release(here)


def test_files_and_a_database_are_backed_up_verified_and_restored_without_a_server(offline: Atp, here: Path) -> None:
    made = offline.document("backup", "run", "letters")
    assert (made["repository"], made["copies_in"], made["warnings"]) == ("cellar", ["attic"], [])
    offline.document("backup", "run", "catalogue")
    listed = offline.document("backup", "list")["backups"]
    assert [(one["dataset"], one["good"]) for one in listed] == [("letters", True), ("catalogue", True)]
    verified = offline.document("backup", "verify", "--identity", "KEY.txt")
    assert verified["ok"] and verified["backups"][0]["verified"]["entries"] == made["entries"]
    for dataset in ("letters", "catalogue"):
        offline.document("restore", dataset, "--to", f"restored-{dataset}", "--identity", "KEY.txt", "--yes")
    assert portrait(here / "restored-letters") == portrait(here / "letters")
    with closing(sqlite3.connect(here / "restored-catalogue")) as restored:
        assert restored.execute("SELECT count(*), max(number) FROM ledger").fetchone() == (200, 200)
    offline.document("restore", "letters", "--from", "attic", "--to", "2", "--identity", "KEY.txt", "--yes")
    assert portrait(here / "2") == portrait(here / "letters")


def test_the_exit_code_tells_the_truth(offline: Atp, here: Path) -> None:
    backup = offline.document("backup", "run", "letters")["backup"]
    release(here / "cellar/letters" / backup)
    part = here / "cellar/letters" / backup / "data.00000"
    data = bytearray(part.read_bytes())
    data[len(data) // 2] ^= 1
    part.write_bytes(data)
    one, other = offline.document("backup", "verify", backup, code=1)["backups"]
    assert one["verdict"] == "fail" and "data.00000" in one["verified"]["faults"][0]
    assert (other["repository"], other["verdict"]) == ("attic", "pass")
    assert offline.document("backup", "verify", backup, "--from", "attic")["ok"]
    ran = offline("restore", "letters", "--to", "r", "--identity", "KEY.txt", "--yes")
    assert ran.code == 1 and "the bytes of its part data.00000 are not those that were stored" in ran.err
    part.unlink()
    assert offline.document("backup", "verify", backup, code=1)["ok"] is False
    assert offline.document("backup", "list", "letters")["backups"][0]["good"] is False
    assert offline("restore", "letters", "--to", "r", "--identity", "KEY.txt", "--yes").code == 3
    assert offline("backup", "verify", "nothing-like-it").code == 3
    assert offline("backup", "run", "nothing").code == 3
    assert not (here / "r").exists()


def test_a_restore_shows_its_plan_and_does_nothing_unless_it_is_told_to(offline: Atp, here: Path) -> None:
    offline.document("backup", "run", "letters")
    words = ("restore", "letters", "--to", "r", "--identity", "KEY.txt")
    plan = offline.document(*words, "--dry-run")["plan"]
    assert [step["name"] for step in plan] == ["fetch", "check", "place"]
    ran = offline(*words)
    assert ran.code == 2 and "nobody confirmed" in ran.err and "1. decrypt" in ran.err
    assert not (here / "r").exists()
    (here / "r").mkdir()
    (here / "r/mine").touch()
    assert offline(*words, "--yes").code == 4
    assert offline(*words, "--replace", "letters", "--yes").code == 2
    assert (here / "r/mine").exists()
    done = offline.document(*words, "--replace", "r", "--yes")
    assert (Path(done["restored"]["kept_as"][0]) / "mine").exists()


def test_every_copy_is_verified_and_has_to_be_there(offline: Atp, here: Path) -> None:
    backup = offline.document("backup", "run", "letters")["backup"]
    ran = offline("backup", "verify", "letters")
    told = [line.split(": ")[0] for line in ran.out.splitlines() if not line.startswith("  ")]
    assert told == [f"letters {backup} in cellar", f"letters {backup} in attic"]
    release(here / "attic")
    shutil.rmtree(here / "attic/letters")
    one, other = offline.document("backup", "verify", "letters", code=1)["backups"]
    assert one["verdict"] == "pass"
    assert other["verified"]["faults"] == ["the repository should have a copy of it, and has none"]


def test_a_newest_backup_that_somebody_removed_is_missed(offline: Atp, here: Path) -> None:
    offline.document("backup", "run", "letters")
    newer = offline.document("backup", "run", "letters")["backup"]
    release(here / "cellar")
    shutil.rmtree(here / "cellar/letters" / newer)
    one, other = offline.document("backup", "verify", "letters", code=1)["backups"]
    assert one["verified"]["backup"] == newer
    assert one["verified"]["faults"] == ["the repository should have a copy of it, and has none"]
    assert other["verdict"] == "pass"
    shutil.rmtree(here / "cellar/letters")
    assert offline.document("backup", "verify", "letters", code=1)["backups"][0]["verified"]["backup"] == newer


def test_a_protection_that_somebody_lifted_is_found(offline: Atp, here: Path) -> None:
    backup = offline.document("backup", "run", "letters")["backup"]
    can_lock = DirectoryRepository(here / "cellar", clock=SystemClock()).lock == "local"
    release(here / "cellar/letters" / backup)
    one, other = offline.document("backup", "verify", "letters", code=1 if can_lock else 0)["backups"]
    lifted = f"letters/{backup}/data.00000 is kept no more: its protection was lifted (chattr +i)"
    assert (f"the lock of the repository does not hold: {lifted}" in one["verified"]["faults"]) == can_lock
    assert other["verdict"] == "pass"


def test_no_older_backup_is_verified_in_place_of_the_newest(offline: Atp, here: Path) -> None:
    older = offline.document("backup", "run", "letters")["backup"]
    backup = offline.document("backup", "run", "letters")["backup"]
    release(here / "cellar/letters" / backup)
    part = here / "cellar/letters" / backup / "data.00000"
    stored = part.stat().st_size
    os.truncate(part, 7)
    one, other = offline.document("backup", "verify", "letters", code=1)["backups"]
    assert one["verified"]["backup"] == backup
    assert one["verified"]["faults"] == [f"its part data.00000 has 7 bytes instead of {stored:,}"]
    assert f"an older one has all its parts (hint: atp backup verify {older})" in one["verified"]["warnings"]
    assert (other["verified"]["backup"], other["verdict"]) == (backup, "pass")
    assert offline.document("backup", "verify", older)["ok"]


def test_no_older_backup_is_restored_in_place_of_the_newest_unless_it_is_named(offline: Atp, here: Path) -> None:
    older = offline.document("backup", "run", "letters")["backup"]
    newer = offline.document("backup", "run", "letters")["backup"]
    release(here / "cellar/letters" / newer)
    os.truncate(here / "cellar/letters" / newer / "data.00000", 7)
    restore = ("restore", "letters", "--to", "back", "--identity", "KEY.txt", "--yes")
    refused = offline(*restore)
    assert refused.code == 2 and newer in refused.err and f"--backup {older}" in refused.err
    assert not (here / "back").exists()
    assert offline(*restore, "--backup", older).code == 0


def test_a_manifest_that_is_not_the_one_that_was_recorded_is_refused(offline: Atp, here: Path, tmp_path: Path) -> None:
    made = offline.document("backup", "run", "letters")
    restore = ("restore", "letters", "--to", "r", "--identity", "KEY.txt", "--yes")
    ran = offline(*restore, "--dry-run")
    assert ran.code == 0 and "held against" not in ran.err
    release(here / "cellar/letters" / made["backup"])
    with (here / "cellar/letters" / made["backup"] / "manifest.json").open("ab") as file:
        file.write(b"\n")
    ran = offline(*restore)
    assert ran.code == 1 and "its manifest is not the one that was recorded" in ran.err
    one, other = offline.document("backup", "verify", "letters", code=1)["backups"]
    assert one["verified"]["faults"] == ["its manifest is not the one that was recorded"]
    assert other["verdict"] == "pass"
    elsewhere = Atp({**offline.env, "ATP_STATE_DIR": str(tmp_path / "elsewhere")})
    ran = elsewhere(*restore)
    assert ran.code == 0 and "was not held against the operators' trail" in ran.err
    given = ("--manifest-sha256", made["manifest_sha256"])
    assert elsewhere(*restore[:3], "r2", *restore[4:], *given).code == 1
    assert elsewhere(*restore[:3], "r2", *restore[4:], *given, "--from", "attic").code == 0


def test_verify_extends_the_lock_of_the_last_good_backup_in_time(offline: Atp, here: Path) -> None:
    offline.document("backup", "run", "letters")
    offline.document("backup", "verify", "letters")
    before = offline.document("backup", "list", "letters")["backups"][0]["keep_until"]
    text = (here / "estate.yaml").read_text()
    (here / "estate.yaml").write_text(text.replace("retention: 30d", "retention: 90d", 1))
    offline.document("backup", "verify", "letters")
    after = offline.document("backup", "list", "letters")["backups"][0]["keep_until"]
    assert datetime.fromisoformat(after) - datetime.fromisoformat(before) > timedelta(days=59)


def test_a_restore_that_keeps_its_parts_leaves_none_when_it_has_ended(offline: Atp, here: Path) -> None:
    offline.document("backup", "run", "letters")
    words = ("restore", "letters", "--to", "r", "--identity", "KEY.txt", "--yes", "--parts", "parts")
    offline.document(*words)
    assert portrait(here / "r") == portrait(here / "letters")
    assert not (here / "parts").exists()


def test_what_is_held_is_released_and_what_is_kept_is_not_pruned(offline: Atp) -> None:
    backup = offline.document("backup", "run", "catalogue")["backup"]
    offline.document("backup", "hold", backup, "--reason", "dispute about inv-7")
    assert offline.document("backup", "list", "catalogue")["backups"][0]["held"]
    offline.document("backup", "release", backup)
    (one,) = offline.document("backup", "prune", "catalogue", "--dry-run")["backups"]
    assert (one["decision"]["do"], one["decision"]["why"]) == ("keep", "it is the last good one")
    assert offline.document("backup", "prune", "catalogue")["backups"] == [one]


def test_no_secret_is_told_printed_or_stored(alone: Atp, here: Path) -> None:
    private = declare(alone, here)
    offline = Atp({**alone.env, "ATP_URL": "http://127.0.0.1:9"})
    try:
        said = [offline("backup", "run", "letters"), offline("backup", "verify", "letters", "--identity", "KEY.txt")]
        said += [offline("restore", "letters", "--to", "r", "--identity", "KEY.txt", "--yes")]
        said += [offline("restore", "letters", "--to", "r", "--identity", "estate.yaml", "--yes")]
        assert [ran.code for ran in said] == [0, 0, 0, 2]
        kept = [path.read_bytes() for path in (here.parent / "state").rglob("*") if path.is_file()]
        kept += [path.read_bytes() for path in (here / "cellar").rglob("*") if path.is_file()]
        assert kept and not any(private.encode() in text for text in kept)
        assert not any(private in ran.out + ran.err for ran in said)
    finally:
        release(here)


@pytest.mark.whole
def test_the_review_of_the_estate_counts_what_was_told_to_the_server(atp: Atp, here: Path) -> None:
    declare(atp, here)
    try:
        before = atp("estate", "check", "--json")
        atp.document("backup", "run", "letters")
        atp.document("backup", "verify", "letters")
        restore = ("restore", "letters", "--to", "r", "--identity", "KEY.txt", "--yes")
        plain = atp(*restore, "--dry-run")
        assert plain.code == 0 and "held against" not in plain.err
        follow_for_long(atp, plain.out.split("backup ")[1].split()[0])
        assert "held against" not in atp(*restore, "--dry-run").err, "the first that was told is not forgotten"
        release(here)
        with next(here.glob("cellar/letters/*/manifest.json")).open("ab") as file:
            file.write(b"\n")
        assert atp(*restore).code == 1
        checked = atp("estate", "check", "--json").json
        assert before.code in (0, 1)
        found = {one["check"]: one for one in checked["findings"] if one["subject"] == "dataset letters"}
        assert found["encrypted"]["sentence"].startswith("the newest copies are encrypted")
        assert found["verified"]["colour"] == "green"
    finally:
        release(here)


def follow_for_long(atp: Atp, backup: str) -> None:
    """A follower tells more often of a backup than one page has events."""
    data = backup_followed(backup, repository="cellar", reaches_to=datetime.now(UTC), segment="the newest")
    told = {"actor": {"id": "alice"}, "action": "backup.done", "resource": {"id": "letters"}, "data": data}
    events = [{"id": f"{backup}.{number}", **told} for number in range(PAGE_EVENTS_MAX + 5)]
    body = b"\n".join(map(msgspec.json.encode, events))
    assert atp("ingest", "-", "--tenant", "operations", stdin=body).code == 0


@pytest.mark.whole
def test_a_bucket_with_object_lock_keeps_what_it_was_given(alone: Atp, here: Path, s3: Endpoint) -> None:
    bucket, client = f"b{uuid4().hex}", s3_client(s3)
    client.create_bucket(Bucket=bucket, ObjectLockEnabledForBucket=True)
    (here / "vault.key").write_text(f"{s3.access_key}:{s3.secret_key}\n")
    more = (
        f"  vault: {{kind: s3, place: 's3://{bucket}/production', endpoint: '{s3.url}', lock: compliance, "
        f"credentials: {{file: {here}/vault.key}}}}\n"
    )
    declare(alone, here, first="vault", more=more)
    offline = Atp({**alone.env, "ATP_URL": "http://127.0.0.1:9"})
    try:
        made = offline.document("backup", "run", "letters")
        assert made["lock"] == "compliance"
        assert offline.document("backup", "verify", "letters", "--identity", "KEY.txt")["ok"]
        for row in client.list_objects_v2(Bucket=bucket, Prefix="production/letters/")["Contents"]:
            client.delete_object(Bucket=bucket, Key=row["Key"])  # all that a stolen key can do
        (one,) = offline.document("backup", "list", "letters")["backups"]
        assert one["good"] and len(one["hidden"]) == 3
        offline.document("restore", "letters", "--to", "r", "--identity", "KEY.txt", "--yes")
        assert portrait(here / "r") == portrait(here / "letters")
        (here / "vault.key").write_text(f"{s3.access_key}:{'x' * 32}\n")
        ran = offline("backup", "list", "letters")
        assert ran.code == 5 and "x" * 32 not in ran.err and s3.secret_key not in ran.err
    finally:
        release(here)


@pytest.mark.slow
def test_an_interrupted_backup_says_so_and_leaves_nothing(offline: Atp, here: Path) -> None:
    with (here / "letters/large").open("wb") as file:
        for _ in range(600):
            file.write(os.urandom(1 << 20))
    command = [Path(sys.executable).parent / "atp", "backup", "run", "letters"]
    with subprocess.Popen(command, env={**os.environ, **offline.env}, cwd=here, stderr=subprocess.PIPE) as process:
        while not list((here / "cellar/.aside").glob("*data*")):
            assert process.poll() is None
        process.send_signal(2)
        _, said = process.communicate(timeout=30)
    assert process.returncode == 130, said
    assert offline.document("backup", "list", "letters")["backups"] == []
    assert [path for path in (here / "cellar").rglob("*") if path.is_file()] == []
    told = [msgspec.json.decode(line) for folder in _spools(offline) for line in spooled_lines(folder)]
    assert told[-1]["action"] == "backup.done" and told[-1]["data"]["verdict"] == "error"


def _spools(offline: Atp) -> list[Path]:
    before = os.environ.get("ATP_STATE_DIR")
    os.environ["ATP_STATE_DIR"] = offline.env["ATP_STATE_DIR"]
    try:
        return spool_folders()
    finally:
        if before is None:
            del os.environ["ATP_STATE_DIR"]
        else:
            os.environ["ATP_STATE_DIR"] = before
