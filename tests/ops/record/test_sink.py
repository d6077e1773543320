"""An act is written down by the server, else on this machine; what waits is delivered in order, once, and proven."""

from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from atp.adapters.memory import FrozenClock
from atp.client import Client
from atp.errors import ConflictError, ForbiddenError, TamperedError, UnauthorizedError, UnavailableError
from atp.limits import SPOOL_GROUP_LINES
from atp.ops.record.act import Person, Told
from atp.ops.record.deliver import deliver
from atp.ops.record.spool import read_record, verify_spool
from atp.tenants.names import OPERATIONS
from atp.verify.directory import check_data_directory
from atp.verify.options import Options
from tests.app.opened import until
from tests.ops.acting import act_event
from tests.ops.desk import Desk, acts_in, data_of, told_by
from tests.web.serving import Served, serving

NOWHERE = "http://127.0.0.1:1"


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    with serving(tmp_path / "data") as running:
        yield running
    assert not check_data_directory(tmp_path / "data", Options()).is_tampered


@pytest.fixture
def desk(served: Served, tmp_path: Path) -> Desk:
    return Desk(tmp_path / "desk", served.url)


def client_of(served: Served, key: str | None = None) -> Client:
    return Client(served.url, key=key or served.key, tries=1)


def away() -> Client:
    return Client(NOWHERE, key="x", tries=1)


def trail(served: Served) -> list[Told]:
    store = served.platform.stores.events
    return told_by(served.platform.reader(OPERATIONS, by=served.root), store.size(OPERATIONS))


def spooled(served: Served) -> list[str]:
    """The ids of the delivered records, in the order of the log."""
    return [one.event.id or "" for one in trail(served) if (one.event.id or "").startswith("spool.")]


def test_an_act_goes_to_the_server_and_is_of_the_person_of_the_key(served: Served, desk: Desk) -> None:
    _, key = served.issue_key(OPERATIONS, scopes=("ingest", "read"), person="alice")
    with client_of(served, key) as client:
        recording = desk.begin(client, data={"to": "s3"})
        recording.intend("copy")
        recording.outcome("copy")
        recording.end("done")
    act = acts_in(trail(served))[recording.act.id]
    assert (act.person, act.state, act.data) == (Person("alice", True), "done", {"to": "s3"})
    assert desk.spool().waiting() == [] and desk.said == []


def test_a_machine_sees_the_log_before_it_needs_a_spool(served: Served, desk: Desk) -> None:
    with client_of(served) as client:
        until(lambda: served.platform.reader(OPERATIONS, by=served.root).size())
        desk.begin(client)
    (begun,) = desk.spool().lines()
    head = read_record(begun).link.checkpoint
    assert head is not None and head.origin == served.platform.installation + "/operations" and head.size >= 1
    assert spooled(served) == [], "a beginning alone is not worth telling"


def test_without_a_server_the_user_of_the_machine_acts_and_it_is_said(desk: Desk, served: Served) -> None:
    recording = desk.begin(away())
    recording.intend("copy")
    recording.outcome("copy")
    assert any("written down on this machine" in words for words in desk.said)
    assert recording.act.person == Person("ann", False)
    with client_of(served) as client:
        assert deliver(desk.spool(), client, desk.memory) == 3
        assert deliver(desk.spool(), client, desk.memory) == 0
    act = acts_in(trail(served))[recording.act.id]
    assert (act.person, act.steps["copy"].state, act.remarks) == (Person("ann", False), "done", ())
    numbers = [int(name.rpartition(".")[2]) for name in spooled(served)]
    assert numbers == [0, 1, 2, 3]


def test_a_delivered_record_is_the_line_and_still_proves_where_it_comes_from(desk: Desk, served: Served) -> None:
    desk.begin(None).intend("copy")
    lines = desk.spool().lines()
    with client_of(served) as client:
        deliver(desk.spool(), client, desk.memory)
    size = served.platform.stores.events.size(OPERATIONS)
    entries = served.platform.reader(OPERATIONS, by=served.root).durable(0, size)
    kept = [entry.partition(b'"event":')[2][:-1] for entry in entries if b'"spool":' in entry]
    assert kept == lines
    assert verify_spool(kept).fault is None
    assert [one.event.time for one in trail(served) if one.event.id in spooled(served)] == [
        read_record(line).event.time for line in lines
    ]


