"""Old and new key both sign a log for an overlap; the log says so, and no crash in between does harm."""

from pathlib import Path

import pytest

from atp.adapters.memory import FrozenClock, MemoryEventStore, MemoryKeyStore, MemoryObjectStore
from atp.adapters.memory_models import MemoryReadModels
from atp.app.acts import retire_key, rotate_key
from atp.app.pipeline import Stores
from atp.app.platform import Platform
from atp.errors import AtpError, ConflictError, ForbiddenError, MissingError
from atp.merkle.checkpoints import open_checkpoint
from atp.merkle.hashes import leaf_hash
from atp.merkle.keys import VerifierKey, parse_vkey
from atp.merkle.notes import parse_note
from atp.merkle.tlogproof import check_tlog_proof
from atp.tenants.access import SCOPES, Caller
from atp.verify.directory import check_data_directory
from atp.verify.options import Options
from tests.app.opened import ROOT, record, running, told
from tests.faults.history import open_platform
from tests.faults.layer import Fault, faulty

ORIGIN = "example.org/default"


def keys_of(platform: Platform, tenant: str = "default") -> list[VerifierKey]:
    """As the public list says."""
    return [parse_vkey(line) for line in platform.stores.objects.get(f"logs/{tenant}/vkey").decode().splitlines()]


def opens(note: bytes, key: VerifierKey) -> bool:
    try:
        return open_checkpoint(note, origin=key.name, log_keys=[key]).checkpoint.origin == key.name
    except AtpError:
        return False


def test_both_keys_sign_until_the_old_one_is_retired_and_old_proofs_stay_valid(tmp_path: Path) -> None:
    with running(tmp_path) as platform:
        record(platform, range(300))
        (old,) = keys_of(platform)
        before = platform.prove("e-7", by=ROOT, tenant="default")
        leaf = leaf_hash(platform.find("e-7", by=ROOT, tenant="default").entry)
        vkeys = rotate_key(platform, "default", by=ROOT)
        new = parse_vkey(vkeys[0])
        assert vkeys == [new.vkey, old.vkey] == platform.vkeys("default", by=ROOT)
        assert keys_of(platform) == [new, old]
        record(platform, range(300, 310))
        both = platform.reader("default", by=ROOT).checkpoint()
        assert opens(both, old) and opens(both, new)
        assert [signature.key_id for signature in parse_note(both).signatures] == [new.key_id, old.key_id]
        assert retire_key(platform, "default", old.key_id.hex(), by=ROOT) == [new.vkey]
        assert keys_of(platform) == [new]
        record(platform, range(310, 320))
        now = platform.reader("default", by=ROOT).checkpoint()
        assert opens(now, new) and not opens(now, old)
        assert check_tlog_proof(before, leaf_hash=leaf, origin=ORIGIN, log_keys=[old]).checkpoint.size >= 300
    assert not check_data_directory(tmp_path, Options()).is_tampered


def test_the_log_says_who_changed_its_keys(tmp_path: Path) -> None:
    alice = Caller("alice", "a" * 12, ("admin",))
    with running(tmp_path) as platform:
        record(platform, range(1))
        (old,) = keys_of(platform)
        rotate_key(platform, "default", by=alice)
        new = keys_of(platform)[0]
        retire_key(platform, "default", old.key_id.hex(), by=alice)
        for action, key in (("atp.key.add", new), ("atp.key.retire", old)):
            data = {"key_id": key.key_id.hex(), "vkey": key.vkey}
            assert told(platform, action, tenant="default") == [
                {"actor": "alice", "resource": key.key_id.hex(), "data": data, "by": "alice"}
            ]
        assert told(platform, "atp.key.add", tenant="operations") == []


def test_the_newest_checkpoint_always_verifies_under_the_public_list(tmp_path: Path) -> None:
    with running(tmp_path) as platform:
        record(platform, range(1))
        (old,) = keys_of(platform)
        rotate_key(platform, "default", by=ROOT)
        retire_key(platform, "default", old.key_id.hex(), by=ROOT)
        note = platform.reader("default", by=ROOT).checkpoint()
        assert opens(note, keys_of(platform)[0])


