"""What the record of a drill holds beyond its verdict: its predecessor, missed slots, the lock, the raw copy."""

import os
import sqlite3
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest

from atp.merkle.dsse import open_envelope
from atp.merkle.keys import parse_vkey
from atp.ops.drills.act.rawcopy import raw_copy
from atp.ops.drills.evidence.history import fold
from atp.ops.drills.evidence.measure import lock_tried
from atp.ops.drills.evidence.report import as_html, as_markdown
from atp.ops.record.statement import PAYLOAD_TYPE
from atp.ops.secrecy import LEFT_OUT
from atp.ports.repository import attempted
from tests.contracts.vaults import release
from tests.ops.drills.world import CLOCK, World, data_of, told, verdicts

DAY = timedelta(days=1)


@pytest.fixture
def ready(world: World) -> World:
    world.beat()
    world.back_up()
    return world


def test_each_record_holds_the_digest_of_the_one_before(ready: World) -> None:
    first, second = ready.drill(), ready.drill()
    assert first.statement is not None and first.previous_sha256 is None
    assert second.previous_sha256 == first.statement.sha256
    assert ready.history().broken == {} and ready.history().missing == {}
    envelope = ready.keep.kept(2)
    assert envelope is not None and second.statement is not None
    signed = open_envelope(envelope, payload_type=PAYLOAD_TYPE, trusted=[parse_vkey(second.statement.vkey)])
    assert first.statement.sha256.encode() in signed.payload, "it is part of what is signed"


def test_a_machine_that_was_told_nothing_goes_on_from_the_statement_that_lies_there(ready: World) -> None:
    first = ready.drill()
    ready.sink.events.clear()
    assert first.statement is not None and ready.drill().previous_sha256 == first.statement.sha256


def test_a_drill_that_was_made_anew_breaks_the_chain(ready: World) -> None:
    ready.drill()
    ready.drill()
    first, second = ready.done_events()
    signed = msgspec.json.decode(bytes(first.data))  # type: ignore[arg-type]
    signed["statement"]["sha256"] = "f" * 64
    forged = msgspec.structs.replace(first, data=msgspec.Raw(msgspec.json.encode(signed)))
    assert fold([told(forged), told(second)]).broken == {"catalogue": (2,)}


def test_the_record_tells_whether_the_key_was_on_the_machine_of_the_data(ready: World) -> None:
    assert ready.drill().key_beside is True
    (ready.root / "catalogue.db").rename(ready.root / "elsewhere.db")
    assert ready.drill().key_beside is False


def test_no_drill_is_called_missing_while_those_before_it_could_not_be_asked_for(ready: World) -> None:
    for _ in range(4):
        ready.drill()
    _, second, _, fourth = map(told, ready.done_events())
    assert fold([second, fourth]).missing == {"catalogue": (1, 3)}
    assert fold([second, fourth], is_all=False).missing == {"catalogue": (3,)}


def test_slots_that_nobody_drilled_are_in_the_next_record(ready: World) -> None:
    since = datetime.now(UTC) - 200 * DAY
    done = ready.drill(since=since)
    assert done.missed_slots == (since + 90 * DAY, since + 180 * DAY)
    assert ready.history().missed("catalogue") == list(done.missed_slots)
    assert "a drill was due and none came" in as_markdown("x", ready.history().drills, {})
    assert ready.drill().missed_slots == ()


def test_the_record_names_the_dataset_its_class_its_owner_and_the_user_of_the_system(world: World) -> None:
    contacts = "contacts: {keeper: {channel: office}}\ndatasets:"
    kind = "    kind: sqlite\n    owner: keeper\n    classification: restricted\n"
    world.changes = [("datasets:", contacts), ("    kind: sqlite\n", kind)]
    done = world.drill()
    assert (done.dataset, done.classification, done.owner) == ("catalogue", "restricted", "keeper")
    assert done.os_user is not None and done.os_user.uid == os.geteuid()
    envelope = world.keep.kept(1)
    assert envelope is not None and done.statement is not None
    said = open_envelope(envelope, payload_type=PAYLOAD_TYPE, trusted=[parse_vkey(done.statement.vkey)]).payload
    for word in ('"dataset":"catalogue"', '"classification":"restricted"', '"owner":"keeper"', '"os_user":{"uid":'):
        assert word.encode() in said, "it is part of what is signed"
    for page in (as_markdown("x", world.history().drills, {}), as_html("x", world.history().drills, {})):
        assert "The data is restricted; keeper answers for it." in page
        assert f"(uid {done.os_user.uid}) on here" in page and done.estate_sha256 in page


