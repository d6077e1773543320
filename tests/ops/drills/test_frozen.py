"""A drill that an older program told, before records named owner, user and attempts: it still counts and verifies."""

from hashlib import sha256
from pathlib import Path

import msgspec
import pytest

from atp.cli.drilled import text
from atp.errors import TamperedError
from atp.log.event import Event
from atp.ops.drills.evidence.event import envelope_of
from atp.ops.drills.evidence.figures import Done, read_done
from atp.ops.drills.evidence.history import fold
from atp.ops.drills.evidence.report import as_html, as_markdown
from atp.ops.estate.evidence.proofs import Fact
from atp.ops.estate.evidence.proofs import fold as fold_facts
from tests.ops.drills.world import data_of, told

FROZEN = Path(__file__).parent / "frozen"
EVENT = msgspec.json.decode((FROZEN / "drill-done-2.event.json").read_bytes(), type=Event)
ENVELOPE = (FROZEN / "drill-done-2.dsse.json").read_bytes()


@pytest.fixture
def done() -> Done:
    return read_done(data_of(EVENT))


def test_its_event_is_read_and_written_again_byte_for_byte(done: Done) -> None:
    assert msgspec.json.encode(done) == bytes(EVENT.data)  # type: ignore[arg-type]
    assert (done.dataset, done.owner, done.os_user, done.attempts) == ("", "", None, ())


def test_its_statement_comes_out_of_its_event_and_verifies(done: Done) -> None:
    envelope = envelope_of(done, dataset="catalogue")
    assert envelope == ENVELOPE and done.statement is not None
    assert sha256(envelope).hexdigest() == done.statement.sha256
    with pytest.raises(TamperedError):
        envelope_of(msgspec.structs.replace(done, owner="somebody else"), dataset="catalogue")


def test_it_counts_in_the_history_and_in_the_review_of_the_estate(done: Done) -> None:
    found = fold([told(EVENT)])
    assert [drill.name for drill in found.drills] == ["catalogue/2"] and found.unreadable == 0
    fact = Fact(found.drills[0].at, EVENT.action, "catalogue", data_of(EVENT), "alice")
    drill = fold_facts([fact], now=fact.at).of("catalogue").drill
    assert drill is not None and done.statement is not None
    assert (drill.number, drill.lock, drill.statement_sha256) == (2, "held", done.statement.sha256)


def test_it_is_shown_without_what_it_does_not_say(done: Done) -> None:
    drills = fold([told(EVENT)]).drills
    for shown in (text("catalogue", done), as_markdown("x", drills, {}), as_html("x", drills, {})):
        assert "20261126T190715Z-48f5f037fe76" in shown and "held" in shown
        assert not [word for word in ("answers for it", "uid", "tried on the lock", "owner") if word in shown]
