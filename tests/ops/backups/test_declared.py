"""What the estate file declares of backups, what is told of them to its review, and what shares its ground."""

from importlib.resources import files
from pathlib import Path

import msgspec
import pytest

from atp.errors import AtpError, InvalidError, MissingError
from atp.ops.backups.act.isolation import isolation_warnings
from atp.ops.backups.declare import declared_backup
from atp.ops.backups.evidence import Made, Verified, backup_done, backup_verified
from atp.ops.estate.declare.parse import parse_estate
from atp.ops.estate.evidence.proofs import BACKUP_DONE, BACKUP_VERIFIED, Fact, fold
from atp.ops.record.act import Person
from atp.ops.record.fact import dataset_resource, fact_event
from tests.ops.backups.world import World

EXAMPLE = files("atp.ops.backups").joinpath("example.yaml").read_bytes()
ESTATE = parse_estate(EXAMPLE, file="example.yaml")


def test_the_example_declares_what_it_says() -> None:
    letters, catalogue = declared_backup(ESTATE, "letters"), declared_backup(ESTATE, "catalogue")
    assert (letters.kind, letters.repository, letters.copies_in) == ("files", "vault", ("cellar",))
    assert (catalogue.kind, catalogue.source) == ("sqlite", Path("/srv/archive/catalogue.db"))
    assert letters.retention is not None and letters.retention.days == 90


@pytest.mark.parametrize(
    ("found", "instead", "kind", "sentence"),
    [
        ("{place: /srv/archive/letters}", "{env: LETTERS}", InvalidError, "no path"),
        ("age1up0u4", "age1wrong", InvalidError, "no recipient"),
        ("  letters:", "  papers:", MissingError, "no such dataset"),
    ],
)
def test_what_cannot_be_done_is_said_with_a_next_move(
    found: str, instead: str, kind: type[AtpError], sentence: str
) -> None:
    changed = parse_estate(EXAMPLE.decode().replace(found, instead, 1).encode(), file="changed.yaml")
    with pytest.raises(kind, match=rf"^could not .*{sentence}.*"):
        declared_backup(changed, "letters")


def told(world: World, action: str, data: dict[str, object]) -> Fact:
    of, alice = dataset_resource("letters"), Person("alice", is_bound=True)
    event = fact_event(action, data, of=of, by=alice, at=world.clock.now(), event_id="e-1")
    assert event.resource is not None and isinstance(event.data, msgspec.Raw)
    return Fact(world.clock.now(), event.action, event.resource.id, msgspec.json.decode(event.data))


def test_a_backup_that_was_made_counts_in_the_review(world: World) -> None:
    made = world.back_up()
    facts = [told(world, BACKUP_DONE, backup_done(made, repository="vault"))]
    proofs = fold(facts, now=world.clock.now()).of("letters")
    copy = proofs.copies["vault"]
    assert (copy.backup, copy.encrypted, copy.point_at) == (made.backup, True, world.clock.now())
    assert proofs.failed_backup_at is None


def test_a_backup_that_failed_counts_as_failed_and_tells_no_secret(world: World) -> None:
    data = backup_done(Made("b"), repository="vault", error="could not store: postgres://u:secret@host refused")
    evidence = fold([told(world, BACKUP_DONE, data)], now=world.clock.now())
    assert evidence.unreadable == 0
    assert evidence.of("letters").copies == {}
    assert evidence.of("letters").failed_backup_at == world.clock.now()
    assert "secret@" not in str(data)


@pytest.mark.parametrize("faults", [[], ["its part data.00000 is missing"]])
def test_what_was_read_back_counts_in_the_review(world: World, faults: list[str]) -> None:
    found = Verified("b", faults=faults, is_read_back=not faults, is_immutable=True, is_isolated=False)
    facts = [told(world, BACKUP_VERIFIED, backup_verified(found, repository="vault"))]
    proofs = fold(facts, now=world.clock.now()).of("letters")
    assert (proofs.read_back_at is None) == bool(faults)
    assert (proofs.failed_read_back_at is None) == (not faults)
    assert proofs.immutable == {"vault": True}
    assert proofs.isolated == {"vault": False}


def test_copies_on_the_ground_of_their_source_are_warned_of(tmp_path: Path) -> None:
    text = EXAMPLE.decode().replace("/mnt/cellar/backups", str(tmp_path)).replace("/srv/archive/letters", str(tmp_path))
    estate = parse_estate(text.encode(), file="e.yaml")
    letters = estate.datasets["letters"]
    assert isolation_warnings(letters, estate.repositories["vault"], name="vault") == []
    (warning,) = isolation_warnings(letters, estate.repositories["cellar"], name="cellar")
    assert "same file system" in warning
    bare = text.replace("    credentials: {file: /etc/atp/vault.key}\n", "")
    (warning,) = isolation_warnings(letters, parse_estate(bare.encode(), file="e.yaml").repositories["vault"], name="v")
    assert "no credentials of its own" in warning