def test_the_last_key_a_third_key_and_an_unknown_key_are_refused(tmp_path: Path) -> None:
    with running(tmp_path) as platform:
        (old,) = keys_of(platform)
        with pytest.raises(ConflictError, match="last one"):
            retire_key(platform, "default", old.key_id.hex(), by=ROOT)
        rotate_key(platform, "default", by=ROOT)
        with pytest.raises(ConflictError, match="2 sign it already"):
            rotate_key(platform, "default", by=ROOT)
        with pytest.raises(MissingError, match="does not sign"):
            retire_key(platform, "default", "00000000", by=ROOT)


def test_only_an_administrator_of_the_tenant_changes_its_keys(tmp_path: Path) -> None:
    with running(tmp_path) as platform:
        with pytest.raises(ForbiddenError):
            rotate_key(platform, "default", by=Caller("bob", "b" * 12, ("ingest", "read", "export")))
        with pytest.raises(MissingError):
            rotate_key(platform, "default", by=Caller("eve", "e" * 12, SCOPES, ("acme",)))
        assert len(keys_of(platform)) == 1


def test_a_public_list_that_a_crash_left_behind_is_corrected_at_the_start(tmp_path: Path) -> None:
    with running(tmp_path) as platform:
        record(platform, range(1))
        (old,) = keys_of(platform)
        rotate_key(platform, "default", by=ROOT)
        both = keys_of(platform)
    (tmp_path / "logs/default/vkey").write_text(f"{old.vkey}\n")
    with running(tmp_path) as platform:
        assert keys_of(platform) == both


def test_a_public_list_that_contradicts_the_keys_is_left_to_the_verifier(tmp_path: Path) -> None:
    with running(tmp_path) as platform:
        record(platform, range(1))
        platform.create_tenant("acme", by=ROOT)
        foreign = keys_of(platform, "acme")[0].vkey
    (tmp_path / "logs/default/vkey").write_text(f"{foreign}\n{foreign}\n")
    with running(tmp_path):
        assert (tmp_path / "logs/default/vkey").read_text() == f"{foreign}\n{foreign}\n"
    assert check_data_directory(tmp_path, Options(tenant="default")).is_tampered


@pytest.mark.parametrize("write", ["append", "log_keys", "replace"])
@pytest.mark.parametrize("is_kept", [False, True], ids=["lost", "kept"])
@pytest.mark.parametrize("nth", range(1, 8))
def test_a_change_that_breaks_off_is_settled_by_a_restart_and_a_repeat(write: str, is_kept: bool, nth: int) -> None:
    """Wherever a write of the change fails, the log goes on, every checkpoint verifies, and a repeat gets through."""
    stores = Stores(MemoryEventStore(), MemoryObjectStore(), MemoryReadModels(), MemoryKeyStore())
    platform = open_platform(faulty(stores, Fault(write, nth, is_kept, False)))
    change(platform)
    platform.stop()
    platform = open_platform(stores, clock=FrozenClock(seed=1))
    change(platform)
    record(platform, range(5, 6), tenant="acme")
    note = platform.reader("acme", by=ROOT).checkpoint()
    keys = keys_of(platform, "acme")
    assert 1 <= len(keys) <= 2 and all(opens(note, key) for key in keys)
    assert platform.vkeys("acme", by=ROOT) == [key.vkey for key in keys]
    said = told(platform, "atp.key.add", tenant="acme")
    assert {key.key_id.hex() for key in keys} & {event["resource"] for event in said}, "who signs was announced"
    platform.stop()


def change(platform: Platform) -> None:
    """Create, fill, rotate and retire, as far as that goes."""
    for act in (
        lambda: platform.create_tenant("acme", by=ROOT),
        lambda: record(platform, range(4), tenant="acme"),
        lambda: rotate_key(platform, "acme", by=ROOT),
        lambda: retire_key(platform, "acme", keys_of(platform, "acme")[-1].key_id.hex(), by=ROOT),
    ):
        try:
            act()
        except AtpError:
            continue
