"""What every KeyStore keeps: keys, whole and in order; and what files of keys owe their owner."""

from dataclasses import replace
from pathlib import Path

import pytest

from atp.adapters.keyfile import FileKeyStore
from atp.errors import MalformedError, MissingError, UnavailableError
from atp.ports.key_store import ApiKey, KeyStore
from tests.contracts.keepers import Keeper
from tests.contracts.machine import small_disk

Keepers = Keeper[KeyStore]
FIRST = "PRIVATE+KEY+example.com/acme+12345678+AQ+/="
SECOND = "PRIVATE+KEY+example.com/acme+87654321+AR+/="
KEY = ApiKey("k1", "älice", ("ingest", "read"), (), "00" * 32, "2026-01-01T00:00:00Z")


def test_a_log_without_keys_is_missing(key_stores: Keepers) -> None:
    store = key_stores.open()
    with pytest.raises(MissingError):
        store.log_keys("acme")


def test_keys_of_a_log_come_back_in_their_order(key_stores: Keepers) -> None:
    store = key_stores.open()
    store.put_log_keys("acme", [FIRST])
    store.put_log_keys("other", [SECOND])
    assert store.log_keys("acme") == [FIRST]
    store.put_log_keys("acme", [SECOND, FIRST])
    assert store.log_keys("acme") == [SECOND, FIRST]
    again = key_stores.open()
    assert (again.log_keys("acme"), again.log_keys("other")) == ([SECOND, FIRST], [SECOND])


def test_the_evidence_key_is_kept_apart_from_those_of_logs(key_stores: Keepers) -> None:
    store = key_stores.open()
    with pytest.raises(MissingError):
        store.evidence_key()
    store.put_log_keys("evidence", [FIRST])
    store.put_evidence_key(SECOND)
    assert (key_stores.open().evidence_key(), store.log_keys("evidence")) == (SECOND, [FIRST])
    store.put_evidence_key(FIRST)
    assert store.evidence_key() == FIRST


def test_a_new_store_has_issued_no_key(key_stores: Keepers) -> None:
    assert key_stores.open().api_keys() == []


def test_issued_keys_come_back_whole(key_stores: Keepers) -> None:
    store = key_stores.open()
    keys = [KEY, replace(KEY, id="k2", tenants=("acme", "b"), revoked_at="2026-02-01T00:00:00Z")]
    store.put_api_keys(keys)
    assert store.api_keys() == keys
    assert key_stores.open().api_keys() == keys
    store.put_api_keys(keys[:1])
    assert store.api_keys() == keys[:1]


def test_a_change_by_one_opener_is_seen_by_another(key_stores: Keepers) -> None:
    one, other = key_stores.open(), key_stores.open()
    for number in range(5):
        keys = [replace(KEY, id=f"k{number}")]
        one.put_api_keys(keys)
        assert other.api_keys() == keys


@pytest.mark.parametrize("name", ["", "../access", "a/b", ".hidden", "a\nb"])
def test_a_tenant_that_is_no_plain_name_is_refused(tmp_path: Path, name: str) -> None:
    store = FileKeyStore(tmp_path)
    with pytest.raises(MalformedError):
        store.log_keys(name)
    with pytest.raises(MalformedError):
        store.put_log_keys(name, [FIRST])


def test_a_key_of_two_lines_is_refused(tmp_path: Path) -> None:
    with pytest.raises(MalformedError):
        FileKeyStore(tmp_path).put_log_keys("acme", [FIRST, "one\ntwo"])
    with pytest.raises(MalformedError):
        FileKeyStore(tmp_path).put_evidence_key("one\ntwo")


def test_files_of_keys_belong_to_their_owner_alone(tmp_path: Path) -> None:
    store = FileKeyStore(tmp_path)
    store.put_log_keys("acme", [FIRST])
    store.put_api_keys([KEY])
    store.put_evidence_key(SECOND)
    modes = {path.name: path.stat().st_mode & 0o777 for path in (tmp_path / "keys").rglob("*")}
    assert modes == {"log": 0o700, "acme.key": 0o600, "access.json": 0o600, "evidence.key": 0o600}
    assert (tmp_path / "keys").stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o601])
def test_keys_that_others_can_read_are_refused(tmp_path: Path, mode: int) -> None:
    store = FileKeyStore(tmp_path)
    store.put_log_keys("acme", [FIRST])
    assert store.log_keys("acme") == [FIRST]
    (tmp_path / "keys" / "log" / "acme.key").chmod(mode)
    with pytest.raises(UnavailableError, match=r"^could not read .*acme.key.*\(hint: chmod go= "):
        store.log_keys("acme")


def test_a_directory_of_keys_that_others_can_enter_is_refused(tmp_path: Path) -> None:
    FileKeyStore(tmp_path)
    (tmp_path / "keys").chmod(0o755)
    with pytest.raises(UnavailableError, match=r"\(hint: chmod go= "):
        FileKeyStore(tmp_path)


def test_a_damaged_list_is_named(tmp_path: Path) -> None:
    store = FileKeyStore(tmp_path)
    store.put_api_keys([KEY])
    path = tmp_path / "keys" / "access.json"
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(UnavailableError, match=r"^could not read .*access.json.*\(hint: restore"):
        store.api_keys()


def test_a_full_disk_keeps_the_keys_that_were_there(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", megabytes=1) as disk:
        store = FileKeyStore(disk.path)
        store.put_log_keys("acme", [FIRST])
        disk.fill()
        with pytest.raises(UnavailableError, match=r"^could not write .*No space"):
            store.put_log_keys("acme", [SECOND])
        assert store.log_keys("acme") == [FIRST]
        assert [path.name for path in (disk.path / "keys" / "log").iterdir()] == ["acme.key"]
