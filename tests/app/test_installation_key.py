"""The operators' log begins with the installation and its evidence key, and says when that key is another one."""

from pathlib import Path

import msgspec

from atp.app.config import Config
from atp.app.open import open_platform
from atp.log.event import read_event
from atp.merkle.keys import parse_vkey
from atp.ops.record.statement import Statement, Subject, check_statement, sign_statement
from atp.tenants.names import OPERATIONS
from atp.verify.directory import check_data_directory
from atp.verify.options import Options
from tests.app.opened import ROOT, record, running, told, until

CREATED, KEY = "installation.created", "installation.key"


def test_the_first_entry_names_the_installation_and_its_key(tmp_path: Path) -> None:
    with running(tmp_path) as platform:
        until(lambda: told(platform, CREATED))
        (first,) = told(platform, CREATED)
        entry = platform.reader(OPERATIONS, by=ROOT).durable(0, 1)[0]
        assert read_event(entry)[1].action == CREATED
        key = parse_vkey(first["data"]["evidence_vkey"])
        assert (key.name, first["resource"], first["by"]) == ("example.org/evidence", "example.org", "atp")
        subject = Subject("b-1", {"sha256": "00" * 32})
        statement = Statement((subject,), "https://example.org/x", msgspec.Raw(b"{}"))
        envelope = sign_statement(statement, platform.installation_key.key())
        assert check_statement(envelope, trusted_keys=[key]) == statement
    assert (tmp_path / "keys" / "evidence.key").stat().st_mode & 0o777 == 0o600
    assert not check_data_directory(tmp_path, Options()).is_tampered


def test_it_is_said_once_over_restarts(tmp_path: Path) -> None:
    for number in range(3):
        with running(tmp_path) as platform:
            until(lambda: platform.stores.events.size(OPERATIONS))
            record(platform, range(number, number + 1))
            assert len(told(platform, CREATED)) == 1 and told(platform, KEY) == []


def test_a_start_that_died_before_it_was_said_says_it_later(tmp_path: Path) -> None:
    opened = open_platform(Config(tmp_path, installation="example.org"))
    opened.platform.stores.events.close()
    with running(tmp_path) as platform:
        until(lambda: told(platform, CREATED))


def test_a_directory_that_is_older_or_lost_its_key_is_told_the_new_one(tmp_path: Path) -> None:
    with running(tmp_path) as platform:
        until(lambda: told(platform, CREATED))
        old = told(platform, CREATED)[0]["data"]["evidence_vkey"]
    (tmp_path / "keys" / "evidence.key").unlink()
    with running(tmp_path) as platform:
        until(lambda: told(platform, KEY))
        (new,) = told(platform, KEY)
        assert new["data"]["evidence_vkey"] != old
        assert platform.installation_key.key().public().vkey == new["data"]["evidence_vkey"]
