"""A trail goes into a repository and comes back, without a key, held against all that is known of its logs."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from atp.adapters.system_clock import SystemClock
from atp.app.vaults import open_repository
from atp.merkle.checkpoints import Checkpoint, sign_checkpoint
from atp.merkle.keys import parse_signing_key
from atp.ops.backups.act.kinds.shipping import Shipping
from atp.ops.backups.act.kinds.trail.following import TrailFollowing
from atp.ops.backups.declare import declared_backup
from atp.ops.backups.format.seal import draw_identity
from atp.ops.estate.declare.parse import parse_estate
from atp.tenants.restored import read_restored
from tests.app.copied import SIZES, check, has_keys, public, succeeded
from tests.app.opened import record, running
from tests.cli.running import Atp, Ran


def restore(atp: Atp, *words: object, to: str = "back", identity: str = "KEY.txt") -> Ran:
    return atp("restore", "house-trail", "--to", to, "--identity", identity, "--yes", *words)


def test_a_trail_is_backed_up_read_back_and_restored_without_a_key(atp: Atp, here: Path) -> None:
    made = atp.document("backup", "run", "house-trail")
    assert atp("backup", "verify", "house-trail", "--identity", "KEY.txt").code == 0
    ran = restore(atp, "--reason", "a lost disk", "--json")
    assert ran.code == 0, ran
    told = ran.json["restored"]["told"]
    assert any("acme: 511 entries; no newer checkpoint is known" in line for line in told), told
    assert "generation 2" in told[-1]
    back = here / "back"
    assert check(back).is_whole and not has_keys(back)
    said = read_restored(back)
    assert said is not None and (said.reason, said.generation) == ("a lost disk", 2)
    assert said.backup == made["backup"] and said.by and said.restored_at
    assert not any(path.name.startswith("atp-backup") for path in here.iterdir())
    with running(back) as platform:
        assert set(succeeded(platform, "acme")) == {SIZES["acme"]}
    assert check(back).is_whole


def test_what_this_machine_verified_and_what_is_given_count_as_known(atp: Atp, here: Path) -> None:
    atp.document("backup", "run", "house-trail")
    with running(here / "data") as platform:
        record(platform, range(511, 551), tenant="acme")
    assert atp("verify", here / "data").code == 0
    with running(here / "data") as platform:
        record(platform, range(551, 561), tenant="acme")
        record(platform, range(3), tenant="initech")
    (here / "newer").write_bytes(public(here / "data", "acme"))
    (here / "first").write_bytes(public(here / "data", "initech"))
    assert "acme: 511 entries; entries 511 to 550 are lost" in restore(atp).out
    given = restore(atp, "--known", "newer", "--known", "first", to="again")
    assert "acme: 511 entries; entries 511 to 560 are lost" in given.out
    assert "initech: 0 entries; entries 0 to 2 are lost" in given.out
    with running(here / "again") as platform:
        assert succeeded(platform, "acme")[511]["lost"] == {"first": 511, "stop": 561}


def test_a_plan_says_that_it_is_verified_and_touches_nothing(atp: Atp, here: Path) -> None:
    atp.document("backup", "run", "house-trail")
    ran = atp("restore", "house-trail", "--to", "back", "--identity", "KEY.txt", "--dry-run")
    assert ran.code == 0 and "verify every log" in ran.out and not (here / "back").exists()


def test_checkpoints_that_cannot_be_used_are_refused_by_name(atp: Atp, here: Path) -> None:
    atp.document("backup", "run", "house-trail")
    atp.document("backup", "run", "house-letters")
    note = public(here / "data", "acme")
    (here / "note").write_bytes(note)
    (here / "stranger").write_bytes(note.replace(b"example.org/acme", b"example.org/nobody"))
    (here / "changed").write_bytes(note.replace(b"\n511\n", b"\n911\n"))
    (here / "text").write_text("dear all\n")
    (here / "long").write_bytes(note + note.split(b"\n\n")[1] * 80)
    words = ("restore", "house-letters", "--to", "papers", "--identity", "KEY.txt", "--yes", "--known", "note")
    files = atp(*words)
    assert files.code == 2 and "is of kind files, and has no log" in files.err
    for name, code, sentence in (
        ("stranger", 2, "there is no such log here"),
        ("changed", 1, "no key of its log has signed it"),
        ("text", 2, "could not"),
        ("long", 2, "the limit is 8,192"),
        ("nothing", 3, "it does not exist"),
    ):
        ran = restore(atp, "--known", name)
        assert (ran.code, sentence in ran.err) == (code, True), ran
        assert not (here / "back").exists() and not (here / ".back.restoring").exists()
    assert "1,001 characters" in restore(atp, "--reason", "x" * 1_001).err


def part(here: Path) -> Path:
    """The stored data of the one backup."""
    (found,) = here.glob("vault/house-trail/*/data.00000")
    return found


def flip(path: Path, at: int) -> None:
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.write_bytes(data)


def test_a_copy_that_was_damaged_in_its_repository_is_refused(atp: Atp, here: Path) -> None:
    atp.document("backup", "run", "house-trail")
    whole = part(here).read_bytes()
    flip(part(here), len(whole) // 2)
    ran = restore(atp)
    assert ran.code == 1 and "data.00000" in ran.err, ran
    assert atp("backup", "verify", "house-trail").code == 1
    part(here).write_bytes(whole[:-100])
    assert restore(atp).code == 3, "no good one is left"
    ran = restore(atp, "--backup", part(here).parent.name)
    assert ran.code == 1 and "data.00000" in ran.err, ran
    part(here).write_bytes(whole)
    (here / "OTHER.txt").write_text(draw_identity()[0])
    ran = restore(atp, identity="OTHER.txt")
    assert ran.code == 2 and "Traceback" not in ran.err, ran
    assert not (here / "back").exists()
    assert restore(atp).code == 0


@pytest.mark.parametrize(
    ("name", "code", "sentence"),
    [
        ("gone", 3, "there is no such directory"),
        ("bare", 3, "it has no FORMAT"),
        ("newer", 2, "its format is '3'"),
        ("older", 2, "brings it forward"),
        ("odd", 2, "its format is 'x'"),
        ("damaged", 1, "its copy does not verify"),
        ("holed", 1, "it is missing"),
    ],
)
def test_a_source_that_cannot_be_copied_says_why_and_leaves_nothing(
    name: str, code: int, sentence: str, atp: Atp, here: Path
) -> None:
    data, bundle = here / "data", here / "data/logs/acme/tile/entries/000.zst"
    if name == "gone":
        data.rename(here / "elsewhere")
    elif name == "bare":
        (data / "FORMAT").unlink()
    elif name == "damaged":
        flip(bundle, 500)
    elif name == "holed":
        bundle.unlink()
    else:
        (data / "FORMAT").write_text({"newer": "3\n", "older": "1\n", "odd": "x\n"}[name])
    ran = atp("backup", "run", "house-trail")
    assert (ran.code, sentence in ran.err) == (code, True), ran
    assert ran.err.count("could not") >= 1 and "Traceback" not in ran.err
    assert not list(here.glob("vault/house-trail/*/*"))


def test_a_drill_of_a_trail_verifies_what_came_back(atp: Atp, here: Path) -> None:
    atp.document("backup", "run", "house-trail")
    done = atp("drill", "run", "house-trail", "--identity", "KEY.txt", "--json").json["drill"]
    verdicts = {one["name"]: one["verdict"] for one in done["objectives"]}
    assert (verdicts["content"], verdicts["rto"], verdicts["source"]) == ("pass", "pass", "pass"), done
    assert verdicts["rpo"] == "insufficient", "there is no heartbeat, so nobody knows"
    told = {one["name"]: one["told"] for one in done["answers"]}
    assert "acme 511" in told["opens"] and "every byte" in told["as backed up"]
    assert "structure and payload hold" in told["verify"]
    assert not list((here / "scratch").iterdir()), "nothing is left"
    flip(part(here), 5_000)
    done = atp("drill", "run", "house-trail", "--identity", "KEY.txt", "--json").json["drill"]
    assert (done["verdict"], done["cause"]) == ("fail", "corrupted")


def test_a_trail_that_was_flooded_comes_back_as_it_was_shipped_before(atp: Atp, here: Path) -> None:
    atp.document("backup", "run", "house-trail")
    grow(here, range(511, 600))
    damaged_at = datetime.now(UTC)
    grow(here, range(600, 700))
    words = ("drill", "run", "house-trail", "--identity", "KEY.txt", "--json", "--scenario")
    flooded = atp(*words, "deletion").json["drill"]
    done = atp(*words, "corruption", "--at", damaged_at.isoformat()).json["drill"]
    opened = [next(one["told"] for one in drill["answers"] if one["name"] == "opens") for drill in (flooded, done)]
    assert "acme 700" in opened[0] and "acme 600" in opened[1], opened
    assert done["objectives"][0]["verdict"] == "pass" and datetime.fromisoformat(done["point_at"]) <= damaged_at


def grow(here: Path, numbers: range) -> None:
    """More entries, and a follower that ships them."""
    with running(here / "data") as platform:
        record(platform, numbers, tenant="acme")
    estate = parse_estate((here / "estate.yaml").read_bytes(), file="estate.yaml")
    shipping = Shipping(
        dataset="house-trail",
        repositories={"vault": open_repository("vault", estate.repositories["vault"])},
        recipients=declared_backup(estate, "house-trail").recipients,
        retention=None,
        room=here / "room",
        clock=SystemClock(),
        within=timedelta(seconds=1),
        record=lambda names: None,
        shipped=lambda words, covers: None,
        trouble=lambda told: None,
    )
    TrailFollowing(here / "data", shipping).run(is_over=lambda: True)


def test_a_drill_fails_when_the_copy_contradicts_what_this_machine_verified(atp: Atp, here: Path) -> None:
    atp.document("backup", "run", "house-trail")
    assert atp("verify", here / "data").code == 0
    for path in (here / "state/checkpoints").iterdir():
        if path.read_bytes().startswith(b"example.org/acme\n"):
            path.write_bytes(forked(here))
    done = atp("drill", "run", "house-trail", "--identity", "KEY.txt", "--json").json["drill"]
    assert (done["verdict"], done["cause"]) == ("fail", "corrupted") and "forked" in json.dumps(done), done


def forked(here: Path) -> bytes:
    """What the key of the log signed over other entries."""
    key = parse_signing_key((here / "data/keys/log/acme.key").read_text().strip())
    return sign_checkpoint(Checkpoint("example.org/acme", 300, bytes(32)), key)


def test_what_ships_no_changes_cannot_claim_to(atp: Atp, here: Path) -> None:
    text = (here / "estate.yaml").read_text()
    head, letters = text.split("house-letters:")
    claimed = letters.replace("schedule: 30min", "schedule: 12h, continuous: true", 1)
    (here / "estate.yaml").write_text(f"{head}house-letters:{claimed}")
    ran = atp("backup", "run", "house-letters")
    assert ran.code == 2 and "kind files ships no changes" in ran.err, ran
    (here / "estate.yaml").write_text(text)
    ran = atp("backup", "follow", "house-trail")
    assert ran.code == 2 and "not declared to be shipped continuously" in ran.err, ran