def test_what_waits_goes_before_what_is_new(desk: Desk, served: Served) -> None:
    recording = desk.begin(away())
    with client_of(served) as client:
        sink = desk.sink(client)
        sink.write(act_event(7), expect={}, is_outcome=False)
    told = [one.event for one in trail(served) if one.event.action == "backup.run"]
    assert [data_of(event)["act"] for event in told] == [recording.act.id, "a-1"]
    assert any("1 record of the spool delivered" in words for words in desk.said)


def test_up_down_up_tells_each_event_once_and_in_order(desk: Desk, served: Served) -> None:
    with client_of(served) as here, away() as nowhere:
        recording = desk.begin(here)
        for number in range(6):
            recording._sink = desk.sink(nowhere if number % 3 else here)
            recording.intend(f"s-{number}")
            recording.outcome(f"s-{number}")
        recording._sink = desk.sink(here)
        recording.end("done")
    act = acts_in(trail(served))[recording.act.id]
    assert list(act.steps) == [f"s-{number}" for number in range(6)] and act.remarks == ()
    assert {step.state for step in act.steps.values()} == {"done"} and act.state == "done"
    assert len([one for one in trail(served) if one.event.action == "backup.run"]) == 14


def test_an_event_whose_answer_was_lost_counts_once(desk: Desk, served: Served) -> None:
    event = act_event(1)
    with client_of(served) as here:
        here.send([msgspec.json.encode(event)], tenant=OPERATIONS)
    desk.sink(away()).write(event, expect={}, is_outcome=False)
    with client_of(served) as here:
        deliver(desk.spool(), here, desk.memory)
    twins = [one for one in trail(served) if one.event.action == "backup.run"]
    assert len(twins) == 2 and data_of(twins[1].event)["sent_as"] == event.id
    assert acts_in(twins)["a-1"].steps["s-1"].attempts == 1


def test_a_delivery_that_broke_off_anywhere_is_repeated_and_recorded_once(desk: Desk, served: Served) -> None:
    for _ in range(3):
        desk.begin(None)
    lines = desk.spool().lines()
    with client_of(served) as client:
        for stop in range(len(lines) + 1):
            if stop:
                client.send(lines[:stop], tenant=OPERATIONS)
        assert deliver(desk.spool(), client, desk.memory) == 3
    assert spooled(served) == [read_record(line).event.id for line in lines]


def test_many_records_go_in_several_requests(desk: Desk, served: Served) -> None:
    spool = desk.spool()
    for number in range(SPOOL_GROUP_LINES + 40):
        spool.add(act_event(number))
    with client_of(served) as client:
        assert deliver(spool, client, desk.memory) == SPOOL_GROUP_LINES + 40
    assert [int(name.rpartition(".")[2]) for name in spooled(served)] == list(range(SPOOL_GROUP_LINES + 41))


def test_what_comes_in_while_it_is_delivered_waits_for_the_next_time(desk: Desk, served: Served) -> None:
    desk.begin(None)
    with client_of(served) as client:
        spool = desk.spool()
        seen = spool.lines()
        desk.begin(None)
        spool.lines = lambda: seen  # type: ignore[method-assign]
        assert deliver(spool, client, desk.memory) == 1
        assert len(desk.spool().waiting()) == 2
        assert deliver(desk.spool(), client, desk.memory) == 2
    assert len(spooled(served)) == 3


def test_a_changed_spool_is_not_delivered_and_keeps_nobody_from_the_server(desk: Desk, served: Served) -> None:
    desk.begin(None, data={"to": "here"})
    path = desk.folder / "spool" / "lines"
    path.write_bytes(path.read_bytes().replace(b'"to":"here"', b'"to":"gone"'))
    with client_of(served) as client:
        with pytest.raises(TamperedError, match=r"^could not trust the spool: line 2, number 1: .*\(hint: put"):
            deliver(desk.spool(), client, desk.memory)
        desk.begin(client).end("done")
    assert spooled(served) == [] and any("could not trust the spool" in words for words in desk.said)
    with pytest.raises(TamperedError):
        desk.begin(None)