def test_what_a_store_answers_is_told_without_its_secrets_in_the_report_too(world: World) -> None:
    attempts = [
        attempted("remove it", "403 no: https://me:secret@store/ "),
        attempted("move it", "200", broken="moved"),
    ]
    tried = lock_tried("vault", attempts, promised="compliance", found="compliance")
    assert (tried.verdict, tried.succeeded) == ("broken", ("moved",))
    assert [(one.refused, one.answer) for one in tried.attempts] == [(True, LEFT_OUT), (False, "200")]
    world.drill()
    [drill] = world.history().drills
    told_so = replace(drill, done=msgspec.structs.replace(drill.done, lock=tried))
    assert "| move it | DONE | 200 |" in as_markdown("x", [told_so], {})
    assert "<td>move it</td><td>DONE</td><td>200</td>" in as_html("x", [told_so], {})


def test_where_no_lock_is_declared_none_is_tried(ready: World) -> None:
    done = ready.drill()
    assert done.lock is not None and done.lock.verdict == "not promised"
    assert "lock" not in verdicts(done)


def test_a_lock_that_is_declared_is_tried_before_the_loss(world: World) -> None:
    world.changes = [("vault: {kind: directory,", "vault: {kind: directory, lock: local,")]
    world.beat()
    world.back_up()
    try:
        done = world.drill()
    finally:
        release(world.root / "vault")
    assert done.lock is not None
    held = world.open("vault").lock == "local"
    assert done.lock.verdict == ("held" if held else "broken") and bool(done.lock.succeeded) != held
    assert verdicts(done)["lock"] == ("pass" if held else "fail")
    assert {one.tried for one in done.attempts} >= {"change an object", "remove an object"}
    assert all(one.refused == held and (one.answer == "done") != held for one in done.attempts[:2]), done.attempts
    phases = [(data_of(event).get("step"), data_of(event)["phase"]) for event in world.sink.events[:3]]
    assert phases[1:] == [("challenge", "intended"), ("challenge", "done")]


def test_a_lock_that_cannot_be_tried_stops_nothing_and_is_not_green(world: World) -> None:
    world.changes = [("vault: {kind: directory,", "vault: {kind: directory, lock: local,")]
    (world.root / "vault").rmdir()
    done = world.drill()
    assert done.lock is not None and (done.lock.verdict, done.cause) == ("not tried", "repository-gone")
    assert done.lock.reason and verdicts(done)["lock"] == "insufficient"


def test_the_restore_is_held_against_a_raw_copy_of_its_bytes(ready: World) -> None:
    little = ready.drill()
    assert little.raw_copy_bytes > 0 and little.ratio_to_raw_copy is None, "the time of so little is chance"
    with closing(sqlite3.connect(ready.source)) as database, database:
        database.execute("INSERT INTO letter (title, body) VALUES ('long', randomblob(2000000))")
    ready.back_up()
    done = ready.drill()
    assert done.raw_copy_bytes == done.total_bytes > 0
    assert done.ratio_to_raw_copy is not None and done.ratio_to_raw_copy > 0
    legs = {leg.name: leg.seconds for leg in done.legs}
    assert done.rto_seconds == legs["answered"], "the copy is made when the clock has stopped"


def test_without_room_there_is_no_raw_copy_and_nothing_is_left(tmp_path: Path) -> None:
    (tmp_path / "copy").write_bytes(b"x" * 100)
    found = raw_copy(tmp_path / "copy", tmp_path / "raw", monotonic=CLOCK.monotonic)
    assert found is not None and found.total_bytes == 100
    assert raw_copy(tmp_path / "copy", tmp_path / "none" / "raw", monotonic=CLOCK.monotonic) is None
    assert raw_copy(tmp_path / "absent", tmp_path / "raw", monotonic=CLOCK.monotonic) is None
    assert [path.name for path in tmp_path.iterdir()] == ["copy"]
