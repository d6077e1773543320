"""A restored trail never signs under its old origin again: it goes on under the next one, and says what is lost."""

import shutil
from contextlib import suppress
from pathlib import Path

import pytest

from atp.adapters.memory import FrozenClock
from atp.adapters.system_clock import SystemClock
from atp.app.open import open_stores
from atp.app.pipeline import Stores
from atp.app.succession import succeed
from atp.errors import AtpError, ConflictError, MalformedError, TamperedError, UnavailableError
from atp.log.append import Heads, Request, append
from atp.log.reader import Cache, LogReader, read_checkpoint
from atp.merkle.checkpoints import Checkpoint, open_checkpoint, sign_checkpoint
from atp.merkle.keys import parse_signing_key, parse_vkey
from atp.tenants.restored import read_restored
from atp.verify.remember import Memory
from tests.app.copied import (
    SIZES,
    check,
    checkpoint,
    copy,
    has_keys,
    lived,
    public,
    restore,
    sizes,
    succeeded,
)
from tests.app.opened import ROOT, record, running
from tests.faults.layer import WRITES, Fault, faulty
from tests.world import prepared, raw_event, raw_events


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory that lived, its copy beside it, and what it recorded after that was made."""
    folder = tmp_path_factory.mktemp("trail")
    lived(folder / "data")
    copy(folder / "data", folder / "copy")
    with running(folder / "data") as platform:
        record(platform, range(SIZES["acme"], SIZES["acme"] + 40), tenant="acme")
        record(platform, range(3), tenant="initech")
    return folder


@pytest.fixture
def copied(original: Path, tmp_path: Path) -> Path:
    """A copy of its own."""
    return Path(shutil.copytree(original / "copy", tmp_path / "restored"))


@pytest.fixture
def memory(original: Path, tmp_path: Path) -> Memory:
    """Somebody who verified the original when it was last seen."""
    seen = Memory(tmp_path / "state")
    assert check(original / "data", memory=seen).is_whole
    return seen


def test_a_copy_verifies_and_holds_no_keys_and_says_that_it_is_one(copied: Path) -> None:
    assert check(copied).is_whole
    assert not has_keys(copied) and not (copied / "views").exists() and not (copied / "ids").exists()
    marked = read_restored(copied)
    assert marked is not None and marked.generation == 2 and marked.logs["acme"].size == SIZES["acme"]


def test_every_log_goes_on_under_the_next_origin_with_all_that_was_recovered(
    original: Path, copied: Path, memory: Memory
) -> None:
    recovered = restore(copied, memory=memory)
    assert recovered.generation == 2 and not has_keys(copied)
    assert {log.tenant: log.lost_stop for log in recovered.logs if log.lost_stop} == {
        "acme": 551,
        "initech": 3,
    }
    before = {tenant: public(copied, tenant) for tenant in ("acme", "globex")}
    with running(copied) as platform:
        assert {log.tenant: log.origin for log in platform.logs(by=ROOT)}["acme"] == "example.org/acme/2"
        assert sizes(platform) == {tenant: size + 1 for tenant, size in SIZES.items()}
        ((index, said),) = succeeded(platform, "acme").items()
        assert index == SIZES["acme"] and said["lost"] == {"first": 511, "stop": 551}
        assert said["former"]["origin"] == "example.org/acme"
        assert said["former"]["checkpoint"] == before["acme"].decode()
        assert [read_checkpoint(note.encode()).size for note in said["known"]] == [551]
        assert (said["restored_at"], said["reason"]) == ("2026-03-01T00:00:00.000000Z", "a lost disk")
        assert succeeded(platform, "globex")[10]["lost"] == {"first": 10, "stop": None}
        assert "cannot be ruled out" in succeeded(platform, "globex")[10]["remark"]
        note = checkpoint(platform, "acme")
    keys = [parse_vkey(line) for line in (copied / "logs/acme/vkey").read_text().splitlines()]
    assert [key.name for key in keys] == ["example.org/acme/2"], "the old key is not shown as one that signs"
    assert open_checkpoint(note, origin="example.org/acme/2", log_keys=keys).checkpoint.size == 512
    assert not (copied / "RESTORED").exists() and (copied / "RESTORED.2").exists()
    assert check(copied).is_whole


def test_clients_send_again_by_id_and_only_what_was_lost_is_new(original: Path, copied: Path) -> None:
    restore(copied)
    with running(copied) as platform:
        events = prepared(*(raw_event(number) for number in range(500, 551)))
        outcome = platform.record(events, by=ROOT, tenant="acme").result(20)
        assert (outcome.duplicates, outcome.accepted) == (11, 40)
        assert [receipt.index for receipt in outcome.receipts] == [*range(500, 511), *range(512, 552)]
        platform.pipeline.when_published("acme", 551).result(20)
    assert check(copied).is_whole


def test_the_old_origin_is_never_signed_again_even_if_its_key_is_there(original: Path, copied: Path) -> None:
    shutil.copytree(original / "data" / "keys", copied / "keys")
    restore(copied)
    with running(copied) as platform:
        record(platform, range(1_000, 1_300), tenant="acme")
        assert read_checkpoint(checkpoint(platform, "acme")).origin == "example.org/acme/2"
        (secret,) = platform.stores.keys.log_keys("acme")
        assert parse_signing_key(secret).name == "example.org/acme/2"
    assert check(copied).is_whole


def test_a_tenant_that_is_created_after_a_restore_never_gets_an_origin_that_may_have_been_used(copied: Path) -> None:
    restore(copied)
    with running(copied) as platform:
        assert platform.create_tenant("later", by=ROOT).origin == "example.org/later/2"
    with running(copied) as platform:
        assert platform.create_tenant("latest", by=ROOT).origin == "example.org/latest/2"


def test_a_second_restore_goes_on_as_the_third_generation_and_older_checkpoints_still_count(
    original: Path, copied: Path, tmp_path: Path
) -> None:
    restore(copied)
    with running(copied) as platform:
        record(platform, range(2_000, 2_100), tenant="acme")
    second = copy(copied, tmp_path / "second")
    with running(copied) as platform:
        record(platform, range(3_000, 3_010), tenant="acme")
    restore(second, known=[public(copied, "acme")])
    with running(second) as platform:
        record(platform, range(4_000, 4_010), tenant="acme")
        assert list(succeeded(platform, "acme")) == [511, 612]
        assert succeeded(platform, "acme")[612]["lost"] == {"first": 612, "stop": 622}
        assert read_checkpoint(checkpoint(platform, "acme")).origin == "example.org/acme/3"
    assert check(second).is_whole
    first = check(second, tenant="acme", against=public(original / "copy", "acme"))
    assert first.is_whole and "under its former origin example.org/acme" in first.as_text()
    assert check(second, tenant="acme", against=public(tmp_path / "restored", "acme")).as_text().count("lost, declared")
    assert (
        "lost, declared: entry 511" in check(second, tenant="acme", against=public(original / "data", "acme")).as_text()
    )


def test_a_generation_that_is_known_elsewhere_is_not_used_twice(original: Path, copied: Path, tmp_path: Path) -> None:
    again, memory = Path(shutil.copytree(copied, tmp_path / "again")), Memory(tmp_path / "somebody")
    restore(copied)
    with running(copied) as platform:
        record(platform, range(9_000, 9_100), tenant="acme")
    assert check(copied, memory=memory).is_whole
    assert restore(again, memory=memory).generation == 3
    with running(again) as platform:
        assert succeeded(platform, "acme")[511]["superseded"] == ["example.org/acme/2"]
    report = check(again, tenant="acme", against=public(copied, "acme"))
    assert not report.is_tampered and not report.is_whole
    assert "example.org/acme/2, which was given up" in report.as_text()


def test_a_checkpoint_of_the_old_origin_is_compared_by_content(original: Path, copied: Path) -> None:
    restore(copied)
    serve(copied)
    report = check(copied, tenant="acme", against=public(original / "copy", "acme"))
    assert (
        report.is_whole
        and "the log begins with the checkpoint given with --against, of 511 entries" in report.as_text()
    )
    report = check(copied, tenant="acme", against=public(original / "data", "acme"))
    assert not report.is_tampered and not report.is_whole
    assert report.as_json()["logs"][0]["losses"][0]["first_index"] == 511
    assert "entries 511 to 550: lost, declared: entry 511 says so, after the restore of 2026-03-01" in report.as_text()
    assert report.as_text().endswith("LOST, DECLARED: entries that were signed are gone")


def test_a_checkpoint_that_the_old_key_signed_over_other_entries_is_a_fork(original: Path, copied: Path) -> None:
    restore(copied)
    serve(copied)
    key = parse_signing_key((original / "data/keys/log/acme.key").read_text().strip())
    forked = sign_checkpoint(Checkpoint("example.org/acme", 300, bytes(32)), key)
    report = check(copied, tenant="acme", against=forked)
    assert report.is_tampered and "the log was forked" in report.as_text()
    stranger = sign_checkpoint(Checkpoint("example.org/other", 300, bytes(32)), key)
    assert check(copied, tenant="acme", against=stranger).is_tampered


def test_whoever_remembers_the_old_origin_is_told_once_and_remembers_the_new_one_then(
    copied: Path, memory: Memory
) -> None:
    restore(copied, memory=memory)
    before = memory.remembered("example.org/acme")
    copy_of = check(copied, memory=memory)
    assert not copy_of.is_tampered and not copy_of.is_whole and "RESTORED: entries 511 to 550" in copy_of.as_text()
    serve(copied)
    told = check(copied, memory=memory)
    assert not told.is_tampered and not told.is_whole and "the remembered checkpoint covers 551" in told.as_text()
    assert memory.remembered("example.org/acme") == before
    assert memory.remembered("example.org/acme/2") == public(copied, "acme")
    assert check(copied, memory=memory).is_whole


def test_a_copy_that_contradicts_what_is_known_is_refused(original: Path, copied: Path) -> None:
    key = parse_signing_key((original / "data/keys/log/acme.key").read_text().strip())
    forked = sign_checkpoint(Checkpoint("example.org/acme", 300, bytes(32)), key)
    with pytest.raises(TamperedError, match="the log was forked"):
        restore(copied, known=[forked])
    unsigned = sign_checkpoint(Checkpoint("example.org/acme", 600, bytes(32)), key).replace(b"600", b"900")
    with pytest.raises(TamperedError, match="no key of its log has signed it"):
        restore(copied, known=[unsigned])
    with pytest.raises(AtpError, match="no such log"):
        restore(copied, known=[sign_checkpoint(Checkpoint("example.org/nobody", 300, bytes(32)), key)])


def test_a_copy_that_was_put_back_without_this_program_goes_on_as_well(copied: Path) -> None:
    with running(copied) as platform:
        assert read_checkpoint(checkpoint(platform, "acme")).origin == "example.org/acme/2"
        assert succeeded(platform, "acme")[511]["restored_at"] == ""
    assert check(copied).is_whole


def test_a_marker_that_cannot_be_read_keeps_the_directory_shut(copied: Path) -> None:
    marker = copied / "RESTORED"
    whole = marker.read_bytes()
    for text in (b"", b"{}", whole.replace(b'"generation": 2', b'"generation": 1'), whole[:-20], b"[" * 10_000):
        marker.write_bytes(text)
        with pytest.raises(MalformedError, match="RESTORED"), running(copied):
            pass
    marker.write_bytes(whole)
    serve(copied)


def test_a_snapshot_of_a_machine_goes_on_when_somebody_says_what_it_is(original: Path, tmp_path: Path) -> None:
    data = Path(shutil.copytree(original / "data", tmp_path / "snapshot"))
    (data / "RESTORED").write_text('{"format": "atp.restored/1", "generation": 2}')
    with running(data) as platform:
        assert list(succeeded(platform, "acme")) == [551]
        record(platform, range(20_000, 20_010), tenant="acme")
    assert check(data, against=public(original / "data", "acme")).is_whole
    for text in ('{"format": "atp.restored/1", "generation": 2}', (data / "RESTORED.2").read_text()):
        (data / "RESTORED").write_text(text)
        with pytest.raises(MalformedError, match="gone on as generation 2 before"):
            serve(data)
    (data / "RESTORED.2").unlink()
    (data / "RESTORED").write_text('{"format": "atp.restored/1", "generation": 2}')
    with pytest.raises(MalformedError, match="already"):
        serve(data)
    (data / "RESTORED").write_text('{"format": "atp.restored/1", "generation": 3}')
    serve(data)
    assert check(data).is_whole


def test_a_log_that_cannot_go_on_is_stopped_and_the_directory_stays_a_copy(copied: Path) -> None:
    restore(copied)
    tile = copied / "logs/acme/tile/0/000"
    whole = tile.read_bytes()
    tile.write_bytes(bytes(len(whole)))
    for _ in range(2):
        with running(copied) as platform:
            assert "could not go on as example.org/acme/2" in platform.pipeline.stopped["acme"]
            with pytest.raises(UnavailableError):
                platform.record(prepared(raw_event(1)), by=ROOT, tenant="acme")
            assert read_checkpoint(checkpoint(platform, "globex")).origin == "example.org/globex/2"
            record(platform, range(30_000, 30_005), tenant="globex")
            with suppress(ConflictError):
                assert platform.create_tenant("meanwhile", by=ROOT).origin == "example.org/meanwhile/2"
        assert (copied / "RESTORED").exists()
    tile.write_bytes(whole)
    with running(copied) as platform:
        assert not platform.pipeline.stopped
        assert read_checkpoint(checkpoint(platform, "acme")).origin == "example.org/acme/2"
    assert check(copied).is_whole and not (copied / "RESTORED").exists()


@pytest.fixture
def unpublished(original: Path, tmp_path: Path) -> Path:
    """A directory whose order holds 20 entries of globex that no checkpoint covers, as after a crash."""
    data = Path(shutil.copytree(original / "data", tmp_path / "unpublished"))
    stores = open_stores(data)

    def reader_of(tenant: str) -> LogReader:
        return LogReader(tenant, event_store=stores.events, object_store=stores.objects, cache=Cache())

    request = Request("globex", "alice", prepared(*raw_events(range(7_000, 7_020))))
    append([request], event_store=stores.events, reader_of=reader_of, clock=SystemClock(), heads=Heads())
    stores.events.close()
    return data


def test_entries_that_were_durable_and_not_yet_published_are_recovered_too(unpublished: Path, tmp_path: Path) -> None:
    copied = copy(unpublished, tmp_path / "copied")
    serve(unpublished)
    assert read_checkpoint(public(unpublished, "globex")).size == 30
    recovered = restore(copied, known=[public(unpublished, "globex")])
    assert {log.tenant: (log.size, log.lost_stop) for log in recovered.logs}["globex"] == (30, None)
    with running(copied) as platform:
        assert succeeded(platform, "globex")[30]["former"]["size"] == 30
        assert read_checkpoint(succeeded(platform, "globex")[30]["former"]["checkpoint"].encode()).size == 10
    assert check(copied, tenant="globex", against=public(unpublished, "globex")).is_whole


def test_what_was_signed_elsewhere_over_other_entries_than_the_unpublished_ones_stops_the_log(
    original: Path, unpublished: Path, tmp_path: Path
) -> None:
    copied = copy(unpublished, tmp_path / "copied")
    key = parse_signing_key((original / "data/keys/log/globex.key").read_text().strip())
    restore(copied, known=[sign_checkpoint(Checkpoint("example.org/globex", 25, bytes(32)), key)])
    with running(copied) as platform:
        assert "its first 25 entries are not those that it signed elsewhere" in platform.pipeline.stopped["globex"]
        assert read_checkpoint(checkpoint(platform, "globex")).origin == "example.org/globex"


@pytest.mark.parametrize(
    "write", [write for write in WRITES if write in ("append", "swap", "put", "replace", "log_keys")]
)
@pytest.mark.parametrize("is_kept", [False, True])
def test_a_write_that_fails_anywhere_leaves_a_copy_that_verifies_and_can_be_tried_again(
    write: str, is_kept: bool, copied: Path, tmp_path: Path
) -> None:
    restore(copied)
    fired, nth = True, 0
    while fired:
        nth += 1
        data = Path(shutil.copytree(copied, tmp_path / f"{nth}"))
        fault = Fault(write, nth, is_kept, is_for_ever=False)
        attempt(data, fault)
        fired = bool(fault.fired)
        assert check(data).is_whole, f"{write} {nth}"
        with running(data) as platform:
            assert len(succeeded(platform, "acme")) == 1 and len(succeeded(platform, "operations")) == 1
            assert sizes(platform) == {tenant: size + 1 for tenant, size in SIZES.items()}
        assert check(data).is_whole and not (data / "RESTORED").exists()
        shutil.rmtree(data)
    assert nth > 1, "nothing was written"


def serve(data: Path) -> None:
    """Start and stop."""
    with running(data):
        pass


def attempt(data: Path, fault: Fault) -> None:
    """Let the logs go on, with a fault."""
    stores = learned(data)
    marked = read_restored(data)
    assert marked is not None
    try:
        succeed(faulty(stores, fault), marked, stopped={}, installation="example.org", clock=FrozenClock())
    except UnavailableError:
        assert fault.fired
    finally:
        stores.events.close()


def learned(data: Path) -> Stores:
    """The keepers of a copy; the ids of its logs stand in their order alone."""
    stores = open_stores(data)
    assert not stores.events.is_missing_ids()
    return stores
