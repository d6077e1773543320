"""A drill from the loss to its evidence: what is measured, told, signed, and left as it was."""

import sqlite3
from contextlib import closing
from datetime import UTC, datetime
from hashlib import sha256

import msgspec
import pytest

from atp.errors import ConflictError, InvalidError, UnavailableError
from atp.merkle.keys import parse_vkey
from atp.ops.drills.act.kinds.choose import production_of
from atp.ops.drills.evidence.figures import predicate, read_done
from atp.ops.drills.evidence.measure import FENCED
from atp.ops.estate.evidence.proofs import Fact, fold
from atp.ops.record.act import Told, fold_all
from atp.ops.record.statement import check_statement
from tests.ops.acting import ListSink
from tests.ops.drills.world import ESTATE_SHA256, World, data_of, left_in, no_fence, verdicts


def test_a_catalogue_comes_back_and_every_objective_is_judged(world: World) -> None:
    world.beat()
    made = world.back_up()
    before = production_of(world.declared).look()
    done = world.drill()
    assert (done.number, done.scenario, done.backup, done.repository) == (1, "deletion", made.backup, "vault")
    fence = "pass" if done.fence == FENCED else "insufficient"
    assert verdicts(done) == {"content": "pass", "rto": "pass", "rpo": "pass", "fence": fence, "source": "pass"}
    assert done.verdict == fence
    assert [answer.name for answer in done.answers][:2] == ["opens", "as backed up"] and len(done.answers) == 4
    assert all(answer.passed for answer in done.answers)
    assert before == production_of(world.declared).look()
    assert left_in(world.scratch) == []


def test_the_legs_are_in_order_and_the_rto_is_the_last_of_them(world: World) -> None:
    world.beat()
    world.back_up()
    done = world.drill()
    assert [leg.name for leg in done.legs] == ["chosen", "restored", "opened", "whole", "answered"]
    lengths = [leg.seconds for leg in done.legs]
    assert lengths == sorted(lengths) and lengths[0] > 0
    assert done.rto_seconds == lengths[-1]


def test_the_event_is_what_the_review_of_the_estate_reads(world: World) -> None:
    world.beat()
    world.back_up()
    done = world.drill()
    [event] = world.done_events()
    assert event.resource is not None
    now = datetime.now(UTC)
    proven = fold([Fact(now, event.action, event.resource.id, data_of(event), "alice")], now=now)
    [drilled] = proven.of("catalogue").drills
    assert proven.unreadable == 0
    assert (drilled.verdict, drilled.scenario) == (done.verdict, "deletion")
    assert drilled.rto is not None and drilled.rto.total_seconds() == done.rto_seconds
    assert drilled.rpo is not None and drilled.rpo.total_seconds() == pytest.approx(done.rpo_seconds)
    assert read_done(data_of(event)) == done


def test_every_step_is_intended_before_and_told_after(world: World) -> None:
    world.beat()
    world.back_up()
    done = world.drill()
    act = fold_all(Told(event) for event in world.sink.events)[done.act]
    assert list(act.steps) == [
        *("challenge", "declare", "choose", "restore", "restore/fetch", "restore/check", "restore/place"),
        *("ask", "measure", "remove", "evidence"),
    ]
    assert act.state == "done" and not act.unknown_steps and not act.remarks
    assert act.data["number"] == 1 and act.data["rto_seconds"] == 3600, "what is wanted is told before"


def test_the_statement_is_signed_by_this_machine_and_named_by_its_digest(world: World) -> None:
    world.beat()
    world.back_up()
    done = world.drill()
    envelope = world.keep.kept(1)
    assert done.statement is not None and envelope is not None
    assert done.statement.sha256 == sha256(envelope).hexdigest()
    assert "machine" in done.statement.whose and "not that of an installation" in done.statement.whose
    statement = check_statement(envelope, trusted_keys=[parse_vkey(done.statement.vkey)])
    assert bytes(statement.predicate) == predicate(done)
    assert [subject.digest["sha256"] for subject in statement.subject] == [ESTATE_SHA256, done.manifest_sha256]