def test_two_machines_with_one_key_are_found(desk: Desk, served: Served, tmp_path: Path) -> None:
    desk.begin(None)
    key = desk.folder / "spool" / "machine.key"
    clone = Desk(tmp_path / "clone", served.url)
    (clone.folder / "spool").mkdir(parents=True, mode=0o700)
    (clone.folder / "spool" / "machine.key").write_text(key.read_text())
    (clone.folder / "spool" / "machine.key").chmod(0o600)
    clone.begin(None)
    with client_of(served) as client:
        assert deliver(desk.spool(), client, desk.memory) == 1
        with pytest.raises(ConflictError):
            deliver(clone.spool(), client, clone.memory)
    assert len(clone.spool().waiting()) == 1


def test_a_key_that_may_not_write_begins_nothing_but_an_outcome_is_kept(desk: Desk, served: Served) -> None:
    key_id, key = served.issue_key(OPERATIONS, scopes=("ingest", "read"), person="alice")
    with client_of(served, key) as client:
        recording = desk.begin(client)
        recording.intend("copy")
        served.platform.revoke_key(key_id, by=served.root)
        recording.outcome("copy")
        with pytest.raises(UnauthorizedError):
            recording.intend("check")
        with pytest.raises(UnauthorizedError):
            desk.begin(client)
    _, reading = served.issue_key(OPERATIONS, scopes=("read",), person="bob")
    with client_of(served, reading) as client, pytest.raises(ForbiddenError):
        desk.begin(client)
    with client_of(served) as client:
        deliver(desk.spool(), client, desk.memory)
    act = acts_in(trail(served))[recording.act.id]
    assert (act.steps["copy"].state, act.person.id) == ("done", "alice")


def test_what_is_expected_needs_the_server(desk: Desk, served: Served) -> None:
    with client_of(served) as client:
        desk.begin(client, resource="b-1", expect={"b-1": -1})
        with pytest.raises(ConflictError, match="b-1 has a newer entry"):
            desk.begin(client, resource="b-1", expect={"b-1": -1})
    with pytest.raises(UnavailableError, match="only the server knows whether b-1 is as expected"):
        desk.begin(away(), resource="b-1", expect={"b-1": -1})
    assert desk.spool().waiting() == []


def test_a_server_that_did_not_answer_is_left_alone_for_a_while(desk: Desk) -> None:
    clock = FrozenClock()
    sink = desk.sink(away(), clock=clock, rest_seconds=10.0)
    for number in range(4):
        sink.write(act_event(number), expect={}, is_outcome=False)
    assert len(desk.said) == 1 and len(desk.spool().waiting()) == 4
    clock.advance(10.0)
    sink.write(act_event(4), expect={}, is_outcome=False)
    assert len(desk.said) == 2


def test_no_evidence_no_act(desk: Desk) -> None:
    desk.folder.mkdir()
    (desk.folder / "spool").write_text("in the way")
    with pytest.raises(UnavailableError, match=r"^could not begin backup\.run: .*: no evidence, no act \(hint: "):
        desk.begin(away())


def test_an_act_is_found_in_the_log_and_in_the_spool(desk: Desk, served: Served) -> None:
    with client_of(served) as client:
        recording = desk.begin(client)
        recording.intend("copy")
        until(lambda: len(desk.sink(client).told(recording.act.id)) == 2)
        recording._sink = desk.sink(None)
        recording.outcome("copy")
        found = desk.sink(client).told(recording.act.id)
    act = acts_in(found)[recording.act.id]
    assert act.steps["copy"].state == "done" and [one.by for one in found] == ["root", "root", None]


def test_without_the_server_what_waits_here_is_all_that_is_found_and_that_is_said(desk: Desk) -> None:
    recording = desk.begin(None)
    (found,) = desk.sink(away()).told(recording.act.id)
    assert found.event.action == "backup.run"
    assert any(words.startswith("warning: what the server knows") for words in desk.said)


def test_a_log_that_was_forked_is_not_trusted_with_an_act(desk: Desk, served: Served, tmp_path: Path) -> None:
    with client_of(served) as client:
        until(lambda: served.platform.reader(OPERATIONS, by=served.root).size())
        desk.begin(client)
    with serving(tmp_path / "other", installation=served.platform.installation) as other:
        until(lambda: other.platform.reader(OPERATIONS, by=other.root).size())
        desk.url = other.url
        with client_of(other) as client:
            desk.begin(client)
    assert any("forked or cut" in words for words in desk.said)
    assert len(desk.spool().waiting()) == 1
