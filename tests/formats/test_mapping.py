"""Mapping files: what they may say, and how a mistake is told."""

from pathlib import Path

import pytest

from atp.errors import InvalidError, MissingError
from atp.formats import load_formats
from atp.formats.catalogue import AUTO
from tests.formats.converting import FORMATS, event, read

TICKETS = """
name = "tickets"
title = "Ticket desk"
action = "ticket.{verb|lower}"
time = "{when}"
zone = "Europe/Berlin"
id = "{nr}"
outcome = [{ text = "denied", when = { result = "no" } }, "success"]
records = ["page.tickets"]

[[recognise]]
verb = "*"
nr = "*"

[actor]
id = ["{by.mail}", "{by.name}"]

[resource]
id = "{ticket}"
"""


def test_a_file_in_a_directory_adds_a_format(tmp_path: Path) -> None:
    (tmp_path / "tickets.toml").write_text(TICKETS)
    formats = load_formats(tmp_path)
    made = event(
        b'{"verb":"CLOSE","nr":"T-1","when":"2024-07-01 12:00:00","by":{"name":"alice"},"ticket":9,"result":"no"}',
        formats=formats,
    )
    assert (made.id, made.action, made.time) == ("T-1", "ticket.close", "2024-07-01T10:00:00Z")
    assert (made.actor.id, made.outcome) == ("alice", "denied")
    assert made.resource is not None and made.resource.id == "9"
    page = b'{"page":{"tickets":[{"verb":"open","nr":"1"},{"verb":"open","nr":"2"}]}}'
    assert [record.format for record in read(page, formats=formats)] == ["tickets", "tickets"]


def test_ones_own_file_replaces_a_built_in_format_and_is_asked_first(tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text(
        TICKETS.replace('"tickets"', '"okta"', 1).replace('verb = "*"', 'Channel = "*"')
    )
    formats = load_formats(tmp_path)
    assert formats.names == FORMATS.names
    assert read(b'{"Channel":"Security","EventID":1,"nr":2}', formats=formats)[0].format == "okta"


def test_the_names_are_those_of_the_contract() -> None:
    foreign = {
        "auditd",
        "cloudevents",
        "cloudtrail",
        "github",
        "google-workspace",
        "kubernetes",
        "m365",
        "okta",
        "windows",
    }
    assert set(FORMATS.names) == {"atp"} | foreign
    FORMATS.check_name(AUTO)
    with pytest.raises(InvalidError, match="could not use format 'syslog': it is unknown"):
        FORMATS.check_name("syslog")


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        ('name = "tickets"', 'name = "My Tickets"', "name"),
        ("[resource]", "[resourse]", "resourse"),
        ('id = "{ticket}"', 'id = "{ticket..nr}"', "resource.id"),
        ('id = "{ticket}"', 'colour = "{ticket}"', "colour"),
        ('"{by.name}"', "7", "actor.id"),
        ("Europe/Berlin", "Europe/Atlantis", "zone"),
        ('text = "denied"', 'text = "rejected"', "outcome"),
        ('verb = "*"', '"a..b" = "*"', "recognise"),
        ('[[recognise]]\nverb = "*"\nnr = "*"', "[[recognise]]", "recognise"),
        ('action = "ticket.{verb|lower}"', "", "action"),
        ('title = "Ticket desk"', "title = ", "TOML"),
    ],
)
def test_a_mistake_is_told_with_file_and_key(tmp_path: Path, old: str, new: str, complaint: str) -> None:
    assert old in TICKETS
    (tmp_path / "tickets.toml").write_text(TICKETS.replace(old, new))
    with pytest.raises(InvalidError) as raised:
        load_formats(tmp_path)
    assert "could not load format tickets.toml: " in str(raised.value)
    assert complaint in str(raised.value)


def test_a_directory_that_is_not_there_is_missing(tmp_path: Path) -> None:
    with pytest.raises(MissingError, match="is not a directory"):
        load_formats(tmp_path / "nowhere")