def test_files_come_back_too(letters: World) -> None:
    letters.beat()
    letters.back_up()
    done = letters.drill()
    assert verdicts(done) | {"fence": ""} == {
        **{"content": "pass", "rto": "pass", "rpo": "pass", "source": "pass"},
        "fence": "",
    }
    assert done.entries == 5
    assert [answer.name for answer in done.answers] == ["opens", "as backed up", "digests"]
    assert left_in(letters.scratch) == []


def test_writes_that_were_acknowledged_after_the_copy_are_counted_as_lost(world: World) -> None:
    world.beat()
    world.back_up()
    world.beat()
    world.beat()
    done = world.drill()
    assert done.acknowledged is not None
    assert (done.acknowledged.recovered, done.acknowledged.lost, done.acknowledged.holes) == (1, 2, 0)
    assert verdicts(done)["rpo"] == "pass"


def test_without_a_heartbeat_the_rpo_is_not_known_and_nothing_is_green(world: World) -> None:
    world.back_up()
    done = world.drill()
    assert (verdicts(done)["rpo"], done.verdict, done.rpo_seconds) == ("insufficient", "insufficient", None)


def test_a_living_source_that_others_write_to_meanwhile_passes_behind_the_fence_alone(world: World) -> None:
    world.beat()
    world.back_up()
    busy = world.drill(sink=_Writing(world))
    walled = "pass" if busy.fence == FENCED else "insufficient"
    assert verdicts(busy)["source"] == walled and busy.source.before_sha256 != busy.source.after_sha256
    assert walled == "insufficient" or "not by this drill" in busy.objectives[-1].told
    bare = world.drill(sink=_Writing(world), fence=no_fence)
    assert verdicts(bare)["source"] == "insufficient" and "by whom" in bare.objectives[-1].told


def test_numbers_go_on_and_a_drill_that_could_not_tell_leaves_a_gap(world: World) -> None:
    world.beat()
    world.back_up()
    world.drill()
    refusing = ListSink(refused=[3])
    with pytest.raises(UnavailableError):
        world.drill(sink=refusing)
    assert left_in(world.scratch) == []
    assert world.drill().number == 3
    assert world.history().missing == {"catalogue": (2,)}


def test_two_drills_of_one_dataset_do_not_run_at_once(world: World) -> None:
    with world.keep.next_number(0), pytest.raises(ConflictError, match="another drill of it runs"):
        world.drill()


def test_a_scratch_place_that_overlaps_the_living_data_is_refused(letters: World) -> None:
    (letters.root / "link").symlink_to(letters.source / "1899")
    letters.changes = [(f"place: {letters.scratch}", f"place: {letters.root}/link/below")]
    letters.back_up()
    with pytest.raises(InvalidError, match="overlap"):
        letters.drill()


def test_declared_questions_can_read_this_one_database_and_nothing_else(world: World) -> None:
    other = world.root / "other.db"
    with closing(sqlite3.connect(other)) as database:
        database.execute("CREATE TABLE t (a)")
    world.changes = [("sql: select count(*) from letter where title is null", f"sql: attach '{other}' as o")]
    world.beat()
    world.back_up()
    done = world.drill()
    assert (done.verdict, done.cause) == ("fail", "wrong-answer")
    assert "not authorized" in done.answers[2].told


class _Writing:
    """A sink beside which somebody writes into the living data."""

    def __init__(self, world: World) -> None:
        self._world = world

    def write(self, event: object, *, expect: object, is_outcome: bool) -> None:
        with closing(sqlite3.connect(self._world.source)) as database:
            database.execute("INSERT INTO letter (title) VALUES ('another')")
            database.commit()


def test_the_figures_survive_their_encoding(world: World) -> None:
    world.beat()
    world.back_up()
    done = world.drill()
    assert msgspec.json.decode(msgspec.json.encode(done), type=type(done)) == done
