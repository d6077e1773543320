"""Ways in which a recovery of PostgreSQL looks like one and is none: each is red, in words of its own."""

import io
import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import chdir
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path

import pytest

from atp.ops.backups.format.seal import parse_identities, parse_recipients, seal, unsealed
from tests.cli.running import Atp
from tests.contracts.machine import small_disk
from tests.contracts.vaults import release
from tests.ops.postgresql.bank import Cluster, alone, banking, command_of, covered, following, program, shipped

pytestmark = [pytest.mark.whole, pytest.mark.slow]


@pytest.fixture(scope="module")
def lives(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Cluster, Path]]:
    """A bank, and the folder of its life: a backup, and five segments after it, with a heartbeat and a row in each."""
    here = tmp_path_factory.mktemp("life")
    with banking() as bank, chdir(here):
        live(program(here, bank), bank, here)
        yield bank, here


@pytest.fixture
def lived(lives: tuple[Cluster, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of that life, whose locks are off."""
    _, life = lives
    here = tmp_path / "here"
    shutil.copytree(life, here)
    estate = here / "estate.yaml"
    estate.write_text(estate.read_text().replace(str(life), str(here)))
    monkeypatch.chdir(here)
    return here


@pytest.fixture
def atp(lives: tuple[Cluster, Path], lived: Path) -> Atp:
    """The program in it."""
    return alone(lived, lives[0])


def live(atp: Atp, bank: Cluster, here: Path) -> None:
    bank.ask("CREATE SEQUENCE counter")
    with following(atp, here, within="1s"):
        atp.document("backup", "run", "ledger")
        for number in range(1, 6):
            atp.document("drill", "heartbeat", "ledger")
            sql = f"INSERT INTO booking (id) VALUES ({number}) RETURNING pg_walfile_name(pg_current_wal_insert_lsn())"
            ((segment,),) = bank.ask(sql)
            until = time.monotonic() + 30
            while not any(path.name >= str(segment) for path in shipped(here)):
                assert time.monotonic() < until, (here / "follow.log").read_text()
                time.sleep(0.1)
    release(here / "vault")


def drilled(atp: Atp) -> tuple[str, str]:
    """The verdict of a drill, and why."""
    ran = atp("drill", "run", "ledger", "--identity", "KEY.txt", "--json")
    done = ran.json["drill"]
    assert ran.code == (0 if done["verdict"] == "pass" else 1)
    assert not list(Path("scratch").iterdir()), "nothing is left"
    return done["verdict"], done.get("reason") or "; ".join(one["told"] for one in done["objectives"])


def restored(atp: Atp, *words: str) -> tuple[int, str]:
    ran = atp("restore", "ledger", "--to", "back", "--identity", "KEY.txt", "--yes", *words)
    assert "Traceback" not in ran.err
    assert ran.code == 0 or not Path("back").exists(), "what failed left nothing"
    return ran.code, ran.err


def test_a_target_that_the_log_does_not_reach_is_refused_before_anything_is_fetched(atp: Atp, lived: Path) -> None:
    code, said = restored(atp, "--at", (datetime.now(UTC) + timedelta(hours=1)).isoformat())
    assert code == 3 and "the write-ahead log reaches to" in said
    assert not list(lived.glob(".back*"))


def test_a_moment_after_the_last_commit_that_the_log_covers_is_the_end(atp: Atp, lived: Path) -> None:
    """The server itself dies with an error here, after it said that it was ready."""
    code, said = restored(atp, "--at", covered(shipped(lived)[-1]).isoformat())
    assert code == 0, said


def test_a_hole_in_the_log_is_red_and_says_how_far_it_reaches(atp: Atp, lived: Path) -> None:
    hole = shipped(lived)[-3]
    hole.unlink()
    verdict, why = drilled(atp)
    assert verdict == "fail" and f"{hole.name[:24]} is missing" in why
    assert atp("backup", "verify", "ledger").code == 1
    code, said = restored(atp)
    assert code == 1 and "--at" in said
    reaches = said.rpartition("--at ")[2].split(")")[0].strip()
    assert restored(atp, "--at", reaches)[0] == 0, "up to the hole it can be restored"


def test_a_log_whose_end_is_gone_is_found_by_the_ledger(atp: Atp, lived: Path) -> None:
    """Nothing in the repository tells that something followed: only what was acknowledged does."""
    for path in shipped(lived)[-3:]:
        path.unlink()
    for path in (lived / "vault/ledger/wal").glob("*/*_partial"):
        path.unlink()
    time.sleep(10)
    verdict, why = drilled(atp)
    assert verdict == "fail" and "acknowledged writes after it are lost" in why, why


@pytest.mark.parametrize("key", [(), ("--identity", "KEY.txt")])
def test_a_flipped_byte_in_the_log_is_red(atp: Atp, lived: Path, key: tuple[str, ...]) -> None:
    flip(shipped(lived)[-2])
    assert atp("backup", "verify", "ledger", *key).code == 1, "with and without the key"
    verdict, why = drilled(atp)
    assert verdict == "fail" and "not those that were stored" in why


@pytest.mark.parametrize("number", [-1, -3])
def test_a_segment_that_was_sealed_damaged_is_red_and_says_how_far_it_reaches(
    atp: Atp, lived: Path, number: int
) -> None:
    """Its name and its digest are right, and a server ends its recovery in the middle of it, content."""
    reseal(shipped(lived)[number], flip_middle)
    for path in (lived / "vault/ledger/wal").glob("*/*_partial"):
        path.unlink()
    code, said = restored(atp)
    assert code == 1 and f"{shipped(lived)[number].name[:24]} is damaged" in said, said
    reaches = said.rpartition("--at ")[2].split(")")[0].strip()
    assert restored(atp, "--at", reaches)[0] == 0, "up to there it can be restored"
    shutil.rmtree("back")
    assert restored(atp, "--at", covered(shipped(lived)[-1]).isoformat())[0] == 1, "a moment behind it cannot"


def test_a_segment_of_which_the_rest_was_never_written_is_damaged(atp: Atp, lived: Path) -> None:
    reseal(shipped(lived)[-1], lambda log: log[: len(log.rstrip(b"\0")) // 2].ljust(len(log), b"\0"))
    for path in (lived / "vault/ledger/wal").glob("*/*_partial"):
        path.unlink()
    verdict, why = drilled(atp)
    assert verdict == "fail" and "is damaged" in why, why


def test_a_partial_segment_without_a_byte_is_the_end(atp: Atp, lived: Path) -> None:
    """The receiver died before it had made room for it."""
    last = shipped(lived)[-1]
    following = f"{int(last.name[:24], 16) + 1:024X}"
    for path in (lived / "vault/ledger/wal").glob(f"*/{following}*"):
        path.unlink()
    reseal(last, lambda _: b"", into=last.with_name(f"{following}{last.name[24:]}_partial"))
    assert restored(atp)[0] == 0


@pytest.mark.parametrize(
    ("change", "is_whole"),
    [(lambda log, at: log[:at].ljust(len(log), b"\0"), True), (lambda log, at: flipped(log, at + 20), False)],
    ids=["never-received", "damaged"],
)
def test_the_last_record_of_a_segment_that_is_not_whole_is_the_end_or_damage(
    atp: Atp, lived: Path, change: Callable[[bytes, int], bytes], *, is_whole: bool
) -> None:
    """The server was gone before it sent it; or it was received, and cannot be read."""
    last = shipped(lived)[-1]
    for path in (lived / "vault/ledger/wal").glob("*/*_partial"):
        path.unlink()
    reseal(last, lambda log: change(log, last_record(log)), into=last.with_name(f"{last.name}_partial"))
    last.unlink()
    code, said = restored(atp)
    if is_whole:
        assert code == 0, said
    else:
        assert code == 1 and f"{last.name[:24]} is damaged" in said and "--at" in said, said


def last_record(log: bytes) -> int:
    """Where the last one of a segment begins that was closed early: 24 bytes that say so, on a place divisible by 8."""
    return (len(log.rstrip(b"\0")) + 7) // 8 * 8 - 24


def flipped(log: bytes, at: int) -> bytes:
    return log[:at] + bytes([log[at] ^ 1]) + log[at + 1 :]


def test_a_flipped_byte_in_the_base_backup_is_red(atp: Atp, lived: Path) -> None:
    flip(next((lived / "vault/ledger").glob("2*/data.00000")))
    assert atp("backup", "verify", "ledger").code == 1
    assert drilled(atp)[0] == "fail"
    assert restored(atp)[0] == 1


def test_a_segment_that_is_cut_short_is_red(atp: Atp, lived: Path) -> None:
    path = shipped(lived)[-2]
    os.truncate(path, path.stat().st_size // 2)
    verdict, why = drilled(atp)
    assert verdict == "fail" and "not those that were stored" in why


def test_a_full_disk_is_an_error_at_every_step_says_nothing_of_the_copy_and_leaves_nothing(
    atp: Atp, lives: tuple[Cluster, Path], lived: Path
) -> None:
    living = lives[0].ask("SELECT pg_postmaster_start_time(), count(*) FROM booking")
    estate = Path("estate.yaml")
    estate.write_text(estate.read_text().replace(f"{lived}/scratch", f"{lived}/small/scratch"))
    steps = {20: "could not restore '", 44: "could not recover the cluster: "}
    with small_disk(lived / "small", megabytes=20) as disk:
        for megabytes, said in steps.items():
            disk.grow(megabytes=megabytes)
            full(atp, said)
        disk.grow(megabytes=150)
        sorting = "select count(*) from (select n, md5(n::text) from generate_series(1, 4000000) as n order by 2) as x"
        asked = estate.read_text()
        estate.write_text(asked.replace("select count(*), min(balance) >= 0 from account", sorting))
        done = atp("drill", "run", "ledger", "--identity", "KEY.txt", "--json").json["drill"]
        assert (done["verdict"], done["cause"]) == ("error", "ask") and "No space left" in done["reason"], done
        assert f"make room on {lived}/small (" in done["reason"], done
        estate.write_text(asked)
        done = atp("drill", "run", "ledger", "--identity", "KEY.txt", "--json").json["drill"]
        assert next(one["verdict"] for one in done["objectives"] if one["name"] == "content") == "pass", done
        assert not list(Path("small/scratch").iterdir())
    assert lives[0].ask("SELECT pg_postmaster_start_time(), count(*) FROM booking") == living


def full(atp: Atp, said: str) -> None:
    """A restore and a drill on a disk that is too small."""
    ran = atp("restore", "ledger", "--to", "small/back", "--identity", "KEY.txt", "--yes")
    assert ran.code == 5 and said in ran.err and "No space left" in ran.err, ran
    assert f"make room on {Path('small').absolute()} (" in ran.err and "MiB are free" in ran.err, ran
    assert not [path for path in Path("small").iterdir() if path.name != "scratch"]
    done = atp("drill", "run", "ledger", "--identity", "KEY.txt", "--json").json["drill"]
    assert (done["verdict"], done["cause"]) == ("error", "scratch") and said in done["reason"], done
    assert not list(Path("small/scratch").iterdir())
    assert Path("/proc/self/mountinfo").read_text().count(f"{Path('small').absolute()}") == 1, "nothing else is mounted"
    words = [command_of(int(path.name)) for path in Path("/proc").glob("[0-9]*")]
    assert not any(str(Path("small").absolute()) in one for one in words), "no server is left"


def test_questions_that_never_end_answer_too_much_or_write_are_wrong_answers_in_time(atp: Atp, lived: Path) -> None:
    questions = {
        "select pg_sleep(1000000)": "no answer within 1s",
        "select count(*) from generate_series(1, 1000000000000)": "no answer within 1s",
        "select repeat('x', 20000000)": "its answer has more than 8,388,608 bytes",
        "select setval('counter', 7)": "cannot execute setval() in a read-only transaction",
        "with gone as (delete from account returning 1) select count(*) from gone": "must be at the top level",
        f"copy account to program 'touch {lived}/written'": "syntax error",
        f"select 1) as x; copy account to program 'touch {lived}/written'; select (1": "syntax error",
    }
    estate = Path("estate.yaml")
    declared = [f'        - {{sql: "{sql}", expect: [[1]], within: 1s}}' for sql in questions]
    text = estate.read_text().replace("      checks:", "\n".join(["      checks:", *declared]))
    estate.write_text(text)
    ran = atp("drill", "run", "ledger", "--identity", "KEY.txt", "--json")
    done = ran.json["drill"]
    assert (ran.code, done["verdict"], done["cause"]) == (1, "fail", "wrong-answer")
    answers = [one for one in done["answers"] if not one["passed"]]
    assert len(answers) == len(questions), answers
    assert all(told in one["told"] for one, told in zip(answers, questions.values(), strict=True)), answers
    assert not list(Path("scratch").iterdir()) and not (lived / "written").exists(), "nothing is left"


def test_another_key_and_another_answer_are_red(atp: Atp, lived: Path) -> None:
    atp.document("backup", "key", "-o", "OTHER.txt")
    ran = atp("drill", "run", "ledger", "--identity", "OTHER.txt", "--json")
    assert (ran.code, ran.json["drill"]["cause"]) == (1, "wrong-key")
    text = Path("estate.yaml").read_text()
    Path("estate.yaml").write_text(text.replace("[[100, true]]", "[[101, true]]"))
    verdict, why = drilled(atp)
    assert verdict == "fail" and "[[100,true]] instead of [[101,true]]" in why


def flip(path: Path) -> None:
    with path.open("r+b") as file:
        file.seek(path.stat().st_size // 2)
        byte = file.read(1)[0]
        file.seek(-1, os.SEEK_CUR)
        file.write(bytes([byte ^ 1]))


def reseal(path: Path, change: Callable[[bytes], bytes], *, into: Path | None = None) -> None:
    """Another segment in the place of one, under a name that is right, by somebody who knows the recipients."""
    private = Path("KEY.txt").read_text()
    recipients = parse_recipients([str(one.to_public()) for one in parse_identities(private)])
    with unsealed(iter([path.read_bytes()]), identities=parse_identities(private)) as plain:
        log = b"".join(iter(lambda: plain.read(1 << 20), b""))
    sealed = io.BytesIO()
    seal([change(log)], recipients=recipients, into=sealed)
    if into is None:
        path.unlink()
    words = (into or path).name.split("_")
    words[2] = sha256(sealed.getvalue()).hexdigest()
    path.with_name("_".join(words)).write_bytes(sealed.getvalue())


def flip_middle(log: bytes) -> bytes:
    """In the middle of what was written, and more than the padding between two records."""
    at = len(log.rstrip(b"\0")) // 2
    return log[:at] + bytes(byte ^ 1 for byte in log[at : at + 16]) + log[at + 16 :]
